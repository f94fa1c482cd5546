"""Patterns of `.gitattributes` and `.gitignore`: what git itself says of them."""

import shutil
import subprocess
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.hub.errors import HubError
from course_lib.hub.storage.gitpatterns import Attributes, Ignored
from course_lib.hub.storage.store import GITATTRIBUTES

LARGE = [
    # pattern, paths it means, paths it does not mean
    ("*.bin", ["a.bin", "x/y/a.bin", ".bin"], ["a.bin.txt", "abin", "a.BIN"]),
    ("model.h5", ["model.h5", "x/model.h5"], ["amodel.h5", "model.h5/x"]),
    ("data/*.csv", ["data/a.csv"], ["a.csv", "x/data/a.csv", "data/x/a.csv"]),
    ("/a.txt", ["a.txt"], ["x/a.txt"]),
    ("data/**", ["data/a", "data/x/y"], ["data", "xdata/a"]),
    ("**/logs/*.txt", ["logs/a.txt", "x/y/logs/a.txt"], ["logs/x/a.txt", "a.txt"]),
    ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a", "z", "a/b"]),
    ("*tfevents*", ["run/events.tfevents.123"], ["tfevent"]),
    ("[ab]?.x", ["a1.x", "x/b_.x"], ["c1.x", "a/.x", "a.x"]),
    ("[^a].x", ["b.x"], ["a.x"]),
    ("my[[:space:]]file.bin", ["my file.bin"], ["myfile.bin", "my_file.bin"]),
    (r"\*.txt", ["*.txt"], ["a.txt"]),
    ("saved_model/**/*", ["saved_model/a", "saved_model/x/y"], ["saved_model", "a"]),
]


@pytest.mark.parametrize("pattern, inside, outside", LARGE, ids=[row[0] for row in LARGE])
def test_a_pattern_means_what_it_means_to_git(pattern, inside, outside):
    attributes = Attributes(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n")
    assert [p for p in inside + outside if attributes.is_large(p)] == inside


def test_the_last_line_that_speaks_of_the_filter_wins():
    attributes = Attributes(
        "# large files\n*.bin filter=lfs\nsmall/*.bin -filter\n*.bin text\nx.bin !filter\n"
    )
    assert attributes.is_large("a.bin") and attributes.is_large("large/a.bin")
    assert not attributes.is_large("small/a.bin") and not attributes.is_large("x.bin")


def test_a_new_repository_keeps_the_usual_formats_as_large_files():
    attributes = Attributes(GITATTRIBUTES.decode())
    for name in ("model.safetensors", "data/train-00000.parquet", "a.tar.gz", "weights.h5"):
        assert attributes.is_large(name)
    for name in ("README.md", "config.json", "tokenizer.json", "train.csv", "safetensors"):
        assert not attributes.is_large(name)


def test_ignored_files():
    ignored = Ignored("*.log\n!keep.log\n/build/\ncache/\nsecret/*\n!secret/open.txt\n\n# no\n")
    for path in ("a.log", "x/a.log", "build/x", "x/cache/y/z", "secret/a", "secret/x/open.txt"):
        assert path in ignored
    for path in ("keep.log", "x/build/y", "build", "x/cache", "secret/open.txt", "no"):
        assert path not in ignored
    assert "build/keep.log" in ignored  # nothing in an ignored folder can be called back


def test_no_pattern_is_slow():
    started = time.monotonic()
    for pattern in ("*a" * 100 + "b", "**/" * 100 + "b", "a/**/" * 50 + "b", "[a-z]*" * 50 + "0"):
        assert "/".join(["a" * 200] * 9) not in Ignored(pattern)
    assert time.monotonic() - started < 2


def test_too_many_patterns_are_refused():
    with pytest.raises(HubError, match="gitignore is too long"):
        Ignored("a\n" * 1001)
    with pytest.raises(HubError, match="gitattributes is too long"):
        Attributes("#" * 100_000)


NAMES = st.text("ab.", min_size=1, max_size=3).filter(lambda name: set(name) != {"."})
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
GLOBS = st.lists(
    st.text("ab.*?", min_size=1, max_size=4) | st.sampled_from(["**", "*", "[ab]", "[!a]b"]),
    min_size=1,
    max_size=4,
).map("/".join)
LINES = st.tuples(st.sampled_from(["", "", "!"]), st.sampled_from(["", "/"]), GLOBS,
                  st.sampled_from(["", "", "/"])).map("".join)  # fmt: skip


@pytest.mark.skipif(not shutil.which("git"), reason="git says what is right")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lines=st.lists(LINES, min_size=1, max_size=4), paths=st.lists(PATHS, min_size=20))
def test_git_agrees(repository, lines, paths):
    (repository / ".gitignore").write_text("\n".join(lines) + "\n")
    answer = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(paths), cwd=repository, capture_output=True, text=True,
    )  # fmt: skip
    assert answer.returncode in (0, 1), answer.stderr
    ignored = Ignored("\n".join(lines))
    assert {p for p in paths if p in ignored} == set(answer.stdout.split("\0")) - {""}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", folder], check=True)
    return folder
