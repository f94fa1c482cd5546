"""PushToHubCallback against a Hub: what arrives, what happens when it does not, and going on."""

import shutil
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from huggingface_hub import HfApi, ModelCard, hf_hub_download
from numpy.testing import assert_allclose

from course_lib.keras_callbacks.cards import COMMENT, TAG
from course_lib.keras_callbacks.checkpoints import replay, resume_from_hub
from course_lib.keras_callbacks.pushing import PushToHubCallback
from tests.keras_callbacks.push_cases import EPOCHS, Settle, X, Y, bert_and_data, line_model

CASES = Path(__file__).with_name("push_cases.py")


def fit(model: keras.Model, *callbacks: Any, epochs: int = 3, **options: Any) -> dict[str, list]:
    """Four batches an epoch."""
    done = model.fit(X, Y, batch_size=16, epochs=epochs, verbose=0, shuffle=False,
                     callbacks=list(callbacks), **options)
    return done.history


def titles(repo: str) -> list[str]:
    """Of a repository's commits, the oldest first, without the one that made it."""
    return [commit.title for commit in HfApi().list_repo_commits(repo)][-2::-1]


class Then(keras.callbacks.Callback):
    """Calls `do(epoch)` when an epoch begins."""

    def __init__(self, do: Any) -> None:
        super().__init__()
        self.do = do

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.do(epoch)


