"""Translation, summarization and text to text: parameters, inputs, batches, messages."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GenerationConfig,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
    TextStreamer,
)
from transformers.pipelines.pt_utils import KeyDataset

from course_lib.pipelines import (
    SummarizationPipeline,
    Text2TextGenerationPipeline,
    TranslationPipeline,
)
from tests.pipelines import small
from tests.pipelines.cases import CONTEXT, GOOD, LONG

SHORT = {"max_new_tokens": 6, "num_beams": 1}


@pytest.fixture(scope="module", params=["bart", "t5"])
def write(request, make):
    return make("text2text-generation", request.param, **SHORT)


@pytest.fixture(scope="module")
def bart(make):
    return make("text2text-generation", "bart", **SHORT)


@pytest.fixture
def said(monkeypatch):
    """What `generate` is called with by the pipeline, instead of calling it."""

    def spy(pipe):
        calls = []

        def generate(input_ids, attention_mask, **options):
            calls.append(options)
            return torch.full((len(input_ids), 3), 4)

        monkeypatch.setattr(pipe.model, "generate", generate)
        return calls

    return spy


# -- inputs and answers ----------------------------------------------------------------------------


def test_one_and_many(write):
    one = write(GOOD)
    assert list(one[0]) == ["generated_text"] and isinstance(one[0]["generated_text"], str)
    assert write([GOOD, LONG]) == [*one, *write(LONG)]
    assert write([GOOD]) == one and write([]) == []


@pytest.mark.parametrize("kind", [tuple, np.array, lambda texts: dict.fromkeys(texts).keys()])
def test_other_collections(kind, bart):
    assert bart(kind([GOOD, LONG])) == bart([GOOD, LONG])


def test_a_column_of_datasets(bart):
    table = Dataset.from_dict({"text": [GOOD, LONG]})
    assert bart(table["text"]) == bart([GOOD, LONG])
    streamed = bart(KeyDataset(table, "text"))
    assert not isinstance(streamed, list)
    assert list(streamed) == [bart(GOOD), bart(LONG)]  # a list of answers to each, as in 4.57


def test_a_generator_stays_lazy(bart):
    read = []

    def stream():
        for text in (GOOD, LONG, CONTEXT):
            read.append(text)
            yield text

    answers = iter(bart(stream()))
    assert len(read) <= 1  # transformers looks at the first, in case it is a chat
    assert next(answers) == bart(GOOD) and len(read) == 1
    assert next(answers) == bart(LONG) and len(read) == 2


def test_an_endless_iterator(bart):
    answers = iter(bart(iter(lambda: GOOD, None)))
    assert next(answers) == next(answers) == bart(GOOD)


def test_several_answers(write):
    options = {"num_beams": 3, "num_return_sequences": 3}
    one = write(GOOD, **options)
    assert len(one) == 3
    assert write([GOOD, LONG], **options) == [one, write(LONG, **options)]


@pytest.mark.parametrize("size", [2, 3, 10])
def test_batches_do_not_change_answers(size, write):
    texts = [GOOD, LONG, "a", CONTEXT[:60], GOOD]
    options = {"num_beams": 2, "return_tensors": True, "return_text": True}
    together, one_by_one = write(texts, batch_size=size, **options), write(texts, **options)
    for some, single in zip(together, one_by_one, strict=True):
        assert some["generated_text"] == single["generated_text"]
        assert some["generated_token_ids"].tolist() == single["generated_token_ids"].tolist()


def test_token_ids_and_texts(write):
    ids = write(GOOD, return_tensors=True)
    assert list(ids[0]) == ["generated_token_ids"] and ids[0]["generated_token_ids"].ndim == 1
    both = write(GOOD, return_tensors=True, return_text=True)
    assert list(both[0]) == ["generated_text", "generated_token_ids"]
    decoded = write.tokenizer.decode(both[0]["generated_token_ids"], skip_special_tokens=True)
    assert decoded == both[0]["generated_text"]
    assert write(GOOD, return_type=0)[0].keys() == ids[0].keys()
    with pytest.raises(ValueError, match="leaves nothing to return"):
        write(GOOD, return_text=False)


def test_answers_are_json(bart):
    assert json.loads(json.dumps(bart([GOOD, LONG]))) == bart([GOOD, LONG])


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [
        (SummarizationPipeline, "bart", "summary_text"),
        (TranslationPipeline, "t5", "translation_text"),
        (Text2TextGenerationPipeline, "t5", "generated_text"),
    ],
)
def test_names_of_the_answers(kind, name, key, make):
    made = make("text2text-generation", name)
    pipe = kind(made.model, made.tokenizer, device="cpu")
    assert list(pipe(GOOD, **SHORT)[0]) == [key]


def test_devices_and_types(make, folders):
    pipe = make("text2text-generation", "bart", dtype="bfloat16", **SHORT)
    assert pipe.model.dtype == torch.bfloat16 and pipe.device.type == "cpu"
    assert pipe(GOOD)[0]["generated_text"]


# -- which parameters hold -------------------------------------------------------------------------


def test_defaults(make, said):
    pipe = make("text2text-generation", "bart")
    pipe.model.generation_config.max_length = None
    calls = said(pipe)
    pipe(GOOD)
    assert calls[0]["num_beams"] == 4
    assert calls[0]["max_length"] == 128  # the model writes no more; 257 otherwise


def test_the_model_is_stronger_than_the_defaults(make, said):
    pipe = make("text2text-generation", "bart")
    pipe.model.generation_config.num_beams = 2
    calls = said(pipe)
    pipe(GOOD)
    assert "num_beams" not in calls[0] and "max_length" not in calls[0]  # generate knows its own


@pytest.mark.parametrize(
    ("maker", "call", "wanted"),
    [
        ({}, {}, {"max_length": 24, "min_length": 5, "num_beams": 3}),
        ({"max_length": 30}, {}, {"max_length": 30, "num_beams": 3}),
        ({"max_new_tokens": 30}, {}, {"max_length": 31}),
        ({"max_new_tokens": 30}, {"max_length": 9}, {"max_length": 9}),
        ({"max_length": 30}, {"max_new_tokens": 9}, {"max_length": 10}),
        ({"num_beams": 1}, {"num_beams": 2}, {"num_beams": 2, "max_length": 24}),
        ({}, {"min_new_tokens": 3}, {"min_length": 4, "max_length": 24}),
    ],
)
def test_task_then_maker_then_caller(maker, call, wanted, make, said):
    pipe = make("summarization", "t5", **maker)
    calls = said(pipe)
    pipe(LONG, **call)
    assert {name: calls[0].get(name) for name in wanted} == wanted
    assert not {"max_new_tokens", "min_new_tokens"} & calls[0].keys()


def test_one_name_of_a_length(make, caplog, warned):
    pipe = make("summarization", "bart")  # its config says max_length
    pipe(CONTEXT, max_new_tokens=9, min_new_tokens=4, return_tensors=True)
    assert not [message for message in warned() if "seem to have been set" in message]


def test_a_generation_config_replaces_everything_said_before(make, said):
    pipe = make("summarization", "t5", num_beams=2)
    calls = said(pipe)
    given = GenerationConfig(max_new_tokens=7)
    pipe(LONG, generation_config=given, do_sample=True)
    config = calls[0].pop("generation_config")
    assert (config.max_new_tokens, config.do_sample) == (7, True)
    assert config.num_beams in (None, 1) and calls[0] == {}
    assert given.do_sample in (None, False)  # the caller's own stays as it is


def test_the_prefix_of_a_task(make):
    def text(pipe):
        return pipe.tokenizer.decode(pipe.preprocess("good")["input_ids"][0])

    assert text(make("summarization", "t5")).startswith("summarize: good")
    translate = make("translation_en_to_fr", "t5")
    assert text(translate).startswith("translate english to french: good")
    assert text(make("translation_en_to_de", "t5")).startswith("good")
    assert text(make("translation", "t5")).startswith("good")


def test_the_config_is_left_as_it_is(make):
    pipe = make("summarization", "t5")
    assert pipe.model.config.task_specific_params == small.T5_TASKS
    assert pipe.model.generation_config.max_length == 18


def test_a_stop_sequence(bart):
    with pytest.warns(UserWarning, match="stop_sequence='letters!' has 2 tokens"):
        bart(GOOD, stop_sequence="letters!")
    with pytest.raises(ValueError, match="has no token"):
        bart(GOOD, stop_sequence="")


def test_a_streamer_needs_one_beam(make, capsys):
    pipe = make("text2text-generation", "bart", max_new_tokens=4)
    written = pipe(GOOD, streamer=TextStreamer(pipe.tokenizer, skip_special_tokens=True))
    assert capsys.readouterr().out.strip() == written[0]["generated_text"].strip()


def test_an_assistant(make):
    pipe = make("text2text-generation", "bart")
    helped = Text2TextGenerationPipeline(
        pipe.model, pipe.tokenizer, device="cpu", assistant_model=pipe.model, max_new_tokens=5
    )
    assert helped(GOOD) == pipe(GOOD, max_new_tokens=5, num_beams=1)


def test_cleaning_up_spaces(make):
    pipe = make("text2text-generation", "t5")
    ids = torch.tensor([[pipe.tokenizer("how are you ?")["input_ids"]]])
    texts = [
        pipe.postprocess({"output_ids": ids}, clean_up_tokenization_spaces=clean)
        for clean in (False, True)
    ]
    assert [text[0]["generated_text"] for text in texts] == ["how are you ?", "how are you?"]


# -- lengths ---------------------------------------------------------------------------------------


def test_truncation(bart):
    long = "bridge " * 300
    with pytest.raises(ValueError, match="the model reads 128: shorten it, or let truncation=True"):
        bart(long)
    for truncation in (True, "only_first", "longest_first"):
        assert bart.preprocess(long, truncation=truncation)["input_ids"].shape == (1, 128)
    assert bart(long, truncation=True)[0]["generated_text"]


def test_no_limit_without_a_table_of_positions(make):
    pipe = make("text2text-generation", "t5", **SHORT)
    assert pipe.read_limit is None
    assert pipe("bridge " * 300)[0]["generated_text"] is not None


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("summarization", {"max_length": 120}, "the text has only"),
        ("summarization", {"max_length": 9, "min_length": 12}, "min_length should be less than"),
        ("translation", {"max_length": 9}, "the translation may have only 9"),
        ("translation", {"max_new_tokens": 8}, "the translation may have only 9"),
    ],
)
def test_warnings_about_lengths(task, options, message, make, warned, said):
    pipe = make(task, "bart")
    said(pipe)
    pipe(LONG, **options)
    assert len(warned()) == 1 and message in warned()[0] and "\n" not in warned()[0]


@pytest.mark.parametrize(
    ("task", "options"),
    [("summarization", {"max_length": 12}), ("translation", {"max_length": 120}),
     ("text2text-generation", {"max_length": 3})],
)  # fmt: skip
def test_no_warnings_about_lengths(task, options, make, warned, said):
    pipe = make(task, "bart")
    said(pipe)
    pipe(LONG, **{"min_length": 0, **options})
    assert warned() == []


# -- languages -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """A Marian model with a SentencePiece model for each language, as the real ones have."""
    import io

    import sentencepiece

    folder = tmp_path_factory.mktemp("marian")
    lines = {
        "source.spm": [GOOD, LONG, CONTEXT, *small.WORDS],
        "target.spm": ["Bonjour, mes amis.", "Un vieux pont sur la rivière.", "Elle écrit."] * 3,
    }
    pieces = []
    for name, text in lines.items():
        written = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_writer=written, vocab_size=60,
            hard_vocab_limit=False, minloglevel=2, bos_id=-1)  # fmt: skip
        (folder / name).write_bytes(written.getvalue())
        processor = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
        pieces += [processor.id_to_piece(i) for i in range(len(processor))]
    ordinary = dict.fromkeys(piece for piece in pieces if piece not in ("<unk>", "</s>", "<pad>"))
    vocabulary = {piece: i for i, piece in enumerate(["</s>", "<unk>", *ordinary, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "fr",
         "model_max_length": 128}))  # fmt: skip
    pad = vocabulary["<pad>"]
    config = MarianConfig(
        vocab_size=len(vocabulary), pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0,
        forced_eos_token_id=0, **small.SEQ2SEQ)  # fmt: skip
    model = small.fill(MarianMTModel(config), seed=2)
    model.generation_config.max_length = 20
    model.generation_config.bad_words_ids = [[pad]]
    model.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_marian(marian):
    from course_lib.pipelines import pipeline

    translate = pipeline("translation_en_to_fr", model=str(marian), device="cpu")
    assert isinstance(translate.tokenizer, MarianTokenizer)
    assert translate.read_limit == 128
    texts = [GOOD, LONG, "a friend"]
    one_by_one = [translate(text)[0] for text in texts]
    assert translate(texts, batch_size=3) == one_by_one
    assert all(answer["translation_text"].strip() for answer in one_by_one)
    # Both languages are known to the model: saying them changes nothing.
    assert translate(GOOD, src_lang="en", tgt_lang="fr") == one_by_one[:1]


@pytest.fixture(scope="module")
def nllb(make):
    """BART with the tokenizer of a multilingual model: a token for each language."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(f"▁{word}", -3.0) for word in small.WORDS] + [(c, -8.0) for c in small.CHARACTERS]
    languages = ["eng_Latn", "fra_Latn", "deu_Latn"]
    tokenizer = NllbTokenizer(
        vocab={piece: i for i, (piece, _) in enumerate(pieces)}, merges=[],
        extra_special_tokens=languages)  # fmt: skip
    bart = make("translation", "bart")
    model = type(bart.model)(type(bart.model.config)(**{
        **bart.model.config.to_dict(), "vocab_size": len(tokenizer)}))  # fmt: skip
    return TranslationPipeline(small.fill(model, seed=3), tokenizer, device="cpu", **SHORT)


