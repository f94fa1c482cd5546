"""Seeds: the same numbers whether a library is imported before or after the call."""

import random

import pytest

from course_lib import seeds

CALL = "from course_lib.seeds import seed_everything\nseed_everything(7)\n"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match=f"from 0 to 4294967295; got {seed}"):
        seeds.seed_everything(seed)


@pytest.mark.parametrize("seed", [None, "7", 7.0, True])
def test_seeds_that_are_none(seed: object) -> None:
    with pytest.raises(TypeError, match="whole number; got"):
        seeds.seed_everything(seed)


def test_numpy_integers_are_seeds() -> None:
    import numpy

    state = random.getstate(), numpy.random.get_state()
    seeds.seed_everything(numpy.int64(7))
    assert random.random() == random.Random(7).random()
    random.setstate(state[0]), numpy.random.set_state(state[1])


DRAWS = {
    "random": "import random; print(random.random())",
    "numpy": "import numpy; print(numpy.random.rand())",
    "torch": "import torch; print(torch.rand(1).item())",
    "tensorflow": "import tensorflow; print(tensorflow.random.uniform([]).numpy())",
    "keras": "import keras; print(float(keras.random.uniform([])))",
}


@pytest.mark.parametrize("library", ["random", "numpy", "torch"])
def test_real_libraries_before_after_and_again(python: object, library: str) -> None:
    draw, again = DRAWS[library], CALL.splitlines()[1]
    later = python(f"{CALL}{draw}\n{draw}\n{again}\n{draw}").split()
    before = python(f"import {library}\n{CALL}{draw}").split()
    assert later[0] == before[0] == later[2] != later[1]
    assert python(f"{CALL.replace('7', '8')}{draw}") != later[0]


@pytest.mark.long
@pytest.mark.parametrize("library", ["tensorflow", "keras"])
def test_keras_and_tensorflow_before_after_and_again(python: object, library: str) -> None:
    draw, again = DRAWS[library], CALL.splitlines()[1]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    # Seeding must leave TensorFlow's devices open to be configured.
    settle = "import tensorflow\ntensorflow.config.threading.set_inter_op_parallelism_threads(1)\n"
    later = python(f"{CALL}{settle}{draw}\n{draw}\n{again}\n{draw}", **quiet).split()
    before = python(f"import {library}\n{CALL}{settle}{draw}", **quiet).split()
    assert later[0] == before[0] == later[2] != later[1]
