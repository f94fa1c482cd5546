"""Assembled stand-ins: made once for all tests that only read them."""

from pathlib import Path

import pytest

from course_lib.zoo.assembly import write_files
from course_lib.zoo.catalogue import ENTRIES


@pytest.fixture(scope="session")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of every model, by its short name: folders as `from_pretrained` takes them."""
    root = tmp_path_factory.mktemp("assembled")
    models = [entry for entry in ENTRIES if entry.repo_id.kind == "model"]
    for entry in models:
        write_files(entry.files(), root / entry.repo_id.name)
    return {entry.repo_id.name: root / entry.repo_id.name for entry in models}
