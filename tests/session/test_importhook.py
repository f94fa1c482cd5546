"""The import hook: actions run after an import, and nobody else notices."""

import importlib
import importlib.util
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from course_lib import importhook
from course_lib.importhook import ActingFinder, after_import

MODULE = """
loader_while_loading = __spec__.loader
package_data = __loader__.get_data(__file__)
"""
NAMES = ("liba", "libb", "libc", "libc.inner")


@pytest.fixture
def finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ActingFinder]:
    """A finder of the test's own; `liba`, `libb` and the package `libc` can be imported."""
    (tmp_path / "liba.py").write_text(MODULE)
    (tmp_path / "libb.py").write_text(MODULE)
    (tmp_path / "libc").mkdir()
    (tmp_path / "libc" / "__init__.py").touch()
    (tmp_path / "libc" / "inner.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    monkeypatch.setattr(importhook, "_finder", ActingFinder())
    yield importhook._finder
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def seen(finder: ActingFinder) -> list[str]:
    """The names of the modules that were acted on; every one in NAMES is waited for."""
    names: list[str] = []
    note = lambda module: names.append(module.__name__)  # noqa: E731
    for name in NAMES:
        after_import(name, note)
        after_import(name, note)  # noted once
    return names


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


def test_imported_later(seen: list[str], finder: ActingFinder) -> None:
    assert seen == [] and sys.meta_path.count(finder) == 1
    load("liba")
    assert seen == ["liba"]
    load("libc.inner")
    assert seen == ["liba", "libc", "libc.inner"] and finder in sys.meta_path
    load("libb")
    assert seen[-1] == "libb" and finder not in sys.meta_path


def test_imported_before(finder: ActingFinder) -> None:
    module, seen = load("liba"), []
    after_import("liba", seen.append)
    after_import("liba", seen.append)
    assert seen == [module, module] and finder not in sys.meta_path


def test_the_module_does_not_notice(seen: list[str]) -> None:
    module = load("liba")
    assert type(module.__loader__).__name__ == "SourceFileLoader"
    assert module.__spec__.loader is module.__loader__ is module.loader_while_loading
    assert module.package_data == MODULE.encode()


def test_actions_in_order(finder: ActingFinder) -> None:
    seen: list[int] = []
    for number in range(3):
        after_import("liba", lambda module, number=number: seen.append(number))
    load("liba")
    assert seen == [0, 1, 2]


def test_an_action_may_import_and_ask_for_more(finder: ActingFinder) -> None:
    seen: list[str] = []

    def act(module: ModuleType) -> None:
        after_import("libb", lambda inner: seen.append(inner.__name__))
        load("libb")
        seen.append(module.__name__)

    after_import("liba", act)
    load("liba")
    assert seen == ["libb", "liba"]


def test_looking_is_not_importing(seen: list[str]) -> None:
    spec = importlib.util.find_spec("liba")
    assert spec.origin.endswith("liba.py") and spec.loader.get_data(spec.origin) == MODULE.encode()
    assert "liba" not in sys.modules and seen == []
    module = importlib.util.module_from_spec(spec)  # as plug-in systems load by hand
    spec.loader.exec_module(module)
    assert seen == ["liba"]


def test_reloading_is_no_import(seen: list[str]) -> None:
    importlib.reload(load("liba"))
    assert seen == ["liba"]


def test_loaded_lazily(seen: list[str]) -> None:
    spec = importlib.util.find_spec("liba")
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules["liba"] = module
    spec.loader.exec_module(module)
    assert seen == []
    assert module.package_data  # the first look loads it
    assert seen == ["liba"]


def test_a_failed_import_fails_as_ever_and_may_be_repeated(seen: list[str], tmp_path: Path) -> None:
    (tmp_path / "liba.py").write_text("raise OSError('no device')")
    with pytest.raises(OSError, match="no device"):
        load("liba")
    assert "liba" not in sys.modules and seen == []
    (tmp_path / "liba.py").write_text("fine = True  # now")
    importlib.invalidate_caches()
    assert load("liba").fine and seen == ["liba"]


def test_an_import_takes_none_of_your_random_numbers(seen: list[str], tmp_path: Path) -> None:
    (tmp_path / "liba.py").write_text("import random\nrandom.random()")
    state = random.getstate()
    load("liba")
    assert random.getstate() == state


def test_an_action_that_fails_is_heard(finder: ActingFinder) -> None:
    def fail(module: ModuleType) -> None:
        raise ValueError("not with me")

    after_import("liba", fail)
    with pytest.raises(ValueError, match="not with me"):
        load("liba")
    assert finder not in sys.meta_path


def test_what_is_not_installed_stays_so(finder: ActingFinder) -> None:
    after_import("lib_that_is_not_there", print)
    assert importlib.util.find_spec("lib_that_is_not_there") is None
    with pytest.raises(ModuleNotFoundError):
        load("lib_that_is_not_there")


def test_a_module_that_replaces_itself(finder: ActingFinder, tmp_path: Path) -> None:
    (tmp_path / "liba.py").write_text("import sys\nsys.modules[__name__] = 'what is seen'")
    seen: list[object] = []
    after_import("liba", seen.append)
    load("liba")
    assert seen == ["what is seen"]


def test_a_module_that_is_blocked(finder: ActingFinder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liba", None)  # the way to forbid an import
    after_import("liba", print)
    with pytest.raises(ModuleNotFoundError):
        load("liba")


def test_old_finders_without_find_spec(
    seen: list[str], finder: ActingFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert finder.find_spec("liba") is not None
    monkeypatch.setattr(sys, "meta_path", [finder, object()])
    assert finder.find_spec("liba") is None
