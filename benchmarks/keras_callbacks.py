"""What KerasMetricCallback costs on top of plain `predict` over the same data.

    python benchmarks/keras_callbacks.py [--rounds 15] [--threads 2] [--wall]

Both go through the same data with the same model. They take turns, and the order changes from round
to round, so that whatever else the machine does falls on both alike. The ratio is taken within a
round; the table holds medians, and of the ratios also the quartiles. Time is the processor's, of
all threads, which other work on the machine hardly changes; --wall takes the clock on the wall.
The metric function only counts rows. What is measured is the pass after an epoch; both have
compiled before.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def jobs() -> dict[str, tuple[Any, Any]]:
    """Models and data: dictionaries of arrays in tf.data, with labels beside them."""
    import keras
    import tensorflow as tf
    from keras import layers
    from transformers import BertConfig

    from course_lib.tf.models import TFBertForSequenceClassification

    rng = np.random.default_rng(0)

    def batches(inputs: Any, rows: int, size: int) -> Any:
        return tf.data.Dataset.from_tensor_slices((inputs, np.zeros(rows, "int64"))).batch(size)

    def bert(width: int, depth: int) -> Any:
        config = BertConfig(
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=width // 32,
            intermediate_size=4 * width,
            vocab_size=8000,
        )
        model = TFBertForSequenceClassification(config)
        model.compile("adam")
        return model

    ids = rng.integers(5, 8000, (500, 64))
    x = rng.normal(size=(4000, 256)).astype("float32")
    inputs = keras.Input((256,))
    hidden = layers.Dense(2048, "relu")(layers.Dense(2048, "relu")(inputs))
    dense = keras.Model(inputs, layers.Dense(2)(hidden))
    dense.compile("adam", "mse")
    return {
        "BERT, 6 layers of 384, 200 texts of 64 tokens, batch 16": (
            bert(384, 6),
            batches({"input_ids": ids[:200]}, 200, 16),
        ),
        "BERT, 2 layers of 128, 500 texts of 64 tokens, batch 16": (
            bert(128, 2),
            batches({"input_ids": ids}, 500, 16),
        ),
        "two dense layers of 2048, 4000 rows, batch 64": (dense, batches(x, 4000, 64)),
    }


def compare(
    plain: Callable[[], Any], ours: Callable[[], Any], rounds: int, clock: Callable[[], float]
) -> list[list[float]]:
    """Seconds of both, round by round."""
    found = []
    for number in range(rounds + 1):
        seconds = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            began = clock()
            (plain, ours)[which]()
            seconds[which] = clock() - began
        found.append(seconds)
    return found[1:]  # the first round compiles


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--wall", action="store_true")
    args = parser.parse_args()
    os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from course_lib.keras_callbacks import KerasMetricCallback

    print("| model and data | predict, ms | callback, ms | on top, median (quartiles) |")
    print("|---|---|---|---|")
    for title, (model, data) in jobs().items():
        callback = KerasMetricCallback(lambda pair: {"rows": len(pair.label_ids)}, data)
        callback.set_model(model)
        pairs = compare(
            lambda model=model, data=data: model.predict(data, verbose=0),
            callback.measure,
            args.rounds,
            time.perf_counter if args.wall else time.process_time,
        )
        plain, ours = (statistics.median(seconds) * 1000 for seconds in zip(*pairs, strict=True))
        low, middle, high = statistics.quantiles([b / a - 1 for a, b in pairs], n=4)
        print(
            f"| {title} | {plain:.0f} | {ours:.0f} | {middle:+.1%} ({low:+.1%} to {high:+.1%}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
