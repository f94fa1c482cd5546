"""A course on Hugging Face Transformers that always runs; `course_lib.start()` opens every notebook."""

from typing import Any

__version__ = "0.1.0"

__all__ = ["start"]


def __getattr__(name: str) -> Any:
    # `start` is looked up on first use, so that importing the package costs nothing.
    if name == "start":
        from course_lib.session import start

        return start
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
