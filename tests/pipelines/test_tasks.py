"""`pipeline`: what is made here, what is handed on, and that transformers stays as it was."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from course_lib import pipelines
from course_lib.pipelines import TASKS, QuestionAnsweringPipeline, pipeline, tasks
from course_lib.pipelines import SummarizationPipeline as Summaries
from tests.pipelines import small
from tests.pipelines.cases import GOOD, SHORT, WHO


def test_names_of_the_package():
    assert set(pipelines.__all__) <= set(dir(pipelines))
    for name in pipelines.__all__:
        assert getattr(pipelines, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'pipelin'"):
        _ = pipelines.pipelin


# -- transformers stays as it was ------------------------------------------------------------------

UNCHANGED = """
import transformers
from transformers.pipelines import PIPELINE_REGISTRY, get_supported_tasks
before = get_supported_tasks(), dict(PIPELINE_REGISTRY.supported_tasks), transformers.pipeline
from course_lib.pipelines import *
from course_lib.pipelines import pipeline, QuestionAnsweringPipeline, SummarizationPipeline
try:
    pipeline("summarisation-of-books")
except KeyError:
    pass
assert before == (get_supported_tasks(), PIPELINE_REGISTRY.supported_tasks, transformers.pipeline)
for task in ("summarization", "translation", "translation_en_to_fr", "question-answering"):
    try:
        transformers.pipeline(task)
    except KeyError as error:
        assert "has been removed" in str(error), error
    else:
        raise AssertionError(task)
