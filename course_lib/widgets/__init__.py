"""Six widgets for notebooks: live where a kernel runs, readable where none does."""

from importlib import import_module
from typing import Any

HOMES = {
    "TokenizerExplorer": "tokenizer_explorer",
    "AttentionView": "attention_view",
    "NextTokenExplorer": "next_token",
    "Dashboard": "dashboard",
    "Quiz": "quiz",
    "Question": "quiz",
    "Choice": "quiz",
    "Comparison": "comparison",
}

__all__ = sorted(HOMES)


def __getattr__(name: str) -> Any:
    # A widget's module is loaded on first use, so that importing the package costs nothing.
    if name in HOMES:
        return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
