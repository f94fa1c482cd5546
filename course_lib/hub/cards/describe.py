"""What lists and pages say of a repository: read from its card and config when `main` moves."""

from __future__ import annotations

import json
from collections.abc import Callable

from course_lib.hub.cards.front_matter import CardError, metadata
from course_lib.hub.names import plain_text

# The last words of a model class tell its task.
TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "translation",
}


def describe(kind: str, read: Callable[[str], str | None]) -> dict:
    """A repository's summary.

    `read` gives the text of a file of the repository, or None. The answer has `card` (the
    metadata), `tags` as the Hub shows them, and for models `pipeline_tag`, `library_name` and
    `config` (architectures and model type).
    """
    try:
        card = metadata(read("README.md") or "")
    except CardError:  # it says nothing then; validate-yaml has told its author why
        card = {}
    summary: dict = {"card": card}
    if kind == "model":
        config = _config(read("config.json"))
        summary["config"] = config
        summary["library_name"] = _text(card.get("library_name")) or (
            "transformers" if config else None
        )
        summary["pipeline_tag"] = _text(card.get("pipeline_tag")) or _task(config)
    summary["tags"] = _tags(kind, card, summary)
    return summary


def _config(text: str | None) -> dict:
    try:
        config = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(config, dict):
        return {}
    names = _texts(config.get("architectures"))
    model_type = _texts(config.get("model_type"))[:1]
    return {
        **({"architectures": names} if names else {}),
        **({"model_type": model_type[0]} if model_type else {}),
    }


def _task(config: dict) -> str | None:
    return next(
        (
            task
            for name in config.get("architectures", [])
            for ending, task in TASKS.items()
            if name.endswith(ending)
        ),
        None,
    )


def _tags(kind: str, card: dict, summary: dict) -> list[str]:
    """The card's tags, and those made from its other entries."""
    language = "language:" if kind == "dataset" else ""
    tags = [
        *_texts(summary.get("library_name")),
        *_texts(summary.get("pipeline_tag")),
        *_texts(summary.get("config", {}).get("model_type")),
        *_texts(card.get("tags")),
        *(f"{language}{name}" for name in _texts(card.get("language"))),
        *(f"license:{name}" for name in _texts(card.get("license"))),
        *(f"dataset:{name}" for name in _texts(card.get("datasets"))),
        *(f"base_model:{name}" for name in _texts(card.get("base_model"))),
        *(f"task_categories:{name}" for name in _texts(card.get("task_categories"))),
        *(f"size_categories:{name}" for name in _texts(card.get("size_categories"))),
    ]
    return list(dict.fromkeys(tags))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [plain_text(item) for item in values if isinstance(item, str) and item]