def test_languages_of_a_multilingual_model(nllb):
    code = nllb.tokenizer.convert_tokens_to_ids
    for target in ("fra_Latn", "deu_Latn"):
        options = {"src_lang": "eng_Latn", "tgt_lang": target, "return_tensors": True}
        answers = nllb(["good", "a river in the town"], batch_size=2, **options)
        together = [answer["translation_token_ids"].tolist() for answer in answers]
        assert [ids[1] for ids in together] == [code(target)] * 2
        assert nllb("good", **options)[0]["translation_token_ids"].tolist() == together[0]
    inputs = nllb.preprocess("good", src_lang="deu_Latn", tgt_lang="fra_Latn")
    assert code("deu_Latn") in inputs["input_ids"][0]


def test_languages_given_at_the_start(nllb):
    options = {"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"}
    pipe = TranslationPipeline(
        nllb.model, nllb.tokenizer, task="translation_en_to_fr", device="cpu", **options, **SHORT
    )
    assert pipe("good") == nllb("good", **options)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("translation", {}, "needs src_lang as its tokenizer spells it; got None"),
        ("translation", {"src_lang": "eng_Latn"}, "needs tgt_lang"),
        ("translation_en_to_fr", {}, "got 'en': did you mean 'eng_Latn'?"),
        ("translation", {"src_lang": "eng_Latn", "tgt_lang": "good"}, "got 'good'"),
    ],
)
def test_languages_that_are_missing(task, options, message, nllb):
    pipe = TranslationPipeline(nllb.model, nllb.tokenizer, task=task, device="cpu", **SHORT)
    with pytest.raises(ValueError) as raised:
        pipe("good", **options)
    assert message in str(raised.value)


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "kind", "message"),
    [
        (3, TypeError, "the text is no string but int: 3"),
        (None, TypeError, "the text is no string but NoneType"),
        ({"text": GOOD}, TypeError, "the text is no string but dict"),
        ([GOOD, float("nan")], TypeError, "text 1 is no string but float: nan"),
        ([[GOOD]], TypeError, "text 0 is no string but list"),
        (["ok", "\udc80"], ValueError, "text 1 has half of a surrogate pair"),
    ],
)
def test_inputs_that_are_no_texts(inputs, kind, message, bart, monkeypatch):
    monkeypatch.setattr(bart.model, "generate", lambda *a, **k: pytest.fail("work had begun"))
    with pytest.raises(kind, match=message):
        bart(inputs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 1}, "max_length is a whole number, 2 or more; got 1"),
        ({"max_new_tokens": 2.5}, "max_new_tokens is a whole number, 1 or more; got 2.5"),
        ({"num_return_sequences": 0}, "num_return_sequences is a whole number"),
        ({"batch_size": -1}, "batch_size is a whole number, 1 or more; got -1"),
        ({"max_length": 500}, "max_length is at most 128, the tokens that the model has positions"),
    ],
)
def test_parameters_out_of_range(options, message, bart, monkeypatch):
    monkeypatch.setattr(bart.model, "generate", lambda *a, **k: pytest.fail("work had begun"))
    with pytest.raises(ValueError, match=message):
        bart(GOOD, **options)


def test_parts_that_do_not_fit(bart):
    masked = BertForMaskedLM(BertConfig(vocab_size=9, hidden_size=4, num_hidden_layers=1,
                                        num_attention_heads=1, intermediate_size=4))  # fmt: skip
    with pytest.raises(ValueError, match="needs a model with an encoder and a decoder .* BertFor"):
        SummarizationPipeline(masked, bart.tokenizer)
    with pytest.raises(ValueError, match="BartForConditionalGeneration is here without its tok"):
        SummarizationPipeline(bart.model)
    with pytest.raises(ValueError, match="got framework='tf'"):
        SummarizationPipeline(bart.model, bart.tokenizer, framework="tf")
