"""Small trainings for the tests of pushing; as a script, one that is killed between two epochs."""

import os
import signal
import sys
import time
from typing import Any

import keras
import numpy as np

X = np.linspace(-1, 1, 64, dtype="float32")[:, None]
Y = 3 * X + 1
EPOCHS = 4


def line_model(seed: int = 0, dropout: float = 0.0) -> keras.Model:
    """One number in, one out."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([
        keras.Input((1,)), keras.layers.Dense(4), keras.layers.Dropout(dropout),
        keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def bert_and_data(seed: int) -> tuple[keras.Model, Any]:
    """A narrow BERT with dropout and a schedule, and 24 shuffled batches: does token 7 occur?"""
    from datasets import Dataset
    from transformers import BertConfig

    from course_lib.tf.datasets import prepare_tf_dataset
    from course_lib.tf.models import TFBertForSequenceClassification
    from course_lib.tf.optimization import create_optimizer

    keras.utils.set_random_seed(seed)
    rows = np.random.default_rng(0).integers(8, 40, (96, 6))
    rows[::2, 3] = 7
    data = Dataset.from_dict({"input_ids": rows.tolist(), "labels": (rows == 7).any(1).astype(int)})
    model = TFBertForSequenceClassification.from_config(BertConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        vocab_size=40, max_position_embeddings=8, num_labels=2))
    optimizer, _ = create_optimizer(0.02, num_train_steps=6 * EPOCHS, num_warmup_steps=3)
    model.compile(optimizer)
    return model, prepare_tf_dataset(data, model, batch_size=16, seed=7)


class Settle(keras.callbacks.Callback):
    """Waits at each epoch's end, and after each batch if asked, until what was given is pushed."""

    def __init__(self, push: Any, batches: bool = False) -> None:
        super().__init__()
        self.push, self.batches = push, batches

    def settle(self) -> None:
        uploader = self.push.uploader
        with uploader.changed:
            assert uploader.changed.wait_for(lambda: not uploader.busy, timeout=60)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.batches:
            self.settle()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.settle()


class Die(keras.callbacks.Callback):
    """kill -9, when two epochs are done and pushed."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 2:
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)


def main(output_dir: str) -> None:
    from course_lib.keras_callbacks.pushing import PushToHubCallback

    model, data = bert_and_data(seed=0)
    push = PushToHubCallback(output_dir, hub_model_id="killed", checkpoint=True)
    history = model.fit(data, epochs=EPOCHS, verbose=0, callbacks=[push, Settle(push), Die()])
    time.sleep(60)
    raise AssertionError(f"not killed: {history.history}")


if __name__ == "__main__":
    main(sys.argv[1])
