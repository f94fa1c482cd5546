"""Models of `small.py`, written once, and pipelines of them."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from course_lib.pipelines import pipeline
from tests.pipelines import small


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The models are too small for more."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each model."""
    root = tmp_path_factory.mktemp("models")
    for name in small.MODELS:
        small.write(name, root / name)
    return root


@pytest.fixture(scope="session")
def make(folders: Path) -> Callable[..., Any]:
    """`make(task, name, **options)`: a pipeline on the CPU."""

    def made(task: str, name: str, **options: Any) -> Any:
        return pipeline(task, model=str(folders / name), device="cpu", **options)

    return made


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
           ) -> Callable[[], list[str]]:
    """The warnings so far. The logger of transformers passes them on only where CI is set."""
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    caplog.set_level(logging.WARNING, logger="transformers")
    return lambda: [record.getMessage() for record in caplog.records]
