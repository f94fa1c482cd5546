"""What the flows of huggingface_hub share."""

import itertools
import os
import random
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download

api = HfApi()
numbers = itertools.count()


def fresh(kind: str = "model") -> str:
    """A new repository."""
    name = f"learner/repo-{os.getpid()}-{next(numbers)}"
    api.create_repo(name, repo_type=kind, space_sdk="gradio" if kind == "space" else None)
    return name


@contextmanager
def fails(kind: type[Exception], text: str = "", status: int | None = None):
    """The block must raise this error."""
    try:
        yield
    except kind as error:
        assert text in str(error), f"{text!r} is not in {error}"
        assert status is None or error.response.status_code == status, error
    else:
        raise AssertionError(f"{kind.__name__} was expected")


def read(repo: str, path: str, **more) -> bytes:
    return Path(hf_hub_download(repo, path, **more)).read_bytes()


def random_bytes(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)
