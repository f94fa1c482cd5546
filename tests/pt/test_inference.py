"""The three steps of inference against the pipeline of transformers, on a tiny random model."""

import subprocess
import sys

import pytest
import torch

from course_lib.pt.inference import classify, forward, label_scores, postprocess, preprocess

TEXTS = ["yes", "not at all good", "a good film", "no", "good good good good no film at all"]
WORDS = "[PAD] [UNK] [CLS] [SEP] yes no not at all good bad a film".split()


@pytest.fixture(scope="module")
def tokenizer():
    from transformers import BertTokenizer

    return BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=16)


def make_model(**settings):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.5,  # so that texts differ clearly
        **settings,
    )
    return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def model():
    return make_model(id2label={0: "BAD", 1: "GOOD", 2: "MIXED"})


def pipeline_of(model, tokenizer):
    from transformers import TextClassificationPipeline

    return TextClassificationPipeline(model=model, tokenizer=tokenizer, device="cpu")


def assert_same(mine, theirs):
    """Records, or lists of records, with the same labels and nearly the same scores."""
    assert len(mine) == len(theirs)
    for a, b in zip(mine, theirs, strict=True):
        if isinstance(a, list):
            assert_same(a, b)
        else:
            assert a["label"] == b["label"]
            assert a["score"] == pytest.approx(b["score"], abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_classify_equals_the_pipeline_whatever_the_batches(model, tokenizer, batch_size):
    theirs = pipeline_of(model, tokenizer)(TEXTS)
    assert len({record["label"] for record in theirs}) > 1  # else order would not show
    assert_same(classify(TEXTS, model, tokenizer, batch_size=batch_size), theirs)


@pytest.mark.parametrize("top_k", [1, 2, 3, 9])
def test_the_best_labels_equal_the_pipelines(model, tokenizer, top_k):
    theirs = pipeline_of(model, tokenizer)(TEXTS, top_k=top_k)
    assert_same(classify(TEXTS, model, tokenizer, top_k=top_k, batch_size=2), theirs)


@pytest.mark.parametrize(
    "settings",
    [
        {"problem_type": "multi_label_classification", "num_labels": 4},
        {"problem_type": "single_label_classification", "num_labels": 4},
        {"problem_type": "regression", "num_labels": 1},
        {"problem_type": "regression", "num_labels": 2},
        {"num_labels": 1},
    ],
    ids=str,
)
def test_every_kind_of_problem_equals_the_pipeline(tokenizer, settings):
    model = make_model(**settings)
    theirs = pipeline_of(model, tokenizer)(TEXTS, top_k=4)
    assert_same(classify(TEXTS, model, tokenizer, top_k=4), theirs)


def test_pairs_equal_the_pipelines(model, tokenizer):
    pairs = [{"text": text, "text_pair": TEXTS[-i]} for i, text in enumerate(TEXTS)]
    theirs = [pipeline_of(model, tokenizer)(pair) for pair in pairs]
    second = [pair["text_pair"] for pair in pairs]
    assert_same(classify(TEXTS, model, tokenizer, text_pairs=second, batch_size=2), theirs)


def test_preprocess_pads_to_the_longest_and_cuts_at_the_limit(tokenizer):
    batch = preprocess(["yes", "good " * 40], tokenizer)
    assert batch["input_ids"].shape == (2, tokenizer.model_max_length)
    assert batch["attention_mask"].sum(-1).tolist() == [3, 16]
    assert preprocess(TEXTS, tokenizer, max_length=4)["input_ids"].shape == (5, 4)


def test_forward_leaves_the_model_in_its_mode(model, tokenizer):
    batch = preprocess(TEXTS, tokenizer)
    expected = forward(batch, model).logits
    model.train()
    model.bert.encoder.layer[0].eval()  # one part that somebody froze
    before = {name: module.training for name, module in model.named_modules()}
    try:
        torch.testing.assert_close(forward(batch, model).logits, expected)
        with pytest.raises(IndexError):  # it fails inside, and still puts the mode back
            forward({"input_ids": torch.tensor([[len(WORDS)]])}, model)
        assert {name: module.training for name, module in model.named_modules()} == before
    finally:
        model.eval()
    assert not expected.requires_grad


def test_forward_takes_the_tensors_to_the_models_device():
    class Echo(torch.nn.Module):
        device = torch.device("meta")  # a device that every machine has

        def forward(self, **inputs):
            return inputs

    given = {"input_ids": torch.ones(1, 2), "attention_mask": torch.ones(1, 2)}
    assert {name: value.device.type for name, value in forward(given, Echo()).items()} == {
        "input_ids": "meta",
        "attention_mask": "meta",
    }


def test_half_precision_logits_become_float32(model):
    scores = label_scores(torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.bfloat16), model.config)
    assert scores.dtype == torch.float32
    assert scores.sum().item() == pytest.approx(1.0)


def test_equal_scores_keep_the_order_of_the_labels(model):
    records = postprocess(torch.zeros(1, 3), model.config, top_k=3)
    assert [record["label"] for record in records[0]] == ["BAD", "GOOD", "MIXED"]


@pytest.mark.parametrize(
    ("texts", "pairs", "says"),
    [
        ("yes", None, "expected a list of texts; got str"),
        (None, None, "expected a list of texts; got NoneType"),
        ([], None, "there are no texts"),
        (["yes", None], None, "text 1 is no string but NoneType: None"),
        ([["yes"]], None, "text 0 is no string but list: ['yes']"),
        (["yes", "no"], ["yes"], "every text needs a second one; got 2 texts and 1 second texts"),
    ],
)
def test_wrong_texts_are_named_before_the_model_runs(model, tokenizer, texts, pairs, says):
    for call in (
        lambda: preprocess(texts, tokenizer, text_pairs=pairs),
        lambda: classify(texts, model, tokenizer, text_pairs=pairs),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            call()
        assert says in str(caught.value)


def test_the_import_leaves_transformers_alone():
    """Or start() could no longer choose where models come from."""
    code = (
        "import sys, course_lib.pt.inference\n"
        "print(sorted({'transformers', 'huggingface_hub', 'datasets', 'tensorflow'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
