"""What is asked of classification data before training; what becomes of logits."""

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertConfig, BertTokenizer

from course_lib.data.classification import (
    Classifier,
    Predictions,
    TrainingSettings,
    check_tokenizer,
    check_training_data,
    encode,
    label_names,
    predict_rows,
    score,
    text_columns,
)

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] yes no good bad".split()
PAIRS = Features({"one": Value("string"), "two": Value("string"),
                  "label": ClassLabel(names=["no", "yes"])})


def rows(**changed):
    columns = {"one": ["yes", "no no", "good"], "two": ["no", "yes", "bad"], "label": [1, 0, 1]}
    return Dataset.from_dict({**columns, **changed}, features=PAIRS if not changed else None)


@pytest.fixture(scope="module")
def tokenizer():
    return BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}, model_max_length=16)


@pytest.mark.parametrize(
    ("changed", "columns", "message"),
    [
        ({}, ("text",), "no column 'text': it has one, two, label"),
        ({}, ("onee",), "did you mean one"),
        ({"one": ["a", None, "c"]}, ("one",), "row 1 of the training split has no text in 'one'"),
        ({"one": [1, 2, 3]}, ("one",), "no text but int64"),
        ({"one": [["a"], ["b"], ["c"]]}, ("one",), "no text but List"),
        ({"label": ["x", "y", "x"]}, ("one",), r"class_encode_column\('label'\)"),
        ({"label": [0, -1, 1]}, ("one",), "row 1 .* has the label -1.*kept secret"),
        ({"label": [0, None, 1]}, ("one",), "a label of the training split is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_training_split(changed, columns, message):
    with pytest.raises((ValueError, TypeError), match=message):
        check_training_data({"train": rows(**changed)}, columns, "label", None)


def test_what_is_wrong_with_the_splits():
    with pytest.raises(ValueError, match="no split 'train': the data set has test"):
        check_training_data({"test": rows()}, ("one",), "label", None)
    with pytest.raises(ValueError, match="no split 'validation'"):
        check_training_data({"train": rows()}, ("one",), "label", "validation")
    with pytest.raises(ValueError, match="the validation split is empty"):
        check_training_data({"train": rows(), "validation": rows().select([])}, ("one",), "label",
                            "validation")
    with pytest.raises(ValueError, match="row 2 of the validation split has the label 2"):
        check_training_data({"train": rows(), "validation": rows(label=[0, 1, 2])}, ("one",),
                            "label", "validation")


def test_a_gap_is_found_where_the_rows_were_chosen():
    chosen = rows(one=["a", None, "c"]).select([2, 0, 1])
    with pytest.raises(ValueError, match="row 2 of the training"):
        check_training_data({"train": chosen}, ("one",), "label", None)
    assert check_training_data({"train": chosen.select([0, 1])}, ("one",), "label", None) == [
        "0", "1"]


@pytest.mark.parametrize(
    ("feature", "values", "expected"),
    [
        (ClassLabel(names=["a", "b"]), [0, 1], ["a", "b"]),
        (Value("int8"), [0, 2], ["0", "1", "2"]),
        (Value("bool"), [True, False], ["0", "1"]),
        (Value("float32"), [0.5, 3.0], []),
    ],
)
def test_names_of_labels(feature, values, expected):
    made = Dataset.from_dict({"label": values}, features=Features({"label": feature}))
    assert label_names(made, "label") == expected


def test_columns():
    assert text_columns("one") == ("one",) and text_columns(["a", "b"]) == ("a", "b")
    for wrong in ([], ["a", "b", "c"], [1]):
        with pytest.raises(ValueError, match="one column of texts, or two"):
            text_columns(wrong)


def test_tokenizer_and_model(tokenizer):
    check_tokenizer(tokenizer, BertConfig(vocab_size=9))
    for config, message in ((BertConfig(vocab_size=8), "knows 9 tokens and the model 8"),
                            (BertConfig(vocab_size=30_522), "the model 30,522"),
                            (BertConfig(vocab_size=9, pad_token_id=3), "pads with id 0")):
        with pytest.raises(ValueError, match=message):
            check_tokenizer(tokenizer, config)


def test_encode_is_what_the_tokenizer_says(tokenizer):
    made = encode(rows(), tokenizer, ("one", "two"), "label", max_length=5)
    for row, source in zip(made, rows(), strict=True):
        expected = tokenizer(source["one"], source["two"], truncation=True, max_length=5)
        assert row == {**expected, "labels": source["label"]}
    assert "labels" not in encode(rows(), tokenizer, ("one",)).column_names


@given(st.lists(st.text(max_size=30), min_size=1, max_size=40), st.integers(1, 9))
def test_answers_come_back_in_the_order_of_the_rows(texts, batch_size):
    calls = []

    def run(some, others):
        calls.append(len(some))
        return np.array([[len(text), other is None] for text, other in zip(
            some, others or [None] * len(some), strict=True)], np.float32)

    said = predict_rows(Dataset.from_dict({"text": texts}), ("text",), "label", run, batch_size)
    assert said.logits[:, 0].tolist() == [len(text) for text in texts]
    assert said.labels is None and max(calls) <= batch_size and sum(calls) == len(texts)


@given(st.integers(2, 5), st.integers(1, 12), st.integers(0, 1000))
def test_loss_and_probabilities_are_those_of_torch(classes, count, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=20, size=(count, classes)).astype(np.float32)
    labels = rng.integers(0, classes, count)
    said, tensor = Predictions(logits, labels), torch.tensor(logits)
    expected = torch.nn.functional.cross_entropy(tensor, torch.tensor(labels)).item()
    assert said.loss == pytest.approx(expected, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(said.probabilities, tensor.softmax(-1), atol=1e-6)
    assert said.classes.tolist() == tensor.argmax(-1).tolist()


def test_scores():
    said = Predictions(np.array([[1.0, 0.0], [0.0, 1.0]], np.float32), np.array([0, 0]))
    assert score(said)["accuracy"] == 0.5 and set(score(said)) == {
        "loss", "accuracy", "precision", "recall", "f1"}
    assert score(said, lambda pair: {"mine": 3.0}) == {"loss": said.loss, "mine": 3.0}
    numbers = Predictions(np.array([[1.0], [3.0]], np.float32), np.array([1.0, 2.0]))
    assert score(numbers) == pytest.approx({"loss": 0.5, "pearson": 1.0, "rmse": 0.5 ** 0.5})
    with pytest.raises(ValueError, match="kept secret"):
        score(Predictions(said.logits, np.array([0, -1])))
    with pytest.raises(ValueError, match="these rows have none"):
        score(Predictions(said.logits, None))


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_epochs", 0), ("num_epochs", 1.5), ("max_steps", 0), ("batch_size", True),
     ("learning_rate", 0), ("warmup", 1.0), ("weight_decay", -1), ("mixed_precision", "int8")],
)
def test_settings_that_make_no_sense(name, value):
    with pytest.raises(ValueError, match=name):
        TrainingSettings(**{name: value})


@given(st.integers(1, 5), st.integers(1, 32), st.integers(1, 300))
def test_steps_are_those_of_the_data_loader(epochs, batch_size, count):
    loader = torch.utils.data.DataLoader(range(count), batch_size=batch_size)
    settings = TrainingSettings(num_epochs=epochs, batch_size=batch_size)
    assert settings.steps(count) == epochs * len(loader)


def test_labels_of_a_classifier():
    class Model:
        config = BertConfig(id2label={0: "no", 1: "yes"})

    assert Classifier(Model(), None, ("one",), "label").labels == ["no", "yes"]
