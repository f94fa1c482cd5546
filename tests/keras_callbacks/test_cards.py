"""Cards of trainings: what was found, what the user says, and what the Hub reads back."""

import datasets
import keras
import numpy as np
import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.keras_callbacks.cards import (
    COMMENT,
    TAG,
    Training,
    check_arguments,
    dataset_facts,
    describe_training,
    evaluation,
    hyperparameters,
    is_generated,
    results_table,
    training_card,
    write_card,
)
from course_lib.tf.optimization import create_optimizer

HISTORY = [{"epoch": 0, "loss": 0.7, "acc": 0.5, "val_loss": 0.6, "val_acc": 0.55},
           {"epoch": 1, "loss": 0.4, "acc": 0.8, "val_loss": 0.5, "val_acc": 0.75, "f1": 0.7}]


def read(training: Training, **arguments: object) -> ModelCard:
    """The card as the Hub reads it."""
    return ModelCard(str(training_card(training, **arguments)))


def test_a_metric_that_appears_late_has_its_column():
    head, _, first, second = results_table(Training("me/it", HISTORY)).splitlines()
    assert head == "| Train Loss | Train Acc | Validation Loss | Validation Acc | F1 | Epoch |"
    assert first.split("|")[-3].strip() == "" and second.split("|")[-3].strip() == "0.7000"


def test_the_index_holds_what_was_evaluated():
    card = read(Training("me/it", HISTORY, task="text-classification"), dataset="Reviews",
                dataset_tags="me/reviews", dataset_args="short")
    found = {result.metric_type: result for result in card.data.eval_results}
    assert {kind: result.metric_value for kind, result in found.items()} == {
        "loss": 0.5, "accuracy": 0.75, "f1": 0.7}
    one = found["f1"]
    assert (one.task_type, one.dataset_type, one.dataset_name, one.dataset_config) == (
        "text-classification", "me/reviews", "Reviews", "short")
    assert card.data.datasets == ["me/reviews"] and card.data.metrics == ["accuracy", "f1"]


def test_the_user_wins():
    card = read(Training("me/it", HISTORY, task="text-classification", base_model="found/base"),
                language=["de", "en"], license="mit", tags=["mine", TAG], model_name="Ours",
                finetuned_from="my/base", tasks="token-classification", library_name="other",
                metrics=["bleu"], datasets=["a/b"])
    data = card.data.to_dict()
    assert data["language"] == ["de", "en"] and data["license"] == "mit"
    assert data["tags"] == ["mine", TAG] and data["base_model"] == "my/base"
    assert data["pipeline_tag"] == "token-classification" and data["library_name"] == "other"
    assert data["metrics"] == ["bleu"] and data["datasets"] == ["a/b"]
    assert "# Ours" in card.text and "my/base" in card.text and "found/base" not in card.text


def test_tags_of_the_user_are_not_changed():
    tags = ["mine"]
    training_card(Training("me/it"), tags=tags)
    assert tags == ["mine"]


def test_without_a_data_set_there_is_no_index_but_a_table():
    card = read(Training("me/it", HISTORY))
    assert card.data.eval_results is None and "| 0.7000 | 1 |" in card.text


def test_numbers_that_are_none_stay_out_of_the_index():
    card = read(Training("me/it", [{"epoch": 0, "val_loss": float("nan"), "val_f1": 0.5}]),
                dataset="x")
    assert [result.metric_type for result in card.data.eval_results] == ["f1"]
    assert "nan" in card.text


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1,
                max_size=12).filter(lambda name: name != "epoch")
LOGS = st.dictionaries(NAMES, st.floats(width=32), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(LOGS, max_size=4), st.text(max_size=20))
def test_any_history_makes_a_card_that_is_read_back(history, language):
    training = Training("me/it", history, settings={"loss": language})
    card = read(training, dataset="x")
    values = {name: value for name, value in evaluation(training).items() if np.isfinite(value)}
    assert len(card.data.eval_results or []) == len(values)
    assert is_generated(card.text)


@pytest.mark.parametrize("wrong", ["licence", "dataset_name", "checkpoint_dir"])
def test_an_unknown_argument_is_named(wrong):
    with pytest.raises(TypeError, match=f"a model card has no {wrong}; it takes base_model"):
        check_arguments({wrong: 1})


def test_a_data_set_says_itself_what_it_is():
    data = datasets.Dataset.from_dict({"x": [1]})
    data.info.dataset_name, data.info.config_name = "glue", "mrpc"
    data.info.download_checksums = {"hf://datasets/nyu-mll/glue@abc/mrpc/train.parquet": {}}
    (facts,) = dataset_facts({"dataset": data})
    assert (facts.name, facts.id, facts.config) == ("nyu-mll/glue", "nyu-mll/glue", "mrpc")
    (facts,) = dataset_facts({"dataset": data, "dataset_tags": "a/b", "dataset_args": "c"})
    assert (facts.id, facts.config) == ("a/b", "c")


def test_the_settings_of_a_training():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizer, _ = create_optimizer(2e-5, 100, 10, weight_decay_rate=0.01)
    model.compile(optimizer, keras.losses.MeanSquaredError(), metrics=["mae"])
    model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    found = hyperparameters(model)
    assert found["training_precision"] == "float32" and found["loss"] == "mean_squared_error"
    assert found["optimizer"]["learning_rate"]["config"]["warmup_steps"] == 10
    described = describe_training(model, "me/it", [{"epoch": 0, "loss": 1.0, "mae": 1.0}])
    assert evaluation(described) == {} and described.library == "keras"
    text = read(described).text
    assert '"weight_decay_rate": 0.01' in text and f"- keras {keras.__version__}" in text
    assert "keras.saving.load_model" in text


def test_the_hub_accepts_it(api):
    training_card(Training("me/it", HISTORY), license="mit", language="en", dataset="x").validate()


def test_a_card_is_written_in_utf_8_and_yours_stays(tmp_path):
    training = Training("me/it", settings={"Größe": "groß, 大"})
    assert write_card(tmp_path, str(training_card(training)))
    assert write_card(tmp_path, str(training_card(training)))      # ours is renewed
    text = (tmp_path / "README.md").read_bytes().decode("utf-8")
    assert "Größe: groß, 大" in text
    mine = text.replace(COMMENT, "").encode()
    (tmp_path / "README.md").write_bytes(mine)
    assert not write_card(tmp_path, str(training_card(training)))
    assert (tmp_path / "README.md").read_bytes() == mine
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]
