"""What keras_models.py measures: jobs, who does them, and what they read.

    python benchmarks/keras_jobs.py FOLDER

writes the checkpoints, in a process of its own because PyTorch makes them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

BATCH, TEXTS, PROMPT, SOURCE, NEW_TOKENS = 16, 8, 8, 32, 100
VOCABULARY = 8000  # of the models that write; the classifier has BERT's 30522
NAMES = {"torch": "PyTorch", "ours": "course_lib.tf", "hub": "keras-hub"}
HOWS = {"eager": "eager", "compile": "torch.compile", "graph": "graph", "xla": "XLA"}
PYTORCH = ("torch", "eager", None)  # what everybody is compared with
Kind = tuple[str, str, "int | None"]  # framework, how, threads; None: as many as --threads says
CLASSIFY: tuple[Kind, ...] = (PYTORCH, ("torch", "compile", None), ("ours", "graph", None),
            ("ours", "xla", None), ("hub", "graph", None), ("hub", "xla", None))  # fmt: skip
ALONE: tuple[Kind, ...] = (("torch", "eager", 1), ("ours", "graph", 1))
WRITE: tuple[Kind, ...] = (PYTORCH, ("ours", "xla", None))
STEPWISE, HUB_WRITES = ("ours", "eager", None), ("hub", "xla", None)
STYLES = {
    "greedy": {},
    "left": {},
    "beams": {"num_beams": 4},
    "sample": {"do_sample": True, "top_k": 50},
    "translate": {},
}  # options of generate


@dataclass
class Job:
    """Something to measure, and who does it."""

    title: str
    order: dict[str, Any]  # what a worker is told
    amount: int  # examples or tokens of a step
    kinds: tuple[Kind, ...]
    found: dict[Kind, dict[str, Any]] = field(default_factory=dict)


def groups() -> dict[str, list[Job]]:
    """All jobs; those of a group share their processes."""

    def classify(work: str, length: int, more: tuple[Kind, ...] = ()) -> Job:
        what = {"infer": "inference", "train": "training"}[work]
        order = {"work": work, "length": length}
        return Job(f"{what}, length {length}", order, BATCH, (*CLASSIFY, *more))

    def write(title: str, work: str, *more: Kind) -> Job:
        return Job(title, {"work": work}, TEXTS * NEW_TOKENS, (*WRITE, *more))

    return {
        "infer": [classify("infer", 64), classify("infer", 128)],
        "train": [classify("train", 64, ALONE), classify("train", 128)],
        "write": [
            write("GPT-2, greedy", "greedy", STEPWISE, HUB_WRITES),
            write("GPT-2, greedy, left padding", "left"),
            write("GPT-2, 4 beams", "beams", HUB_WRITES),
            write("GPT-2, sampling of 50", "sample", HUB_WRITES),
        ],
        "translate": [write("Marian, greedy", "translate", STEPWISE)],
    }


def batches() -> dict[str, np.ndarray]:
    """What is read: texts of uneven lengths, padded, for the classifier and the translator."""
    rng = np.random.default_rng(0)
    found: dict[str, np.ndarray] = {}

    def add(name: str, rows: int, length: int, words: int, side: str | None = None) -> None:
        ids = rng.integers(5, words, (rows, length))
        pads = rng.integers(0, length // 2 + 1, (rows, 1)) * (np.arange(rows)[:, None] > 0)
        mask = np.ones_like(ids)
        if side == "right":
            mask = (np.arange(length) < length - pads).astype(ids.dtype)
        elif side == "left":
            mask = (np.arange(length) >= pads).astype(ids.dtype)
        found[f"{name}/input_ids"], found[f"{name}/attention_mask"] = ids * mask, mask

    for length in (64, 128):
        add(str(length), BATCH, length, 30522, "right")
        found[f"{length}/labels"] = rng.integers(0, 2, BATCH)
    for name in ("greedy", "beams", "sample"):
        add(name, TEXTS, PROMPT, VOCABULARY)
    add("left", TEXTS, PROMPT, VOCABULARY, "left")
    add("translate", TEXTS, SOURCE, VOCABULARY, "right")
    return found


def label(kind: Kind) -> str:
    """A candidate's name."""
    framework, how, threads = kind
    return f"{NAMES[framework]}, {HOWS[how]}" + (f", {threads} thread" if threads else "")


def make(folder: Path) -> None:
    """Write the checkpoints that every candidate reads: random weights, no end of text."""
    import torch
    import transformers as t

    torch.manual_seed(0)
    writes = {"bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0, "vocab_size": VOCABULARY}
    models = {
        "bert": t.BertForSequenceClassification(t.BertConfig(
            hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)),
        "gpt2": t.GPT2LMHeadModel(t.GPT2Config(
            n_embd=384, n_layer=6, n_head=6, n_positions=256, **writes)),
        "marian": t.MarianMTModel(t.MarianConfig(
            d_model=384, encoder_layers=6, decoder_layers=6, encoder_attention_heads=6,
            decoder_attention_heads=6, encoder_ffn_dim=1536, decoder_ffn_dim=1536,
            max_position_embeddings=256, decoder_start_token_id=0, forced_eos_token_id=None,
            activation_function="gelu", **writes)),
    }  # fmt: skip
    for name, model in models.items():
        if name != "bert":
            for weight in model.parameters():  # else a text is one token again and again
                weight.data *= 4 if weight.dim() > 1 else 1
        model.save_pretrained(folder / name)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
