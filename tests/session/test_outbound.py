"""The promise: with the Course Hub, no library calls anybody outside of this machine."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from course_lib.commands.notebooks import notebook_root
from course_lib.hub import client
from tests.session.surroundings import plain_environment

GUARD = Path(__file__).with_name("guard")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[object]:
    """Runs code, or a `course` command, with outbound sockets forbidden; fails if anything tried.

    Python's sockets are watched in every process, also the Hub's, by an audit hook. Libraries in
    other languages (hf-xet) would go through the proxy that the variables name: it counts visitors.
    """
    home, record = tmp_path / "course", tmp_path / "outbound.txt"
    visitors: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        threading.Thread(target=count_visitors, args=(proxy, visitors), daemon=True).start()

        def run(code: str = "", command: tuple[str, ...] = ()) -> str:
            script = tmp_path / "script.py"
            script.write_text(code)
            env = plain_environment() | {
                "COURSE_HOME": str(home),
                "HOME": str(tmp_path),
                "PYTHONPATH": str(GUARD),
                "GUARD_RECORD": str(record),
            }
            for scheme in ("http", "https", "all"):
                env[f"{scheme}_proxy"] = env[f"{scheme}_PROXY".upper()] = address
            words = ("-m", "course_lib.cli", *command) if command else (str(script),)
            done = subprocess.run(
                [sys.executable, *words], env=env, capture_output=True, text=True, timeout=600
            )
            tried = record.read_text() if record.exists() else ""
            assert not tried and not visitors, f"{tried}{visitors}\n{done.stderr}"
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        yield run
    client.stop(home / "hub")


def count_visitors(proxy: socket.socket, visitors: list[str]) -> None:
    while True:
        try:
            connection, _ = proxy.accept()
        except OSError:  # the test is over
            return
        with connection:
            connection.settimeout(5)
            visitors.append(connection.recv(200).decode(errors="replace"))


def test_the_guard_sees_what_it_should(guarded: object) -> None:
    """A promise test that could not fail would promise nothing."""
    for attempt in (
        "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "import socket; socket.getaddrinfo('huggingface.co', 443)",
        "import urllib.request; urllib.request.urlopen('http://huggingface.co', timeout=1)",
    ):
        with pytest.raises(AssertionError, match="192.0.2.1|huggingface.co"):
            guarded(attempt)


PUSHED = """
import course_lib
course = course_lib.start()
import datasets, evaluate, torch
from huggingface_hub import HfApi, snapshot_download
from transformers import (AutoModelForSequenceClassification, BertConfig, BertTokenizerFast,
                          pipeline)

api = HfApi()
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "film"]
with open("vocab.txt", "w") as file:
    file.write("\\n".join(words))
config = BertConfig(vocab_size=len(words), hidden_size=8, num_hidden_layers=1,
                    num_attention_heads=1, intermediate_size=8)
model = AutoModelForSequenceClassification.from_config(config)
model.push_to_hub("learner/tiny")
BertTokenizerFast("vocab.txt").push_to_hub("learner/tiny")
# Only pickled weights: the case in which transformers calls the conversion service.
torch.save(model.state_dict(), "pytorch_model.bin")
api.delete_file("model.safetensors", "learner/tiny")
api.upload_file(path_or_fileobj="pytorch_model.bin", path_in_repo="pytorch_model.bin",
                repo_id="learner/tiny")
print(pipeline("text-classification", "learner/tiny")("a good film")[0]["label"])

datasets.Dataset.from_dict({"text": ["a", "b"]}).push_to_hub("learner/letters")
print(datasets.load_dataset("learner/letters", split="train")["text"][:])
streamed = datasets.load_dataset("learner/letters", split="train", streaming=True)
print([row["text"] for row in streamed])

metric = '''
import datasets
import evaluate

class Share(evaluate.Metric):
    def _info(self):
        features = datasets.Features({"predictions": datasets.Value("int64"),
                                      "references": datasets.Value("int64")})
        return evaluate.MetricInfo(description="", citation="", inputs_description="",
                                   features=features)

    def _compute(self, predictions, references):
        return {"share": sum(p == r for p, r in zip(predictions, references)) / len(references)}
'''
api.create_repo("learner/share", repo_type="space", space_sdk="static")
api.upload_file(path_or_fileobj=metric.encode(), path_in_repo="share.py",
                repo_id="learner/share", repo_type="space")
print(evaluate.load("learner/share").compute(predictions=[1, 0], references=[1, 1]))
snapshot_download("learner/tiny")
"""


def test_push_and_load_call_nobody(guarded: object, tmp_path: Path) -> None:
    printed = guarded(f"import os; os.chdir({str(tmp_path)!r})\n{PUSHED}").splitlines()
    assert printed[0] in ("LABEL_0", "LABEL_1")
    assert printed[1:] == ["['a', 'b']", "['a', 'b']", "{'share': 0.5}"]


STAND_INS = """
import course_lib
course = course_lib.start()
from transformers import pipeline
print(pipeline("sentiment-analysis")("This course is a joy.")[0]["label"])
import evaluate
print(evaluate.load("accuracy").compute(predictions=[1, 0], references=[1, 1]))
"""


def test_the_stand_ins_call_nobody(guarded: object) -> None:
    pytest.importorskip("course_lib.zoo.catalogue", reason="the stand-ins are not there yet")
    assert guarded(STAND_INS).splitlines() == ["POSITIVE", "{'accuracy': 0.5}"]


@pytest.mark.long
@pytest.mark.parametrize(
    "notebook, command",
    [
        ("index.ipynb", ("tour",)),
        ("chapters/02_using_transformers_pt.ipynb", ("run", "02_using_transformers_pt")),
    ],
)
def test_lessons_call_nobody(guarded: object, notebook: str, command: tuple[str, ...]) -> None:
    if not (notebook_root() / notebook).is_file():
        pytest.skip(f"{notebook} is not there yet")
    guarded(command=command)