class Late(keras.callbacks.Callback):
    """A metric that is there from the second epoch on."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch:
            logs["late"] = 0.25


def test_every_epoch_is_a_commit_and_the_unchanged_end_is_none(api, tmp_path):
    model = line_model()
    push = PushToHubCallback(tmp_path / "each-epoch", license="mit", tags="mine")
    fit(model, push, Settle(push), validation_data=(X, Y))
    assert push.hub_model_id == "learner/each-epoch"
    assert titles(push.hub_model_id) == [f"Training in progress epoch {n}" for n in range(3)]
    assert push.report.ok and push.report.pushed[-1] == "End of training"
    loaded = keras.saving.load_model(hf_hub_download(push.hub_model_id, "model.keras"))
    assert_allclose(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
    card = ModelCard.load(push.hub_model_id)
    assert card.data.tags == ["mine", TAG] and card.data.library_name == "keras"
    assert not list((tmp_path / "each-epoch").glob(".*"))


def test_steps_count_across_epochs(api, tmp_path):
    push = PushToHubCallback(tmp_path / "by-steps", "steps", 5, checkpoint=False)
    fit(line_model(), push, Settle(push, batches=True))
    assert titles("learner/by-steps") == [
        "Training in progress steps 5", "Training in progress steps 10", "End of training"]


def test_no_is_the_end_alone(api, tmp_path):
    push = PushToHubCallback(tmp_path / "no", "no")
    fit(line_model(), push)
    assert titles("learner/no") == ["End of training"] and push.report.pushed == ["End of training"]


def test_one_of_our_models_with_its_tokenizer(api, tmp_path):
    class Tokenizer:
        def save_pretrained(self, folder: str) -> None:
            (Path(folder) / "tokenizer.json").write_text("{}")

    model, data = bert_and_data(0)
    push = PushToHubCallback(tmp_path / "ours", tokenizer=Tokenizer(), hub_model_id="learner/bert")
    model.fit(data, epochs=1, verbose=0, callbacks=[push])
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= set(
        api.list_repo_files("learner/bert"))
    again = type(model).from_pretrained("learner/bert")
    ids = {"input_ids": np.array([[8, 9, 7, 10, 11, 12]])}
    found, expected = (one.predict(ids, verbose=0)["logits"] for one in (again, model))
    assert_allclose(found, expected)
    card = ModelCard.load("learner/bert")
    assert (card.data.pipeline_tag, card.data.library_name) == (
        "text-classification", "transformers")
    assert "BertForSequenceClassification.from_pretrained" in card.text


def test_late_metrics_are_in_the_card_also_those_of_a_callback_behind(api, tmp_path):
    push = PushToHubCallback(tmp_path / "late", dataset="A line")
    fit(line_model(), push, Late())
    card = ModelCard.load("learner/late")
    assert {r.metric_type: r.metric_value for r in card.data.eval_results} == {"late": 0.25}
    assert "| Train Loss | Train Mae | Late | Epoch |" in card.text


def test_a_slow_upload_blocks_nothing_and_reads_a_copy(tmp_path, no_hub):
    line, seen, after_first = threading.Event(), {}, []

    def slow(folder: Path, title: str) -> None:
        line.wait(60)
        seen[title] = keras.saving.load_model(folder / "model.keras").get_weights()[0]

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 0:
                after_first.append(self.model.get_weights()[0])

        def on_train_end(self, logs: Any = None) -> None:
            assert seen == {}
            line.set()

    model = line_model()
    push = PushToHubCallback(tmp_path / "slow")
    push.place.push = slow
    started = Then(lambda epoch: epoch and wait_until_taken(push))
    with pytest.warns(UserWarning, match="the Hub does not answer"):
        fit(model, started, Watch(), push)
    assert push.report.skipped == 2
    assert list(seen) == ["Training in progress epoch 0", "End of training"]
    assert_allclose(seen["Training in progress epoch 0"], after_first[0])
    assert_allclose(seen["End of training"], model.get_weights()[0])


def wait_until_taken(push: PushToHubCallback) -> None:
    with push.uploader.changed:
        push.uploader.changed.wait_for(lambda: push.uploader.running is not None, timeout=60)


def test_two_callbacks_at_once(api, tmp_path):
    pushes = [PushToHubCallback(tmp_path / name) for name in ("first", "second")]
    fit(line_model(), *pushes)
    assert all(push.report.ok for push in pushes)
    assert {push.hub_model_id for push in pushes} == {"learner/first", "learner/second"}
    hashes = [hf_hub_download(push.hub_model_id, "model.keras") for push in pushes]
    kept = [keras.saving.load_model(path).get_weights()[0] for path in hashes]
    assert_allclose(*kept)


def test_a_hub_that_stops_and_comes_back(own_hub, tmp_path):
    server = own_hub()
    push = PushToHubCallback(tmp_path / "outage")
    push.wait = push.longest = 0.05

    def outage(epoch: int) -> None:
        if epoch == 1:
            server.process.kill()
            server.process.wait()
        if epoch == 4:
            own_hub()

    settle = Settle(push)
    settle.on_epoch_end = lambda epoch, logs=None: settle.settle() if epoch == 0 else None
    model = line_model()
    losses = fit(model, push, settle, Then(outage), epochs=5)["loss"]
    assert len(losses) == 5 and push.report.ok
    assert titles("learner/outage")[0] == "Training in progress epoch 0"
    loaded = keras.saving.load_model(hf_hub_download("learner/outage", "model.keras"))
    assert_allclose(loaded.get_weights()[0], model.get_weights()[0])
    rows = [line for line in ModelCard.load("learner/outage").text.splitlines() if line[:2] == "| "]
    assert len(rows) == 2 + 5


def test_a_dead_hub_ends_no_training(no_hub, tmp_path):
    push = PushToHubCallback(tmp_path / "dead", checkpoint=True)
    push.tries, push.wait = 2, 0.01
    model = line_model()
    with pytest.warns(UserWarning) as said:
        fit(model, push)
    text = [str(warning.message) for warning in said]
    assert "the Hub does not answer" in text[0]
    assert "dead lacks 'End of training' after" in text[-1] and "hf upload dead" in text[-1]
    assert push.report.failed == "End of training" and push.report.tries >= 2
    kept = keras.saving.load_model(tmp_path / "dead" / "model.keras")
    assert_allclose(kept.get_weights()[0], model.get_weights()[0])
    again = line_model(seed=1)
    assert resume_from_hub(tmp_path / "dead", again) == (3, 12)
    assert not list((tmp_path / "dead").glob(".*"))


def test_a_refusal_at_the_begin_is_an_error(api, hub_server, tmp_path):
    for token, status in (("hf_nobody", 401), (hub_server.read_token, 403)):
        push = PushToHubCallback(tmp_path / "refused", hub_token=token)
        with pytest.raises(PermissionError, match=f"refused cannot be pushed to: .*{status}"):
            fit(line_model(), push)


def test_a_refusal_later_on_is_one_try(api, hub_server, tmp_path):
    push = PushToHubCallback(tmp_path / "revoked")
    push.wait = 1000

    def revoke(epoch: int) -> None:
        push.place.token = hub_server.read_token

    with pytest.warns(UserWarning, match="after 1 try; last error: .*403"):
        fit(line_model(), push, Then(revoke))
    assert (push.report.tries, push.report.pushed) == (1, [])


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_with_pushes_what_an_error_left(api, tmp_path, error):
    def stop(epoch: int) -> None:
        if epoch == 1:
            raise error

    name = error.__name__
    with pytest.raises(error):
        with PushToHubCallback(tmp_path / name, checkpoint=True) as push:
            fit(line_model(), push, Then(stop))
    assert push.report.pushed[-1] == "Training interrupted"
    assert "checkpoint/training.safetensors" in api.list_repo_files(f"learner/{name}")
    assert push.finish() is push.report


def test_a_card_that_was_completed_stays(api, tmp_path):
    push = PushToHubCallback(tmp_path / "mine")
    fit(line_model(), push, epochs=1)
    mine = Path(hf_hub_download("learner/mine", "README.md")).read_text("utf-8").replace(
        COMMENT, "Für alle.")
    api.upload_file(path_or_fileobj=mine.encode(), path_in_repo="README.md", repo_id="learner/mine")
    push = PushToHubCallback(tmp_path / "elsewhere", hub_model_id="mine")
    fit(line_model(seed=1), push, epochs=2)
    assert Path(hf_hub_download("learner/mine", "README.md")).read_text("utf-8") == mine
    (tmp_path / "by-hand").mkdir()
    (tmp_path / "by-hand" / "README.md").write_text("# By hand", encoding="utf-8")
    fit(line_model(), PushToHubCallback(tmp_path / "by-hand"), epochs=1)
    assert Path(hf_hub_download("learner/by-hand", "README.md")).read_text("utf-8") == "# By hand"


def test_logs_go_along_and_what_lay_there_does_not(api, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "secret.txt").write_text("private")
    push = PushToHubCallback(folder)

    def log(epoch: int) -> None:
        (folder / "runs").mkdir(exist_ok=True)
        with (folder / "runs" / "events").open("a") as file:
            file.write(f"{epoch}\n")

    fit(line_model(), push, Then(log))
    files = set(api.list_repo_files("learner/logs"))
    assert "runs/events" in files and "secret.txt" not in files
    assert Path(hf_hub_download("learner/logs", "runs/events")).read_text() == "0\n1\n2\n"


def test_a_callback_serves_a_second_training(api, tmp_path):
    model, push = line_model(), PushToHubCallback(tmp_path / "twice")
    fit(model, push, epochs=1)
    fit(model, push, epochs=1)
    assert push.report.ok and push.step == 4 and len(push.epochs) == 1


@pytest.mark.parametrize("options, kind, text", [
    (dict(save_strategy="batch"), ValueError, "save_strategy is 'epoch', 'steps' or 'no'"),
    (dict(save_strategy="steps"), ValueError, "needs save_steps"),
    (dict(save_strategy="steps", save_steps=0), ValueError, "needs save_steps"),
    (dict(save_strategy="steps", save_steps=True), ValueError, "needs save_steps"),
    (dict(save_strategy="steps", save_steps=2.5), ValueError, "needs save_steps"),
    (dict(save_strategy="no", checkpoint=True), ValueError, "checkpoint=True stores"),
    (dict(hub_model_id="a b"), ValueError, "Repo id must"),
    (dict(licence="mit"), TypeError, "a model card has no licence"),
])
def test_wrong_arguments(api, tmp_path, options, kind, text):
    with pytest.raises(kind, match=text):
        PushToHubCallback(tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_no_token_and_no_folder(api, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="output_dir is a folder"):
        PushToHubCallback(tmp_path / "file")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(ValueError, match="pushing needs a token, and there is none"):
        PushToHubCallback(tmp_path / "x")


@pytest.mark.long
def test_killed_between_epochs_and_resumed(api, hub_server, tmp_path):
    model, data = bert_and_data(0)
    whole = model.fit(data, epochs=EPOCHS, verbose=0).history["loss"]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(CASES), str(tmp_path / "out")], cwd=root, timeout=180,
        env=hub_server.environment(PYTHONPATH=str(root)), capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]
    shutil.rmtree(tmp_path / "out")                # only what the Hub has is left

    model, data = bert_and_data(seed=1)
    at = resume_from_hub("learner/killed", model)
    assert at == (2, 12)
    push = PushToHubCallback(tmp_path / "again", hub_model_id="killed", checkpoint=True)
    rest = model.fit(replay(data, at.epoch), epochs=EPOCHS, initial_epoch=at.epoch, verbose=0,
                     callbacks=[push]).history["loss"]
    assert_allclose(rest, whole[2:], rtol=1e-6)
    rows = [line for line in ModelCard.load("learner/killed").text.splitlines() if "| " in line]
    assert len(rows) == 2 + EPOCHS and push.step == 6 * EPOCHS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert resume_from_hub("learner/killed", model) == (EPOCHS, 6 * EPOCHS)
