"""`evaluate.load(name)`, unmodified, on a running Course Hub and nothing else."""

import json
import os
import subprocess
import sys

import pytest

from course_lib.hub import client

SCRIPT = """
import json, socket, sys
import evaluate

hub, connect = int(sys.argv[1]), socket.socket.connect

def only_the_hub(sock, address):
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        assert address[0] in ("127.0.0.1", "::1") and address[1] == hub, f"asked {address}"
    return connect(sock, address)

socket.socket.connect = only_the_hub
bleu = {"predictions": ["the cat sat down"], "references": [["the cat sat down", "a cat sat"]]}
print(json.dumps([
    evaluate.load("sacrebleu").compute(**bleu)["score"],
    evaluate.load("bleu").compute(**bleu)["bleu"],
    evaluate.load("rouge").compute(predictions=["a b"], references=["a c"], use_stemmer=True),
    evaluate.load("seqeval").compute(predictions=[["B-PER", "O"]], references=[["B-PER", "O"]]),
    evaluate.load("squad").compute(
        predictions=[{"id": "1", "prediction_text": "the Nile"}],
        references=[{"id": "1", "answers": {"text": ["Nile"], "answer_start": [0]}}]),
    evaluate.load("exact_match").compute(predictions=["a"], references=["a"]),
    list(evaluate.load("perplexity", module_type="metric").features),
]))
"""


@pytest.fixture
def hub(tmp_path):
    """A Course Hub on an empty folder."""
    root = tmp_path / "hub"
    yield client.ensure(root, idle=120)
    client.stop(root)


def test_every_text_metric(hub, tmp_path):
    names = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.read_token}
    environment |= {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_UPDATE_DOWNLOAD_COUNTS": "0", "NLTK_DATA": str(tmp_path / "nltk")}
    port = hub.url.rsplit(":", 1)[1].strip("/")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, port], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    sacrebleu, bleu, rouge, seqeval, squad, exact_match, perplexity = json.loads(
        done.stdout.splitlines()[-1]
    )
    assert sacrebleu == pytest.approx(100) and bleu == pytest.approx(1)
    assert rouge == {"rouge1": 0.5, "rouge2": 0.0, "rougeL": 0.5, "rougeLsum": 0.5}
    assert seqeval["PER"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "number": 1}
    assert seqeval["overall_accuracy"] == 1.0
    assert squad == {"exact_match": 100.0, "f1": 100.0} and exact_match == {"exact_match": 1.0}
    assert perplexity == ["predictions"]
