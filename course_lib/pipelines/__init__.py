"""`transformers.pipeline` with the tasks that transformers 5 removed.

    from course_lib.pipelines import pipeline

    pipeline("translation_en_to_fr", model="Helsinki-NLP/opus-mt-en-fr")("Good morning.")
    pipeline("question-answering")(question="Who is here?", context="Ada is here.")

Translation, summarization, text-to-text generation and question answering are answered here; every
other task goes on to transformers. Nothing is registered there.
"""

import importlib
from typing import Any

# Looked up on first use: PyTorch and transformers are loaded when a pipeline is made.
_HOMES = {
    "pipeline": "tasks",
    "TASKS": "tasks",
    "Text2TextGenerationPipeline": "text_to_text",
    "SummarizationPipeline": "text_to_text",
    "TranslationPipeline": "text_to_text",
    "QuestionAnsweringPipeline": "question_answering",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