print("unchanged")
"""


def test_transformers_is_unchanged():
    done = subprocess.run([sys.executable, "-c", UNCHANGED], capture_output=True, text=True)
    assert done.stdout.strip() == "unchanged", done.stderr[-2000:]


# -- handing on ------------------------------------------------------------------------------------


def test_other_tasks_are_handed_on_as_they_came(monkeypatch):
    calls = []
    package = sys.modules["transformers"]
    assert package.pipelines and package.pipeline  # loaded late, which would undo the patch
    monkeypatch.setattr(package, "pipeline", lambda *a, **k: calls.append((a, k)) or "made")
    assert pipeline("fill-mask", "some-model", top_k=2, framework="pt") == "made"
    assert pipeline("ner", tokenizer="t", config="c", grouped_entities=True) == "made"
    assert calls == [
        (("fill-mask", "some-model", None, None), {"top_k": 2, "framework": "pt"}),
        (("ner", None, "c", "t"), {"grouped_entities": True}),
    ]


def test_a_task_of_transformers(folders):
    features = pipeline("feature-extraction", model=str(folders / "bert"), device="cpu")
    assert type(features) is transformers.FeatureExtractionPipeline
    assert len(features(GOOD)[0][0]) == 16


def test_other_removed_tasks_keep_their_message():
    with pytest.raises(KeyError, match="visual-question-answering has been removed"):
        pipeline("visual-question-answering")


@pytest.mark.parametrize(
    ("task", "near"),
    [
        ("sumarization", "'summarization'"),
        ("text2text", "'text2text-generation'"),
        ("question_answering", "'question-answering'"),
        ("text-clasification", "'text-classification'"),
    ],
)
def test_an_unknown_task(task, near):
    with pytest.raises(KeyError) as raised:
        pipeline(task)
    message = raised.value.args[0]
    assert message.startswith(f"there is no task {task!r} (did you mean {near}")
    for name in (*TASKS, "translation_XX_to_YY", "fill-mask", "sentiment-analysis"):
        assert name in message


def test_a_translation_with_a_wrong_name():
    with pytest.raises(KeyError, match="called translation_XX_to_YY.*got 'translation_en_fr'"):
        pipeline("translation_en_fr")
    with pytest.raises(TypeError, match="a task is a name.*got int: 3"):
        pipeline(3)


# -- defaults --------------------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch, folders):
    """What is loaded by id, from the folders of the small models instead."""
    found = []

    def load(real, name):
        def from_pretrained(model, **options):
            found.append((name, str(model), options.get("revision")))
            kind = {"distilbert": "distilbert", "distilbart": "bart", "t5": "t5"}
            folder = next(
                (folders / to for part, to in kind.items() if part in str(model)), Path(model)
            )
            return real(folder, **{k: v for k, v in options.items() if k != "revision"})

        return from_pretrained

    for name in ("AutoTokenizer", "AutoModelForSeq2SeqLM", "AutoModelForQuestionAnswering"):
        auto = getattr(transformers, name)
        monkeypatch.setattr(auto, "from_pretrained", load(auto.from_pretrained, name))
    return found


@pytest.mark.parametrize(
    ("task", "model", "revision"),
    [
        ("translation_en_to_fr", "google-t5/t5-base", "a9723ea"),
        ("translation_en_to_de", "google-t5/t5-base", "a9723ea"),
        ("translation_en_to_ro", "google-t5/t5-base", "a9723ea"),
        ("summarization", "sshleifer/distilbart-cnn-12-6", "a4f8f3e"),
        ("text2text-generation", "google-t5/t5-base", "a9723ea"),
        ("question-answering", "distilbert/distilbert-base-cased-distilled-squad", "564e9b5"),
    ],
)
def test_the_default_model_of_a_task(task, model, revision, loaded, warned):
    made = pipeline(task, device="cpu")
    assert made.task == task
    assert {(name, tag) for _, name, tag in loaded} == {(model, revision)}
    message = f"No model was given, so this is {model} at revision {revision}"
    assert [found.startswith(message) for found in warned()] == [True]


def test_a_revision_for_the_default_model(loaded):
    pipeline("summarization", revision="main", device="cpu")
    assert {tag for _, _, tag in loaded} == {"main"}


def test_tasks_without_a_default():
    for task in ("translation", "translation_fr_to_en"):
        with pytest.raises(ValueError, match=f"the task '{task}' has no default model"):
            pipeline(task)


@pytest.mark.parametrize("tag", ["summarization", None])
def test_the_task_that_the_hub_knows(tag, folders, monkeypatch):
    monkeypatch.setattr(tasks, "infer_task", lambda model, token: tag)
    monkeypatch.setattr(sys.modules["transformers"], "pipeline", lambda *a, **k: ("handed on", *a))
    monkeypatch.setattr(tasks, "load_parts", lambda *a: pytest.fail("loads") if tag is None else
                        parts(folders))  # fmt: skip
    made = pipeline(model="someone/summaries")
    if tag:
        assert isinstance(made, Summaries) and made.task == "summarization"
    else:
        assert made == ("handed on", None, "someone/summaries", None, None)


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (
            KeyError("The task summarization has been removed from transformers. Use"),
            "summarization",
        ),
        (KeyError("The task translation has been removed from transformers. Use"), "translation"),
        (KeyError("The task image-to-image has been removed from transformers. Use"), None),
    ],
)
def test_the_hub_names_a_removed_task(error, wanted, monkeypatch):
    def get_task(model, token):
        raise error

    monkeypatch.setattr(transformers.pipelines, "get_task", get_task)
    assert tasks.infer_task("someone/model", None) == wanted


@pytest.mark.parametrize(("tag", "wanted"), [("fill-mask", None), ("summarization",) * 2])
def test_the_hub_names_a_task(tag, wanted, monkeypatch):  # 5.9 says removed ones too
    monkeypatch.setattr(transformers.pipelines, "get_task", lambda model, token: tag)
    assert tasks.infer_task("someone/model", None) == wanted


def parts(folders):
    folder = folders / "bart"
    return (
        transformers.AutoModelForSeq2SeqLM.from_pretrained(folder),
        transformers.AutoTokenizer.from_pretrained(folder),
    )


# -- loading ---------------------------------------------------------------------------------------


def test_objects_folders_and_paths(folders):
    model, tokenizer = parts(folders)
    options = {"device": "cpu", "max_length": 9}
    wanted = pipeline("text2text-generation", str(folders / "bart"), **options)(GOOD)
    assert pipeline("text2text-generation", folders / "bart", **options)(GOOD) == wanted
    made = pipeline("text2text-generation", model, tokenizer=tokenizer, **options)
    assert made.model is model and made(GOOD) == wanted
    made = pipeline("text2text-generation", model, None, str(folders / "bart"), **options)
    assert made(GOOD) == wanted
    pair = (str(folders / "bart"), {"model_max_length": 77})
    made = pipeline("text2text-generation", model, tokenizer=pair, **options)
    assert made.tokenizer.model_max_length == 77


def test_the_revision_is_the_models(loaded, folders):
    pipeline(
        "summarization", "a/distilbart", tokenizer=str(folders / "bart"), revision="v1",
        device="cpu")  # fmt: skip
    assert ("AutoModelForSeq2SeqLM", "a/distilbart", "v1") in loaded
    assert ("AutoTokenizer", str(folders / "bart"), None) in loaded


@pytest.mark.parametrize(
    "options",
    [
        {"dtype": torch.float64},
        {"dtype": "float64"},
        {"torch_dtype": torch.float64},
        {"model_kwargs": {"dtype": torch.float64}},
        {"model_kwargs": {"torch_dtype": "float64"}},
    ],
)
def test_dtypes(options, folders):
    made = pipeline("question-answering", str(folders / "bert"), device="cpu", **options)
    assert made.model.dtype == torch.float64


def test_what_transformers_4_took_is_taken(folders):
    made = pipeline(
        "question-answering", str(folders / "bert"), framework="pt", use_fast=True,
        feature_extractor=None, trust_remote_code=False, token=None, device=-1)  # fmt: skip
    assert type(made) is QuestionAnsweringPipeline and made.device.type == "cpu"
    assert made(question=WHO, context=SHORT)["answer"]


def test_a_class_of_ones_own(folders):
    class Loud(Summaries):
        return_name = "LOUD"

    made = pipeline("summarization", str(folders / "bart"), pipeline_class=Loud, device="cpu")
    assert list(made(SHORT, max_length=6, min_length=0)[0]) == ["LOUD_text"]


def test_saving_and_loading_again(folders, tmp_path):
    made = pipeline("summarization", str(folders / "t5"), device="cpu")
    made.save_pretrained(tmp_path)
    again = pipeline("summarization", str(tmp_path), device="cpu")
    assert again(SHORT) == made(SHORT) and again.prefix == "summarize: "


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("summarization", {"model": "bert"}, "is a Bert model, and summarization needs an encoder"),
        ("question-answering", {"model": "bert", "framework": "tf"}, "got framework='tf'"),
        ("summarization", {"framework": "flax"}, "transformers 5 has PyTorch models only"),
        ("summarization", {"device": "gpu"}, "'gpu' is no device"),
        ("summarization", {"model": "bart", "dtype": "half-ish"}, "'half-ish' is no dtype"),
        ("summarization", {"tokenizer": "some"}, "a tokenizer was given without its model"),
        (
            "summarization",
            {"model": "bart", "revision": "a", "model_kwargs": {"revision": "b"}},
            "revision comes twice: 'a', and 'b' in model_kwargs",
        ),
    ],
)
def test_errors_before_anything_is_loaded(task, options, message, folders, monkeypatch):
    if "model" in options:
        options = {**options, "model": str(folders / options["model"])}
    with pytest.raises(ValueError) as raised:
        pipeline(task, **options)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_device_that_is_not_there(folders, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="PyTorch finds no cuda device here"):
        pipeline("summarization", str(folders / "bart"), device="cuda:0")


def test_a_model_without_its_tokenizer(folders):
    model, _ = parts(folders)
    with pytest.raises(ValueError, match="without its tokenizer; give tokenizer= as well"):
        pipeline("summarization", model)


def test_the_small_models_are_the_same_everywhere(tmp_path):
    from safetensors.numpy import load_file

    weights = load_file(small.write("bert", tmp_path / "bert") / "model.safetensors")
    total = sum(float(abs(weight).sum()) for weight in weights.values())
    assert total == pytest.approx(2948.2566, abs=0.001)
