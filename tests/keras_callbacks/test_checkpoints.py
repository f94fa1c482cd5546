"""A training's state: stored, put back, and the loss goes on as if nothing had happened."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.testing import assert_allclose

from course_lib.keras_callbacks.checkpoints import (
    CHECKPOINT,
    load_checkpoint,
    replay,
    resume_from_hub,
    resumed,
    save_checkpoint,
    training_arrays,
)
from course_lib.tf.training import add_lora
from tests.keras_callbacks.push_cases import X, Y, bert_and_data, line_model

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    "moving average": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5),
    "accumulated": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "scheduled": lambda: keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(0.02, 16, warmup_target=0.05, warmup_steps=5)),
    "scaled": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), 4.0),
}


def shuffled() -> tf.data.Dataset:
    tf.random.set_seed(5)      # the order follows from both seeds
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(64, seed=3).batch(16)


def losses(model: keras.Model, data: Any, first: int, last: int) -> list[float]:
    return model.fit(data, initial_epoch=first, epochs=last, verbose=0).history["loss"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_plain_model_goes_on_with_the_same_losses(name, tmp_path):
    def fresh(seed: int) -> keras.Model:
        model = line_model(seed, dropout=0.3)
        model.compile(OPTIMIZERS[name](), "mse")
        return model

    whole = losses(fresh(0), shuffled(), 0, 4)
    model, past = fresh(0), [{"epoch": 0, "loss": 1.0}]
    # At an epoch's end, as the callback does: the end of fit puts moving averages into the weights.
    save = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: save_checkpoint(model, tmp_path, epoch + 1, 8, past))
    begun = model.fit(shuffled(), epochs=2, verbose=0, callbacks=[save]).history["loss"]
    file, again = tmp_path / CHECKPOINT, fresh(1)
    assert load_checkpoint(file, again) == (2, 8)
    begun += losses(again, replay(shuffled(), 2), 2, 4)
    assert_allclose(begun, whole, rtol=1e-6)
    assert resumed(again) == ((2, 8), [{"epoch": 0.0, "loss": 1.0}])


def test_ours_goes_on_with_a_low_rank_adapter(tmp_path):
    def fresh(seed: int) -> tuple[keras.Model, Any]:
        model, data = bert_and_data(seed)
        add_lora(model, rank=2, also="classifier")
        model.compile(keras.optimizers.Adam(0.01))
        return model, data

    whole = losses(*fresh(0), 0, 3)
    model, data = fresh(0)
    begun = losses(model, data, 0, 2)
    file = save_checkpoint(model, tmp_path, 2, 12)
    model, data = fresh(1)
    at = load_checkpoint(file, model)
    begun += losses(model, replay(data, at.epoch), 2, 3)
    assert_allclose(begun, whole, rtol=1e-6)


def test_types_are_kept(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, dtype="bfloat16")])
    model.compile(keras.optimizers.Adam(), "mse")
    file = save_checkpoint(model, tmp_path, 0, 0)
    before = training_arrays(model)
    model.set_weights([weight * 0 for weight in model.get_weights()])
    load_checkpoint(file, model)
    for name, array in training_arrays(model).items():
        assert array.dtype == before[name].dtype and array.shape == before[name].shape
        assert_allclose(array.astype("float64"), before[name].astype("float64"))


def test_another_model_is_refused_and_left_as_it_was(tmp_path):
    file = save_checkpoint(line_model(), tmp_path, 1, 4)
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4), keras.layers.Dropout(0.0),
                              keras.layers.Dense(1)])
    other.compile("adam", "mse")
    before = other.get_weights()
    with pytest.raises(ValueError, match=r"has the shape \(2, 4\), but .* \(1, 4\)"):
        load_checkpoint(file, other)
    sgd = line_model()
    sgd.compile("sgd", "mse")
    with pytest.raises(ValueError, match="the optimizer has 2 variables, the checkpoint"):
        load_checkpoint(file, sgd)
    assert all((a == b).all() for a, b in zip(before, other.get_weights(), strict=True))
    assert resumed(other) == ((0, 0), [])


def test_what_is_not_ready_is_named(tmp_path):
    file = save_checkpoint(line_model(), tmp_path, 1, 4)
    bare = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="has no optimizer: compile it"):
        load_checkpoint(file, bare)
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("adam", "mse")
    with pytest.raises(ValueError, match="call it on a batch first"):
        load_checkpoint(file, unbuilt)


def test_other_settings_are_a_warning_and_a_changed_rate_is_kept(tmp_path):
    model = line_model()
    model.optimizer.learning_rate = 0.5      # as ReduceLROnPlateau does
    file = save_checkpoint(model, tmp_path, 1, 4)
    again = line_model()
    load_checkpoint(file, again)
    assert float(again.optimizer.learning_rate) == 0.5
    again.compile(keras.optimizers.Adam(0.01, beta_1=0.5), "mse")
    with pytest.warns(UserWarning, match="the optimizer's beta_1 is not the first training's"):
        load_checkpoint(file, again)


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_a_broken_file_is_named(content, tmp_path):
    file = tmp_path / "broken.safetensors"
    file.write_bytes(content)
    with pytest.raises(OSError, match="broken.safetensors is no whole training state"):
        load_checkpoint(file, line_model())


def test_from_the_hub_a_revision_and_a_folder(api, tmp_path):
    model = line_model()
    repo = api.create_repo("states").repo_id
    commits = []
    for epoch in (1, 2):
        save_checkpoint(model, tmp_path / "out", epoch, 4 * epoch)
        commits.append(api.upload_folder(repo_id=repo, folder_path=tmp_path / "out").oid)
    assert resume_from_hub(repo, model) == (2, 8)
    assert resume_from_hub(repo, model, revision=commits[0]) == (1, 4)
    assert resume_from_hub(tmp_path / "out", model) == (2, 8)
    with pytest.raises(OSError, match="was the training run with checkpoint=True"):
        resume_from_hub(tmp_path, model)
    api.create_repo("stateless")
    with pytest.raises(OSError, match="learner/stateless has no checkpoint/training.safetensors"):
        resume_from_hub("learner/stateless", model)
    assert [file.name for file in (tmp_path / "out" / Path(CHECKPOINT).parent).iterdir()] == [
        "training.safetensors"]


class Numbers(keras.utils.PyDataset):
    """Counts its epochs."""

    epoch = 0

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return X, Y

    def on_epoch_end(self) -> None:
        self.epoch += 1


def test_replay_passes_over_epochs():
    assert replay(Numbers(), 3).epoch == 3
    seen = []
    batches = tf.data.Dataset.range(4).map(
        lambda number: tf.py_function(lambda n: seen.append(int(n)) or n, [number], tf.int64),
        num_parallel_calls=None)
    replay(batches, 2, whole=True)
    assert seen == [0, 1, 2, 3] * 2
    for wrong in (iter([1]), 7):
        with pytest.raises(TypeError, match="cannot be gone through again"):
            replay(wrong, 1)
