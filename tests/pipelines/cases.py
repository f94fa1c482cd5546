"""What both generations of transformers are asked, on the models of `small.py`.

Run on its own it prints the answers of the `pipeline` that it finds in transformers, as JSON:

    python tests/pipelines/cases.py FOLDER_OF_MODELS > tests/pipelines/reference.json

with transformers 4.57.6 on the path. Under transformers 5 the tests ask ours.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTEXT = (
    "Ada lived in London and wrote letters to friends. Grace built a bridge over the river, and in "
    "the town of Paris the first machine works. The old program was new in the year 1843."
)
SHORT = "The bridge over the Thames in London was built in the year 1894, and it is old."
ACCENTS = "Zoé lived in Zürich — «the old town» — with 3 friends; naïve, she wrote letters."
WHO, WHERE = "Who wrote letters?", "Where is the bridge?"
READERS = ("bert", "distilbert", "roberta")
# What is asked of every reader: arguments of the call.
QUESTIONS = [
    {"question": WHO, "context": CONTEXT},
    {"question": WHERE, "context": SHORT},
    {"question": WHO, "context": ACCENTS},
    {"question": WHERE, "context": CONTEXT, "top_k": 5},
    {"question": WHERE, "context": SHORT, "top_k": 3, "max_answer_len": 2},
    {"question": WHO, "context": CONTEXT, "align_to_words": False},
    {"question": WHO, "context": ACCENTS, "align_to_words": False, "top_k": 4},
    {"question": WHO, "context": SHORT, "handle_impossible_answer": True, "top_k": 40},
    {"question": [WHO, WHERE], "context": [CONTEXT, SHORT]},
    {"question": [WHO, WHERE], "context": SHORT, "batch_size": 2},
    {"question": [WHO], "context": [SHORT]},
]
GOOD = "Good morning, friends."
LONG = "Grace built a bridge over the river in the old town of Paris."
# model, task, what to make the pipeline with, what to call it with
TEXTS = [
    ("bart", "text2text-generation", {"max_new_tokens": 9}, [GOOD], {}),
    ("bart", "text2text-generation", {}, [[GOOD, LONG]], {"max_new_tokens": 7, "num_beams": 1}),
    ("bart", "text2text-generation", {"max_new_tokens": 8}, [[GOOD]], {"num_return_sequences": 3}),
    ("bart", "summarization", {}, [CONTEXT], {}),
    ("bart", "summarization", {}, [[LONG, CONTEXT]], {"max_length": 12, "min_length": 4}),
    ("bart", "summarization", {}, [[LONG, CONTEXT, GOOD]], {"batch_size": 3}),
    ("bart", "translation", {"max_new_tokens": 6}, [GOOD], {"return_tensors": True}),
    ("t5", "translation_en_to_fr", {}, [GOOD], {}),
    ("t5", "translation_en_to_fr", {}, [[GOOD, LONG]], {"batch_size": 2}),
    ("t5", "translation_en_to_de", {"max_new_tokens": 8}, [GOOD], {}),
    ("t5", "summarization", {}, [LONG], {}),
    ("t5", "summarization", {}, [LONG], {"min_length": 3, "max_length": 9, "num_beams": 2}),
    ("t5", "text2text-generation", {"max_new_tokens": 5}, [LONG], {"num_return_sequences": 2}),
    ("t5", "text2text-generation", {"max_new_tokens": 9}, [LONG], {"stop_sequence": "the"}),
]


def plain(answer: Any) -> Any:
    """The same as JSON can hold it."""
    if hasattr(answer, "tolist"):
        return answer.tolist()
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items()}
    return [plain(one) for one in answer] if isinstance(answer, list) else answer


def answers(pipeline: Callable, folder: Path) -> dict[str, Any]:
    """Every answer, in the order of the cases."""
    readers = {}
    for name in READERS:
        ask = pipeline("question-answering", model=str(folder / name), device="cpu")
        readers[name] = [plain(ask(**case)) for case in QUESTIONS]
    texts = []
    for name, task, made_with, args, options in TEXTS:
        made = pipeline(task, model=str(folder / name), device="cpu", **made_with)
        texts.append(plain(made(*args, **options)))
    return {"questions": readers, "texts": texts}


if __name__ == "__main__":
    import transformers

    found = answers(transformers.pipeline, Path(sys.argv[1]))
    print(json.dumps({"transformers": transformers.__version__, **found}, indent=1))
