"""The catalogue puts stand-ins into a Hub: whole or not at all, also when the machine stops."""

import importlib.util
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_lib.hub.names import RepoId, parse_repo_id
from course_lib.hub.storage.store import Store
from course_lib.metrics import METRICS
from course_lib.zoo import catalogue
from course_lib.zoo.catalogue import ENTRIES, Catalogue
from course_lib.zoo.sentiment import ENTRY as SENTIMENT

METRIC = next(entry for entry in ENTRIES if entry.repo_id.name == "f1")
NAMES = {
    "bert-base-uncased": "google-bert/bert-base-uncased",
    "bert-base-cased": "google-bert/bert-base-cased",
    "distilbert-base-uncased": "distilbert/distilbert-base-uncased",
    "distilbert-base-uncased-finetuned-sst-2-english": (
        "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
    ),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store with everything in it, and how long that took."""
    store = Store(tmp_path_factory.mktemp("hub"))
    started = time.process_time()
    for entry in ENTRIES:
        Catalogue().assemble(entry.repo_id, store)
    return SimpleNamespace(store=store, seconds=time.process_time() - started)


def state(store: Store) -> dict:
    """All that can be seen of the repositories."""
    return {
        repo.id: (store.refs(repo), [commit.oid for commit in store.commits(repo, "main")])
        for repo in store.repos()
    }


def test_everything_is_there_in_time(whole):
    assert {repo.id for repo in whole.store.repos()} == {entry.repo_id for entry in ENTRIES}
    assert whole.seconds < 60  # of CPU: a few seconds of it


@pytest.mark.parametrize("short", NAMES)
def test_short_names_are_aliases(short, whole):
    assert whole.store.repo(parse_repo_id("model", short)).id.full == NAMES[short]


def test_pinned_revisions_are_tags(whole):
    for entry in ENTRIES:
        repo = whole.store.repo(entry.repo_id)
        for pin in entry.pins:
            assert whole.store.resolve(repo, pin) == whole.store.resolve(repo, "main")
    assert SENTIMENT.pins == ("714eb0f",) and METRIC.pins == ("v0.4.6",)


TEXT_TASKS = (
    "feature-extraction",
    "text-classification",
    "token-classification",
    "fill-mask",
    "text-generation",
    "zero-shot-classification",
)


def pinned_defaults() -> dict[str, str]:
    """Of each text task, the default model and its revision, in our sources and transformers'."""
    folder = Path(importlib.util.find_spec("transformers").origin).parent
    source = (folder / "pipelines" / "__init__.py").read_text(encoding="utf-8")
    found = {}
    for task in TEXT_TASKS:
        of_task = source[source.index(f'"{task}": {{') :]
        found.update([re.search(r'\("([\w./-]+)",\s*"(\w{7})"\)', of_task).groups()])
    ours = (Path(__file__).parents[2] / "course_lib/pipelines/tasks.py").read_text(encoding="utf-8")
    return found | dict(re.findall(r'"([\w./-]+)", "(\w{7})"', ours))


def test_pins_are_those_of_the_pipelines():
    """Read, not imported: that takes longer than all other tests of this file."""
    pins = {entry.repo_id.full: entry.pins for entry in Catalogue().listing("model")}
    defaults = pinned_defaults()
    assert len(defaults) == 9
    assert {name: pins.get(name) for name in defaults} == {
        name: (revision,) for name, revision in defaults.items()
    }


def test_two_hubs_get_the_same_commit(whole, tmp_path):
    other = Store(tmp_path)
    Catalogue().assemble(METRIC.repo_id, other)
    assert state(other)[METRIC.repo_id] == state(whole.store)[METRIC.repo_id]


def test_a_second_time_changes_nothing(whole):
    before = state(whole.store)
    for entry in ENTRIES:
        Catalogue().assemble(entry.repo_id, whole.store)
    assert state(whole.store) == before


def test_what_a_learner_pushed_later_stays(tmp_path):
    from course_lib.hub.storage.store import AddFile

    store = Store(tmp_path)
    Catalogue().assemble(METRIC.repo_id, store)
    repo = store.repo(METRIC.repo_id)
    blob = store.blobs.put(b"mine")
    store.commit(repo, "main", [AddFile("README.md", blob, False)], title="Mine", author="learner")
    before = state(store)
    Catalogue().assemble(METRIC.repo_id, store)
    assert state(store) == before


class Edited(catalogue.MetricEntry):
    """The same stand-in from a newer package: one file more, one less, one other."""

    def files(self):
        files = dict(super().files())
        del files["requirements.txt"]
        yield from {**files, "NEW.md": [b"new"], "README.md": [b"other"]}.items()


def test_a_newer_package_renews_what_nobody_has_touched(tmp_path):
    store, old = Store(tmp_path), small_entry()
    new = Edited(old.repo_id, old.stands_for, old.aliases, (*old.pins, "v9"))
    assert new.edition != old.edition == small_entry().edition
    Catalogue([old]).assemble(old.repo_id, store)
    repo = store.repo(old.repo_id)
    before = store.resolve(repo, "main")
    Catalogue([new]).assemble(old.repo_id, store)
    assert names_of(store, repo) == {".gitattributes", "README.md", "f1.py", "NEW.md"}
    head = store.resolve(repo, "main")
    assert head.parent == before.oid and head == store.resolve(repo, "v0.4.6")
    assert head == store.resolve(repo, "v9")
    assert store.resolve(repo, before.oid) == before, "the older one can still be asked for"


def test_a_newer_package_leaves_what_a_learner_has_changed(tmp_path):
    from course_lib.hub.storage.store import AddFile

    store, old = Store(tmp_path), small_entry()
    Catalogue([old]).assemble(old.repo_id, store)
    repo = store.repo(old.repo_id)
    mine = AddFile("README.md", store.blobs.put(b"mine"), False)
    store.commit(repo, "main", [mine], title="Mine", author="learner")
    before = state(store)
    Catalogue([Edited(old.repo_id, old.stands_for, old.aliases, old.pins)]).assemble(
        old.repo_id, store
    )
    assert state(store) == before


def test_what_somebody_brought_is_not_written_over(tmp_path):
    """A Hub of an older package does not say which of its repositories were brought."""
    from course_lib.hub.storage.store import AddFile

    store = Store(tmp_path)
    repo = store.create_repo(METRIC.repo_id, author="learner")
    blob = store.blobs.put(b"the real one")
    store.commit(repo, "main", [AddFile("f1.py", blob, False)], title="Import", author="learner")
    before = state(store)
    Catalogue().assemble(METRIC.repo_id, store)
    assert state(store) == before


def test_editions_follow_the_weights(tmp_path, monkeypatch):
    from course_lib.zoo import entries
    from course_lib.zoo.recipes import shipped

    report = tmp_path / "sentiment.json"
    report.write_text(shipped("sentiment.json").read_text().replace('"sha256": "', '"sha256": "0'))
    before = SENTIMENT.edition
    monkeypatch.setattr(entries, "shipped", lambda name: report)
    assert replace(SENTIMENT).edition != before == SENTIMENT.edition


def test_listing_and_summary_match_the_repository(whole):
    for entry in ENTRIES:
        assert whole.store.repo(entry.repo_id).summary == entry.summary
        assert "stand-in" in entry.summary["tags"]
    assert Catalogue().listing("model")
    assert len(Catalogue().listing("space")) == len(METRICS)
    assert {"glue", "imdb"} <= {entry.repo_id.name for entry in Catalogue().listing("dataset")}


def test_listing_needs_no_base_encoder(monkeypatch):
    monkeypatch.setattr("course_lib.zoo.base.package_file", lambda name: pytest.fail("was read"))
    for entry in Catalogue().listing("model"):
        assert entry.summary["config"]["model_type"] == entry.model_type


def test_unknown_ids():
    with pytest.raises(LookupError, match="no stand-in for the model nobody/nothing"):
        Catalogue().find(RepoId("model", "nobody", "nothing"))


class Stop(Exception):
    """The machine stops here."""


STEPS = ("create_repo", "commit", "add_alias", "create_tag")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_was_interrupted_is_completed(step, moment, tmp_path, monkeypatch):
    """One commit brings all files: between the steps a repository is empty or whole."""
    entry = small_entry()
    store, real = Store(tmp_path), getattr(Store, step)

    def interrupted(self, *args, **kwargs):
        if moment == "after":
            real(self, *args, **kwargs)
        raise Stop

    with monkeypatch.context() as patched:
        patched.setattr(Store, step, interrupted)
        with pytest.raises(Stop):
            Catalogue([entry]).assemble(entry.repo_id, store)
    files = {".gitattributes", "README.md", "f1.py", "requirements.txt"}
    repo = store.find_repo(entry.repo_id)
    assert repo is None or names_of(store, repo) in ({".gitattributes"}, files)
    Catalogue([entry]).assemble(entry.repo_id, store)
    repo = store.repo(entry.aliases[0])
    assert names_of(store, repo) == files
    assert set(store.refs(repo)) == {"refs/heads/main", "refs/tags/v0.4.6"}
    assert len(store.commits(repo, "main")) == 2


def small_entry() -> catalogue.MetricEntry:
    """A metric with an alias: every step happens, and quickly."""
    alias = RepoId("space", "", "f1")
    return catalogue.MetricEntry(METRIC.repo_id, METRIC.stands_for, [alias], METRIC.pins)


def names_of(store: Store, repo) -> set[str]:
    return {path for path, _ in store.trees.files(store.resolve(repo, "main").tree)}


def test_killed_in_the_middle_of_the_weights(tmp_path):
    """`kill -9` while the large file is written; the next process finishes."""
    code = """
import os, signal, sys
from course_lib.hub.storage.store import Store
from course_lib.zoo.catalogue import Catalogue
from course_lib.zoo.sentiment import ENTRY as SENTIMENT
written = 0
def die(size):
    global written
    written += size
    if written > 40_000_000:
        os.kill(os.getpid(), signal.SIGKILL)
Catalogue(progress=die).assemble(SENTIMENT.repo_id, Store(sys.argv[1]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert done.returncode == -signal.SIGKILL
    store = Store(tmp_path)
    assert names_of(store, store.repo(SENTIMENT.repo_id)) == {".gitattributes"}
    Catalogue().assemble(SENTIMENT.repo_id, store)
    assert "model.safetensors" in names_of(store, store.repo(SENTIMENT.repo_id))


def test_a_card_says_first_what_it_is():
    for entry in ENTRIES:
        first = entry.card().split("---\n", 2)[2].splitlines()[0]
        assert "stand-in for" in first and "**" in first
