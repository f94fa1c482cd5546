"""The few lines with which a repository is used: what a reader copies into a notebook."""

from __future__ import annotations

from typing import NamedTuple

from course_lib.hub.cards.splits import Splits
from course_lib.hub.storage.store import Repo


class Snippet(NamedTuple):
    title: str
    language: str
    code: str


class Task(NamedTuple):
    model: str  # the class that `transformers` loads it with
    pipeline: str = ""  # the name that is given to its pipeline, where transformers 5 has one


TASKS = {
    "feature-extraction": Task("AutoModel", "encoder"),
    "fill-mask": Task("AutoModelForMaskedLM", "unmasker"),
    "image-classification": Task("AutoModelForImageClassification", "classifier"),
    "question-answering": Task("AutoModelForQuestionAnswering"),
    "summarization": Task("AutoModelForSeq2SeqLM"),
    "text-classification": Task("AutoModelForSequenceClassification", "classifier"),
    "text-generation": Task("AutoModelForCausalLM", "generator"),
    "text2text-generation": Task("AutoModelForSeq2SeqLM"),
    "token-classification": Task("AutoModelForTokenClassification", "tagger"),
    "translation": Task("AutoModelForSeq2SeqLM"),
    "zero-shot-classification": Task("AutoModelForSequenceClassification", "classifier"),
}


def model_snippets(repo: Repo) -> list[Snippet]:
    """For a model: its pipeline, its classes, its files, as far as each applies."""
    name, task = repo.id.full, repo.summary.get("pipeline_tag")
    library = repo.summary.get("library_name")
    found = []
    if library == "sentence-transformers":
        found.append(_python("Embed sentences", _SENTENCES, name))
    elif library == "transformers":
        known = TASKS.get(task or "", Task("AutoModel"))
        if known.pipeline:
            code = _PIPELINE.replace("VARIABLE", known.pipeline).replace("TASK", task or "")
            found.append(_python("With a pipeline", code, name))
        loader = "AutoImageProcessor" if task == "image-classification" else "AutoTokenizer"
        part = "processor" if loader == "AutoImageProcessor" else "tokenizer"
        code = _CLASSES.replace("CLASS", known.model).replace("LOADER", loader)
        found.append(_python("Load its parts", code.replace("PART", part), name))
    elif library == "keras":
        found.append(_python("Load it", _KERAS, name))
    return [*found, download(repo)]


def dataset_snippets(repo: Repo, config: str | None, splits: Splits) -> list[Snippet]:
    """For a data set: how to load the configuration that is shown."""
    arguments = [f'"{repo.id.full}"']
    if config and config != "default":
        arguments.append(_quoted(config))
    if splits:
        arguments.append(f"split={_quoted(next(iter(splits)))}")
    code = f"from datasets import load_dataset\n\ndata = load_dataset({', '.join(arguments)})"
    return [*([Snippet("Load it", "python", code)] if splits else []), download(repo)]


def space_snippets(repo: Repo) -> list[Snippet]:
    """For a Space: a metric is loaded by name, other Spaces are only files here."""
    if repo.id.namespace in ("evaluate-metric", "evaluate-measurement", "evaluate-comparison"):
        return [_python("Compute it", _METRIC, repo.id.name), download(repo)]
    if "metric" in repo.summary.get("tags", []):
        return [_python("Compute it", _METRIC, repo.id.full), download(repo)]
    return [download(repo)]


def download(repo: Repo) -> Snippet:
    """For a terminal, whatever the repository holds."""
    kind = "" if repo.id.kind == "model" else f" --repo-type {repo.id.kind}"
    return Snippet("Download the files", "bash", f"hf download {repo.id.full}{kind}")


def _python(title: str, code: str, name: str) -> Snippet:
    return Snippet(title, "python", code.replace("NAME", name))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_PIPELINE = """\
from transformers import pipeline

VARIABLE = pipeline(
    "TASK",
    model="NAME",
)"""
_CLASSES = """\
from transformers import (
    CLASS,
    LOADER,
)

name = "NAME"
PART = LOADER.from_pretrained(name)
model = CLASS.from_pretrained(name)"""
_SENTENCES = """\
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("NAME")"""
_KERAS = """\
import keras

model = keras.saving.load_model("hf://NAME")"""
_METRIC = """\
import evaluate

metric = evaluate.load("NAME")"""
