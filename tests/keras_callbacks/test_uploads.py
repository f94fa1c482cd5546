"""The background uploader: the newest state wins, errors are tried again, the end is awaited."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.keras_callbacks.uploads import Report, Uploader, is_lasting, within


class Answered(OSError):
    """An error with a Hub's answer, as the client raises it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status} from the Hub")
        self.response = type("Response", (), {"status_code": status})()


@pytest.fixture
def state(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a folder with a file."""

    def make(text: str) -> Path:
        folder = tmp_path / text
        folder.mkdir()
        (folder / "weights").write_text(text)
        return folder

    return make


def taken(uploader: Uploader) -> None:
    """Wait until nothing waits."""
    with uploader.changed:
        assert uploader.changed.wait_for(lambda: uploader.waiting is None, timeout=20)


def test_states_arrive_in_order_and_their_folders_go(state, tmp_path):
    seen = []

    def upload(folder: Path, title: str) -> None:
        seen.append((folder / "weights").read_text())

    uploader = Uploader("me/it", upload)
    for name in "abc":
        uploader.submit(state(name), name)
        taken(uploader)
    report = uploader.finish()
    assert report.ok and seen == report.pushed == ["a", "b", "c"] and report.skipped == 0
    assert not any((tmp_path / name).exists() for name in "abc")


def test_a_running_upload_blocks_nobody_and_the_newest_waits(state, tmp_path):
    line, seen = threading.Event(), []

    def slow(folder: Path, title: str) -> None:
        line.wait(20)
        seen.append((folder / "weights").read_text())

    uploader = Uploader("me/it", slow)
    uploader.submit(state("a"), "a")
    taken(uploader)
    for name in "bcd":
        uploader.submit(state(name), name)
    assert seen == [] and (tmp_path / "d").exists() and not (tmp_path / "b").exists()
    line.set()
    report = uploader.finish()
    assert seen == ["a", "d"] and report.skipped == 2 and report.ok


def test_a_passing_error_is_tried_again(state):
    errors = [ConnectionError("refused"), Answered(503), json.JSONDecodeError("half", "", 0)]

    def flaky(folder: Path, title: str) -> None:
        if errors:
            raise errors.pop()

    uploader = Uploader("me/it", flaky, wait=0.001)
    uploader.submit(state("a"), "a")
    assert uploader.finish().ok and uploader.report.pushed == ["a"] and not errors


def test_a_lasting_error_is_not(state):
    def refuse(folder: Path, title: str) -> None:
        raise Answered(403)

    uploader = Uploader("me/it", refuse, wait=1000)
    uploader.submit(state("a"), "a")
    report = uploader.finish()
    assert (report.ok, report.failed, report.tries) == (False, "a", 1)
    assert str(report) == ("me/it: 0 states pushed, 'a' did not arrive "
                           "(1 try; Answered: 403 from the Hub)")


def test_after_a_lasting_error_the_next_state_has_its_chance(state):
    def choosy(folder: Path, title: str) -> None:
        if title == "a":
            raise Answered(401)

    uploader = Uploader("me/it", choosy)
    uploader.submit(state("a"), "a")
    taken(uploader)
    uploader.submit(state("b"), "b")
    assert uploader.finish().ok and uploader.report.pushed == ["b"]


def test_the_end_does_not_wait_for_a_long_pause(state):
    failed, numbers = threading.Event(), []

    def second_time(folder: Path, title: str) -> None:
        numbers.append(title)
        if len(numbers) == 1:
            failed.set()
            raise ConnectionError("away")

    uploader = Uploader("me/it", second_time, wait=10_000, longest=10_000)
    uploader.submit(state("a"), "a")
    assert failed.wait(20)
    assert uploader.finish().ok and numbers == ["a", "a"]


def test_a_dead_hub_has_its_tries_after_the_end(state):
    def dead(folder: Path, title: str) -> None:
        raise ConnectionError("away")

    said: list[str] = []
    uploader = Uploader("me/it", dead, tries=3, wait=0.4)
    uploader.submit(state("a"), "a")
    report = uploader.finish(said.append)
    assert not report.ok and report.tries in (3, 4) and isinstance(report.error, ConnectionError)
    assert said == [] or "Pushing 'a' to me/it" in said[0]


def test_a_newer_state_replaces_one_that_fails(state):
    ready = threading.Event()

    def until_ready(folder: Path, title: str) -> None:
        if not ready.is_set():
            raise ConnectionError("away")

    uploader = Uploader("me/it", until_ready, wait=0.001, longest=0.001)
    uploader.submit(state("a"), "a")
    taken(uploader)
    uploader.submit(state("b"), "b")
    taken(uploader)
    ready.set()
    report = uploader.finish()
    assert report.ok and report.pushed == ["b"] and report.skipped == 1 and report.error is None


def test_a_finish_without_states_is_a_report():
    report = Uploader("me/it", lambda folder, title: None).finish()
    assert report == Report("me/it") and report.ok


@given(st.integers(100, 599))
def test_only_wrong_requests_last(status):
    lasting = is_lasting(Answered(status))
    assert not lasting or 400 <= status < 500
    assert lasting or status not in (400, 401, 403, 404, 410)


def test_within_waits_no_longer():
    with pytest.raises(TimeoutError, match="no answer in 0.01 seconds"):
        within(0.01, threading.Event().wait)
    with pytest.raises(KeyError, match="x"):
        within(20, lambda: {}["x"])
