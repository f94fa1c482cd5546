"""The unmodified clients meet the stand-ins on a running Course Hub."""


import pytest

from course_lib.metrics import METRICS as NAMES
from course_lib.zoo.catalogue import ENTRIES

PIPELINE = """
import json
from transformers import pipeline
classifier = pipeline("sentiment-analysis")
print(json.dumps([type(classifier.model).__name__, classifier([
    "I've been waiting for a HuggingFace course my whole life.", "I hate this so much!"])]))
"""

METRICS = """
import evaluate, json
both = evaluate.combine(["accuracy", "f1"])
data = {"predictions": [1, 0, 1, 1], "references": [1, 0, 0, 1]}
print(json.dumps([both.compute(**data), evaluate.load("glue", "mrpc").compute(**data),
                  sorted(evaluate.list_evaluation_modules("metric"))]))
"""

LEGACY = """
import json, torch
from huggingface_hub import HfApi, hf_hub_download
from transformers import AutoModel, AutoTokenizer
found = {}
for name in ("bert-base-uncased", "bert-base-cased", "distilbert-base-uncased"):
    tokenizer = AutoTokenizer.from_pretrained(name)
    output = AutoModel.from_pretrained(name)(**tokenizer("Hello Paris!", return_tensors="pt"))
    found[name] = [tokenizer.tokenize("Hello Paris!"), list(output.last_hidden_state.shape)]
listed = [model.id for model in HfApi().list_models(filter="stand-in")]
card = open(hf_hub_download("bert-base-uncased", "README.md")).read()
print(json.dumps([found, listed, card.split("---")[2].strip()[:40]]))
"""

EVERY_TASK = """
import json
from course_lib.pipelines import pipeline
from transformers import set_seed
set_seed(0)
text = ("The old mill by the river was sold in 1920. It is open to visitors of the town, and the "
        "bread that is baked there on Sundays is known far beyond the valley.")
asked = {
    "sentiment-analysis": text, "ner": "Marie lives in Vienna.", "feature-extraction": text,
    "fill-mask": "The mill was <mask> in 1920.", "text-generation": "The old mill was",
    "zero-shot-classification": [text, ["history", "sports"]],
    "question-answering": {"question": "When was it sold?", "context": text},
    "summarization": text, "text2text-generation": "translate English to French: I am here.",
    "translation_en_to_fr": "Where is the train station?"}
found = {}
for task, inputs in asked.items():
    made = pipeline(task)
    answer = made(*inputs) if task.startswith("zero") else made(inputs)
    found[task] = [made.model.name_or_path, answer]
print(json.dumps(found, default=float))
"""


def test_the_pipeline_without_a_model(ask):
    name, answers = ask(PIPELINE)
    assert name == "DistilBertForSequenceClassification"
    assert [answer["label"] for answer in answers] == ["POSITIVE", "NEGATIVE"]
    assert all(answer["score"] > 0.8 for answer in answers)


def test_every_pipeline_answers_without_a_model(ask):
    found = ask(EVERY_TASK)
    models = {task: name for task, (name, _) in found.items()}
    answers = {task: answer for task, (_, answer) in found.items()}
    assert models["text-generation"] == "HuggingFaceTB/SmolLM3-3B"
    assert models["summarization"] == "sshleifer/distilbart-cnn-12-6"
    assert models["translation_en_to_fr"] == models["text2text-generation"] == "google-t5/t5-base"
    assert answers["ner"][-1]["entity"].endswith("LOC")
    assert answers["zero-shot-classification"]["labels"][0] == "history"
    assert answers["question-answering"]["answer"] == "1920"
    assert len(answers["fill-mask"]) == 5
    assert answers["text-generation"][0]["generated_text"].startswith("The old mill was ")
    summary = answers["summarization"][0]["summary_text"]
    assert "mill" in summary and 10 < len(summary) < 120
    assert "gare" in answers["translation_en_to_fr"][0]["translation_text"]


def test_metrics(ask):
    both, glue, listed = ask(METRICS)
    assert both == pytest.approx({"accuracy": 0.75, "f1": 0.8})
    assert glue == pytest.approx({"accuracy": 0.75, "f1": 0.8})
    assert listed == sorted(NAMES)  # evaluate drops its own namespace


def test_short_ids(ask):
    found, listed, card = ask(LEGACY)
    assert found["bert-base-uncased"] == [["hello", "paris", "!"], [1, 5, 384]]
    assert found["bert-base-cased"][0] == ["Hello", "Paris", "!"]
    assert found["distilbert-base-uncased"][1] == [1, 5, 384]
    models = [entry.repo_id.full for entry in ENTRIES if entry.repo_id.kind == "model"]
    assert sorted(listed) == sorted(models)
    assert card.startswith("**This is a small stand-in for BERT base")
