"""The Hub in a thread of this process."""

from urllib.error import URLError
from urllib.request import urlopen

import pytest

from course_lib.hub.background import BackgroundHub
from course_lib.hub.names import parse_repo_id


def test_it_answers_until_it_is_stopped_and_keeps_what_it_was_given(tmp_path):
    with BackgroundHub(tmp_path) as hub:
        hub.store.create_repo(parse_repo_id("model", "learner/notes"), author="learner")
        assert b'"ok"' in urlopen(f"{hub.url}/healthz").read()
        assert b"learner/notes" in urlopen(f"{hub.url}/api/models").read()
        port = int(hub.url.rpartition(":")[2])
    with pytest.raises(URLError):
        urlopen(f"{hub.url}/healthz")
    hub.stop()  # once more does nothing
    again = BackgroundHub(tmp_path, port)
    assert again.url == hub.url
    assert b"learner/notes" in urlopen(f"{again.url}/api/models").read()
    again.stop()


def test_a_port_in_use_is_an_error_at_once(tmp_path):
    with BackgroundHub(tmp_path / "one") as hub, pytest.raises(OSError):
        BackgroundHub(tmp_path / "two", int(hub.url.rpartition(":")[2]))
