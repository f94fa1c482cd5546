"""Small random models with their tokenizers, as folders that `from_pretrained` takes.

The weights come from NumPy's generator and the vocabularies are written down, so that a folder is
the same wherever it is made: `reference.json` holds what transformers 4.57.6 answered on them.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = """the a an is was in on of and to where who what when did does live lives lived work works
river town ada grace london paris machine machines wrote first program old new built bridge over
thames year letter letters friend friends good morning how are you question answer summarize
translate english french german""".split()
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?:;'-()"
CONTEXT = (
    "Ada lived in London and wrote letters to friends. Grace built a bridge over the river, and in "
    "the town of Paris the first machine works. The old program was new in the year 1843."
)


def wordpiece() -> Tokenizer:
    """BERT's kind: lower case, words and their pieces."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    inner = [f"##{character}" for character in CHARACTERS]
    pieces = [*special, *CHARACTERS, *inner, *WORDS, "##ed", "##ing"]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made.decoder = decoders.WordPiece(cleanup=False)
    return made


def byte_level() -> Tokenizer:
    """RoBERTa's and BART's kind: bytes, and what merges into words."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = []
    for word in (f"{space}{word}" for word in WORDS for space in ("", "Ġ")):
        for i in range(1, len(word)):
            merges.append((word[:i], word[i]))
            pieces.append(word[: i + 1])
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.BPE(vocabulary, list(dict.fromkeys(merges)), unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    made.decoder = decoders.ByteLevel()
    return made


def unigram() -> Tokenizer:
    """T5's and CamemBERT's kind: SentencePiece, with the space before a word."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -4.0)]
    pieces += [(character, -8.0) for character in CHARACTERS]
    pieces += [(f"▁{word}", -3.0 - len(word) / 50) for word in WORDS]
    made = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    made.decoder = decoders.Metaspace()
    return made


BERT = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
ROBERTA = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
ROBERTA |= {"cls_token": "<s>", "sep_token": "</s>"}
ENCODER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "pad_token_id": 0,
    "max_position_embeddings": 128,
}
ROBERTA_IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
SEQ2SEQ = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 128,
}
T5_TASKS = {
    "summarization": {"prefix": "summarize: ", "max_length": 24, "min_length": 5, "num_beams": 3},
    "translation_en_to_fr": {"prefix": "translate english to french: ", "max_length": 16},
}
BART_TASKS = {"summarization": {"max_length": 22, "min_length": 8, "no_repeat_ngram_size": 3}}

# name: tokenizer, its special tokens, whether it has token types, class of the model, its config
MODELS = {
    "bert": (wordpiece, BERT, True, "BertForQuestionAnswering", ENCODER),
    "distilbert": (
        wordpiece,
        BERT,
        False,
        "DistilBertForQuestionAnswering",
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 128},
    ),
    "roberta": (
        byte_level,
        ROBERTA,
        False,
        "RobertaForQuestionAnswering",
        ENCODER | ROBERTA_IDS | {"max_position_embeddings": 130},
    ),
    "camembert": (
        unigram,
        ROBERTA,
        False,
        "CamembertForQuestionAnswering",
        ENCODER | ROBERTA_IDS | {"max_position_embeddings": 130},
    ),
    "bart": (
        byte_level,
        ROBERTA,
        False,
        "BartForConditionalGeneration",
        SEQ2SEQ | ROBERTA_IDS | {"decoder_start_token_id": 2, "task_specific_params": BART_TASKS},
    ),
    "t5": (
        unigram,
        {key: ROBERTA[key] for key in ("pad_token", "eos_token", "unk_token")},
        False,
        "T5ForConditionalGeneration",
        {
            "d_model": 16,
            "d_kv": 8,
            "d_ff": 32,
            "num_layers": 1,
            "num_heads": 2,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 1,
            "task_specific_params": T5_TASKS,
        },
    ),
}


def fill(model: torch.nn.Module, seed: int, spread: float = 0.4) -> torch.nn.Module:
    """Weights that depend on the seed alone; norms stay near one."""
    random = np.random.default_rng(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            values = torch.from_numpy(random.normal(0, spread, tuple(weight.shape))).float()
            norm = "norm" in name.lower() and name.endswith("weight")
            weight.copy_(1 + 0.1 * values if norm else values)
    return model.eval()


def write(name: str, folder: Path, seed: int = 0) -> Path:
    """The folder of one model, with its tokenizer."""
    make, special, types, kind, settings = MODELS[name]
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make()
    tokenizer.save(str(folder / "tokenizer.json"))
    inputs = ["input_ids", *(["token_type_ids"] if types else []), "attention_mask"]
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 128, **special}
    about |= {"model_input_names": inputs, "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(about))
    model_class = getattr(transformers, kind)
    config = model_class.config_class(vocab_size=tokenizer.get_vocab_size(), **settings)
    model = fill(model_class(config), seed)
    if model.can_generate():
        model.generation_config.max_length = 18
    model.save_pretrained(folder)
    return folder
