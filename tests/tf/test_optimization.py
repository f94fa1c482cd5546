"""AdamW and its schedule in Keras, against PyTorch and the schedulers of transformers."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.tf.optimization import (
    NO_DECAY,
    AdamWeightDecay,
    PolynomialDecay,
    WarmUp,
    create_optimizer,
    uses_weight_decay,
)

RNG = np.random.default_rng(0)
SHAPES = {"dense/kernel": (5, 4), "dense/bias": (4,), "LayerNorm/gamma": (4,)}
NORM_EPSILON = 1e-6  # torch adds it to the norm when it clips, Keras does not


def numbers(shape, scale=1.0):
    return (scale * RNG.normal(size=shape)).astype("float32")


def problem(steps=20, scale=1.0):
    """Where three variables start, and their gradients at each step."""
    start = {path: 1 + np.abs(numbers(shape)) for path, shape in SHAPES.items()}
    grads = [[numbers(shape, scale) for shape in SHAPES.values()] for _ in range(steps)]
    return start, grads


def variables(start, dtype="float32"):
    made = []
    for path, value in start.items():
        *scopes, name = path.split("/")
        with keras.name_scope("/".join(scopes)):
            made.append(keras.Variable(value, dtype=dtype, name=name))
    assert [v.path for v in made] == list(start)
    return made


def run_keras(optimizer, start, grads, how="eager", dtype="float32"):
    made = variables(start, dtype)
    optimizer.build(made)

    def step(*gradients):
        optimizer.apply(list(gradients))

    call = {"eager": step, "graph": tf.function(step), "xla": tf.function(step, jit_compile=True)}
    for gradients in grads:
        call[how](*(tf.constant(g, dtype) for g in gradients))
    return [v.numpy() for v in made]


def run_torch(start, grads, decay=0.0, clip=None, schedule=None, dtype=torch.float32, **options):
    """The same with torch: decay where no pattern of NO_DECAY is found."""
    made = {path: torch.nn.Parameter(torch.tensor(v, dtype=dtype)) for path, v in start.items()}
    groups = [
        {"params": [p], "weight_decay": decay * uses_weight_decay(path, exclude=NO_DECAY)}
        for path, p in made.items()
    ]
    optimizer = torch.optim.AdamW(groups, **options)
    scheduler = schedule(optimizer) if schedule else None
    for gradients in grads:
        for p, g in zip(made.values(), gradients, strict=True):
            p.grad = torch.tensor(g, dtype=dtype)
        if clip:
            torch.nn.utils.clip_grad_norm_(made.values(), clip)
        optimizer.step()
        if scheduler:
            scheduler.step()
    return [p.detach().numpy() for p in made.values()]


def assert_same(ours, theirs, rtol=1e-6):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=0)


def linear(steps, warmup):
    from transformers import get_scheduler

    return lambda optimizer: get_scheduler("linear", optimizer, warmup, steps)


def torch_rates(schedule, count, lr):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, rates = schedule(optimizer), []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


# The schedule


@pytest.mark.parametrize(
    ("steps", "warmup"),
    [(1, 0), (1, 1), (2, 1), (7, 0), (7, 3), (10, 9), (10, 10), (100, 0), (100, 33), (1000, 100)],
)
def test_rates_equal_get_scheduler_and_stay_after_the_end(steps, warmup):
    schedule = create_optimizer(3e-4, steps, warmup)[1]
    count = steps + 10
    theirs = torch_rates(linear(steps, warmup), count, 3e-4)
    ours = np.asarray(schedule(np.arange(count)))
    np.testing.assert_allclose(ours, theirs, rtol=3e-7, atol=0)
    assert ours.dtype == np.float32


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 3.5])
@pytest.mark.parametrize(("steps", "warmup", "ratio"), [(20, 0, 0.1), (20, 6, 0.0), (33, 4, 0.5)])
def test_power_equals_the_polynomial_schedule(power, steps, warmup, ratio):
    from transformers import get_polynomial_decay_schedule_with_warmup as polynomial

    schedule = create_optimizer(1e-3, steps, warmup, ratio, power=power)[1]
    theirs = torch_rates(
        lambda o: polynomial(o, warmup, steps, lr_end=1e-3 * ratio, power=power), steps + 5, 1e-3
    )
    ours = [float(schedule(step)) for step in range(steps + 5)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 2_000_000), st.data())
def test_the_last_rates_of_a_long_training_are_exact(steps, data):
    warmup = data.draw(st.integers(0, steps))
    step = data.draw(st.integers(max(0, steps - 3), steps + 3))
    schedule = create_optimizer(1.0, steps, warmup)[1]
    if step < warmup:
        expected = step / warmup
    else:
        expected = max(0.0, (steps - step) / max(1, steps - warmup))
    np.testing.assert_allclose(float(schedule(step)), expected, rtol=3e-7, atol=0)


def test_a_schedule_takes_any_kind_of_step():
    schedule = create_optimizer(1.0, 10, 4)[1]
    for step in (2, np.int64(2), tf.constant(2), tf.Variable(2, dtype=tf.int64), keras.Variable(2)):
        assert float(schedule(step)) == 0.5
    compiled = tf.function(schedule, jit_compile=True)
    assert float(compiled(tf.constant(7))) == 0.5
    bent = WarmUp(2.0, lambda step: 2.0, warmup_steps=4, power=2.0)
    assert [float(bent(step)) for step in (0, 2, 4, 9)] == [0.0, 0.5, 2.0, 2.0]
    around_keras = keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)
    again = WarmUp.from_config(WarmUp(1.0, around_keras, 5, name="rise").get_config())
    assert again.name == "rise" and isinstance(again.decay_schedule_fn, type(around_keras))
    assert float(again(15)) == 0.5


def test_steps_may_be_any_kind_of_whole_number():
    one, other = (create_optimizer(1e-3, *n)[1] for n in [(100, 10), (np.int64(100), np.int32(10))])
    assert one.get_config() == other.get_config()
    count = tf.data.Dataset.range(100).cardinality()
    assert create_optimizer(1e-3, count, 10)[1].get_config() == one.get_config()
    with pytest.raises(ValueError, match="num_train_steps"):  # an endless data set
        create_optimizer(1e-3, tf.data.Dataset.range(3).repeat().cardinality())


# The step


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("epsilon", [1e-8, 1e-3])
def test_twenty_steps_equal_torch(how, decay, epsilon):
    start, grads = problem(scale=1e-2)  # small, so that a large epsilon matters
    optimizer = AdamWeightDecay(
        1e-3, epsilon=epsilon, weight_decay_rate=decay, exclude_from_weight_decay=NO_DECAY
    )
    theirs = run_torch(start, grads, decay, lr=1e-3, eps=epsilon)
    assert_same(run_keras(optimizer, start, grads, how), theirs)


def test_the_stock_optimizer_is_not_exact():
    """What the class is there for; when this fails, Keras has changed."""
    start, grads = problem(scale=1e-2)
    stock = keras.optimizers.AdamW(1e-3, epsilon=1e-3, weight_decay=0.0)
    theirs = run_torch(start, grads, lr=1e-3, eps=1e-3)
    gap = max(
        np.abs(a / b - 1).max()
        for a, b in zip(run_keras(stock, start, grads), theirs, strict=True)
    )
    assert gap > 1e-4


@pytest.mark.parametrize("betas", [(0.9, 0.98), (0.0, 0.999), (0.5, 0.9), (0.95, 0.9999)])
def test_betas_and_many_steps_equal_torch(betas):
    start, grads = problem(steps=150)
    optimizer = AdamWeightDecay(1e-3, *betas, epsilon=1e-6)
    theirs = run_torch(start, grads, lr=1e-3, betas=betas, eps=1e-6)
    assert_same(run_keras(optimizer, start, grads, "graph"), theirs, rtol=2e-6)


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
def test_amsgrad_equals_torch(how):
    start, grads = problem()
    optimizer = AdamWeightDecay(1e-3, epsilon=1e-3, amsgrad=True)
    theirs = run_torch(start, grads, lr=1e-3, eps=1e-3, amsgrad=True)
    assert_same(run_keras(optimizer, start, grads, how), theirs)


def test_double_precision_equals_torch():
    start, grads = problem()
    optimizer = AdamWeightDecay(1e-3, epsilon=1e-3, weight_decay_rate=0.1)
    theirs = run_torch(
        {f"all/{i}": v for i, v in enumerate(start.values())},
        grads, 0.1, lr=1e-3, eps=1e-3, dtype=torch.float64,
    )
    assert_same(run_keras(optimizer, start, grads, dtype="float64"), theirs)


@pytest.mark.parametrize(("dtype", "rtol"), [("float16", 2e-3), ("bfloat16", 2e-2)])
def test_half_precision_is_near(dtype, rtol):
    start, grads = problem(steps=5)
    optimizer = AdamWeightDecay(1e-2, epsilon=1e-3, weight_decay_rate=0.1,
                                exclude_from_weight_decay=NO_DECAY)
    theirs = run_torch(start, grads, 0.1, lr=1e-2, eps=1e-3)
    ours = [v.astype("float32") for v in run_keras(optimizer, start, grads, dtype=dtype)]
    assert_same(ours, theirs, rtol=rtol)


@pytest.mark.parametrize("clip", [0.5, 100.0])
def test_clipping_by_the_global_norm_equals_torch(clip):
    start, grads = problem()
    optimizer, _ = create_optimizer(1e-3, 1000, adam_global_clipnorm=clip, weight_decay_rate=0.1,
                                    adam_epsilon=1e-3)
    theirs = run_torch(start, grads, 0.1, clip, linear(1000, 0), lr=1e-3, eps=1e-3)
    assert_same(run_keras(optimizer, start, grads), theirs, rtol=1e-6 + NORM_EPSILON)


def test_clipping_each_variable_equals_torch():
    start, grads = problem()
    expected = []
    for g in grads:
        norms = [np.linalg.norm(x) for x in g]
        expected.append([x * min(1, 0.5 / n) for x, n in zip(g, norms, strict=True)])
    for options, clipped in [
        ({"clipnorm": 0.5}, expected),
        ({"clipvalue": 0.3}, [[x.clip(-0.3, 0.3) for x in g] for g in grads]),
    ]:
        optimizer = AdamWeightDecay(1e-3, epsilon=1e-3, **options)
        theirs = run_torch(start, clipped, lr=1e-3, eps=1e-3)
        assert_same(run_keras(optimizer, start, grads), theirs)


def test_the_moving_average_is_kept_and_put_in_at_the_end():
    start, grads = problem(steps=6)
    optimizer = AdamWeightDecay(1e-2, use_ema=True, ema_momentum=0.8)
    made, averages = variables(start), [0.0] * 3
    optimizer.build(made)
    for step, g in enumerate(grads):
        optimizer.apply(g)
        momentum = 0.8 * (step > 0)
        averages = [momentum * a + (1 - momentum) * v.numpy()
                    for a, v in zip(averages, made, strict=True)]
    optimizer.finalize_variable_values(made)
    assert_same([v.numpy() for v in made], averages, rtol=1e-5)


def test_rates_reach_the_updates_one_by_one():
    start, grads = problem(steps=12)
    optimizer, _ = create_optimizer(1e-2, 10, 4, weight_decay_rate=0.1)
    theirs = run_torch(start, grads, 0.1, schedule=linear(10, 4), lr=1e-2)
    assert_same(run_keras(optimizer, start, grads, "graph"), theirs, rtol=2e-6)


def test_one_fused_kernel_for_each_variable():
    start, grads = problem(steps=1)
    for amsgrad, kernels in [(False, 3), (True, 0)]:
        optimizer, made = AdamWeightDecay(1e-3, amsgrad=amsgrad), variables(start)
        optimizer.build(made)
        graph = tf.function(lambda o=optimizer, g=grads[0]: o.apply(g)).get_concrete_function()
        types = [operation.type for operation in graph.graph.get_operations()]
        assert types.count("ResourceApplyAdam") == kernels


def test_a_variable_without_gradient_stays():
    start, grads = problem(steps=1)
    optimizer, made = AdamWeightDecay(0.1, weight_decay_rate=0.5), variables(start)
    optimizer.build(made)
    with pytest.warns(UserWarning, match="dense/bias"):
        optimizer.apply([grads[0][0], None, grads[0][2]])
    assert (made[1].numpy() == start["dense/bias"]).all()
    assert not (made[0].numpy() == start["dense/kernel"]).any()


# Embeddings


def run_embedding(optimizer, table, batches, how):
    layer = keras.layers.Embedding(*table.shape)
    layer.build()
    layer.embeddings.assign(table)
    optimizer.build(layer.trainable_variables)

    def step(ids):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(ids)))
        (gradient,) = tape.gradient(loss, [layer.embeddings.value])
        assert isinstance(gradient, tf.IndexedSlices)
        optimizer.apply([gradient])

    call = step if how == "eager" else tf.function(step, jit_compile=how == "xla")
    for ids in batches:
        call(tf.constant(ids))
    return layer.embeddings.numpy()


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
@pytest.mark.parametrize("clip", [None, 0.1])
def test_words_that_occur_twice_equal_torch(how, clip):
    table = numbers((9, 4))
    batches = [np.array([[1, 1, 2], [2, 2, 5 + i % 3]]) for i in range(8)]
    weight = torch.nn.Parameter(torch.tensor(table))
    optimizer = torch.optim.AdamW([weight], lr=1e-2, weight_decay=0.1, eps=1e-3)
    for ids in batches:
        optimizer.zero_grad()
        torch.nn.functional.embedding(torch.tensor(ids), weight).sin().sum().backward()
        if clip:
            torch.nn.utils.clip_grad_norm_([weight], clip)
        optimizer.step()
    ours = AdamWeightDecay(1e-2, epsilon=1e-3, weight_decay_rate=0.1, global_clipnorm=clip)
    got = run_embedding(ours, table, batches, how)
    np.testing.assert_allclose(got, weight.detach().numpy(), rtol=1e-5, atol=1e-6)


# Decay


def test_decay_goes_by_path_and_inclusion_wins():
    assert [uses_weight_decay(path, exclude=NO_DECAY) for path in SHAPES] == [True, False, False]
    assert uses_weight_decay("bert/pooler/kernel")
    assert uses_weight_decay("a/LayerNorm/gamma", include=["^a/"], exclude=NO_DECAY)
    zero = [np.zeros(shape, "float32") for shape in SHAPES.values()]
    start, _ = problem(steps=1)
    for include, shrinks in [(None, [1, 0, 0]), (["gamma"], [1, 0, 1]), (["."], [1, 1, 1])]:
        optimizer, _ = create_optimizer(
            0.1, 10, weight_decay_rate=0.5, include_in_weight_decay=include
        )
        ours = run_keras(optimizer, start, [zero])
        factors = [1 - 0.05 * shrink for shrink in shrinks]
        assert_same(ours, [v * f for v, f in zip(start.values(), factors, strict=True)])
    everything, _ = create_optimizer(0.1, 9, weight_decay_rate=0.5, exclude_from_weight_decay=[])
    assert_same(run_keras(everything, start, [zero]), [v * 0.95 for v in start.values()])


def test_the_method_of_keras_sees_names_only_and_still_works():
    start, _ = problem(steps=1)
    made = variables(start)
    stock = keras.optimizers.AdamW(0.1, weight_decay=0.1)
    stock.exclude_from_weight_decay(var_names=["LayerNorm", "bias"])
    assert [stock._use_weight_decay(v) for v in made] == [True, False, True]
    ours = AdamWeightDecay(0.1, weight_decay_rate=0.5, exclude_from_weight_decay=["LayerNorm"])
    ours.exclude_from_weight_decay(var_list=made[:1])
    ours.build(made)
    ours.apply([np.zeros(v.shape, "float32") for v in made])
    factors = [1, 0.95, 1]
    assert_same([v.numpy() for v in made],
                [v * f for v, f in zip(start.values(), factors, strict=True)])


# Accumulation, loss scaling, saving


@pytest.mark.parametrize("how", ["eager", "graph"])
def test_accumulated_gradients_equal_torch(how):
    start, grads = problem(steps=20)
    means = [[sum(parts) / np.float32(4) for parts in zip(*grads[i:i + 4], strict=True)]
             for i in range(0, 20, 4)]
    theirs = run_torch(start, means, 0.1, 1.0, linear(5, 2), lr=1e-2, eps=1e-3)
    optimizer, schedule = create_optimizer(
        1e-2, 5, 2, adam_epsilon=1e-3, adam_global_clipnorm=1.0, weight_decay_rate=0.1,
        gradient_accumulation_steps=4,
    )
    ours = run_keras(optimizer, start, grads, how)
    assert_same(ours, theirs, rtol=3e-6)
    assert int(optimizer.iterations) == 5
    itself = AdamWeightDecay(
        schedule, epsilon=1e-3, global_clipnorm=1.0, weight_decay_rate=0.1,
        exclude_from_weight_decay=NO_DECAY, gradient_accumulation_steps=4,
    )
    assert_same(run_keras(itself, start, grads, how), ours, rtol=0)


def test_the_rate_of_each_call_is_that_of_its_update():
    optimizer, schedule = create_optimizer(1.0, 5, 2, gradient_accumulation_steps=3)
    p = keras.Variable([0.0])
    optimizer.build([p])
    rates = []
    for _ in range(15):
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([np.ones(1, "float32")])
    assert rates == [float(schedule(k)) for k in range(5) for _ in range(3)]


@pytest.mark.parametrize("accumulate", [None, 2])
def test_loss_scaling_skips_and_counts_right(accumulate):
    start, grads = problem(steps=6)
    optimizer, _ = create_optimizer(1e-2, 6, 2, adam_epsilon=1e-3,
                                    gradient_accumulation_steps=accumulate)
    plain, _ = create_optimizer(1e-2, 6, 2, adam_epsilon=1e-3,
                                gradient_accumulation_steps=accumulate)
    scaled = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0)
    made = variables(start)
    scaled.build(made)
    step = tf.function(lambda *g: scaled.apply(list(g), made))
    for i, g in enumerate(grads):
        scale = float(scaled.dynamic_scale.numpy())
        step(*(tf.constant(x * scale) for x in g))
        if i == 2:  # an overflow: nothing moves, the scale halves, the schedule waits
            before = [v.numpy().copy() for v in made]
            step(*(tf.constant(x * np.inf) for x in g))
            assert_same([v.numpy() for v in made], before, rtol=0)
            assert float(scaled.dynamic_scale.numpy()) == scale / 2
    assert_same([v.numpy() for v in made], run_keras(plain, start, grads))
    assert int(scaled.iterations) == 6 // (accumulate or 1)


def test_mixed_precision_trains_an_embedding():
    inputs = keras.Input((3,), dtype="int32")
    x = keras.layers.Embedding(10, 4, dtype="mixed_float16")(inputs)
    x = keras.layers.GlobalAveragePooling1D(dtype="mixed_float16")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype="float32")(x))
    optimizer, _ = create_optimizer(0.05, 40, weight_decay_rate=0.01, adam_global_clipnorm=1.0)
    model.compile(keras.optimizers.LossScaleOptimizer(optimizer), "mse")
    ids = RNG.integers(0, 10, (16, 3))
    losses = model.fit(ids, ids.mean(1) / 10, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 4
    assert int(model.optimizer.iterations) == 30


def model_for(optimizer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((3,)), keras.layers.Embedding(9, 4), keras.layers.Flatten(),
        keras.layers.LayerNormalization(name="LayerNorm"), keras.layers.Dense(1),
    ])
    model.compile(optimizer, "mse", run_eagerly=True)  # tracing would take longer
    return model


def test_a_saved_training_resumes_exactly(tmp_path):
    ids, y = RNG.integers(0, 9, (32, 3)), numbers(32)
    options = {"weight_decay_rate": 0.1, "adam_global_clipnorm": 1.0,
               "include_in_weight_decay": ["beta"], "gradient_accumulation_steps": 3}

    def fit(model, epochs):
        model.fit(ids, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)

    through, stopped = (model_for(create_optimizer(0.02, 20, 5, **options)[0]) for _ in range(2))
    fit(through, 4)
    fit(stopped, 2)
    stopped.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert type(resumed.optimizer) is AdamWeightDecay
    assert type(resumed.optimizer._learning_rate) is WarmUp
    fit(resumed, 2)
    assert_same(resumed.get_weights(), through.get_weights(), rtol=0)
    for a, b in zip(resumed.optimizer.variables, through.optimizer.variables, strict=True):
        assert (a.numpy() == b.numpy()).all()


def test_configurations_come_back_through_json():
    for optimizer in (
        create_optimizer(5e-5, 100, 10, 0.1, 0.8, 0.95, 1e-6, 1.0, None, 0.01, 2.0, ["gamma"],
                         ["bias"], 4)[0],
        AdamWeightDecay(0.25, amsgrad=True, clipvalue=0.5, use_ema=True, name="mine"),
    ):
        config = json.loads(json.dumps(optimizer.get_config()))
        again = AdamWeightDecay.from_config(json.loads(json.dumps(config)))
        assert again.get_config() == config
        stored = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
        assert type(stored) is AdamWeightDecay and stored.get_config() == config
    schedule = PolynomialDecay(0.5, 10, 0.1, 2.0, "fall")
    assert PolynomialDecay.from_config(schedule.get_config()).get_config() == schedule.get_config()


# Processes of their own

DEVICES = """
import contextlib
import keras, numpy as np, tensorflow as tf
from course_lib.tf.optimization import create_optimizer
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)
start = rng.normal(size=(9, 4)).astype("f")
batches = rng.integers(0, 9, (8, 6))

def train(strategy=None, scale=False, accumulate=None):
    with strategy.scope() if strategy else contextlib.nullcontext():
        table = keras.Variable(start, name="embeddings")
        optimizer, _ = create_optimizer(0.02, 8, 3, weight_decay_rate=0.1, adam_epsilon=1e-3,
                                        adam_global_clipnorm=0.1,
                                        gradient_accumulation_steps=accumulate)
        if scale:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build([table])

    def step(ids):
        with tf.GradientTape() as tape:
            loss = optimizer.scale_loss(tf.reduce_sum(tf.sin(tf.gather(table.value, ids))))
        optimizer.apply(tape.gradient(loss, [table.value]), [table])

    run = tf.function(strategy.run if strategy else lambda f, args: f(*args))
    for ids in batches:
        if strategy:
            ids = strategy.experimental_distribute_values_from_function(
                lambda c: tf.constant(ids[3 * c.replica_id_in_sync_group:][:3]))
        run(step, args=(ids,))
    return table.value

single = train().numpy()
assert np.abs(single - start).max() > 0.05
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for scale in (False, True):
    first, second = mirrored.experimental_local_results(train(mirrored, scale))
    assert (first.numpy() == second.numpy()).all()
    np.testing.assert_allclose(first.numpy(), single, rtol=1e-5, atol=1e-6)
try:
    train(mirrored, accumulate=2)
except ValueError as error:
    assert "several devices" in str(error), error
else:
    raise AssertionError("accumulation on two devices went through")
print("equal")
"""

TORCH_BACKEND = """
import keras, numpy as np, torch
from course_lib.tf.optimization import create_optimizer
assert keras.backend.backend() == "torch"
rng = np.random.default_rng(0)
start, grads = rng.normal(size=(6, 4)).astype("f"), rng.normal(size=(12, 6, 4)).astype("f")
optimizer, _ = create_optimizer(1e-2, 10, 3, weight_decay_rate=0.1, adam_epsilon=1e-3,
                                adam_global_clipnorm=1.0)
ours = keras.Variable(start, name="kernel")
optimizer.build([ours])
theirs = torch.nn.Parameter(torch.tensor(start))
reference = torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1, eps=1e-3)
for step, g in enumerate(grads):
    reference.param_groups[0]["lr"] = 1e-2 * (step / 3 if step < 3 else max(0, 10 - step) / 7)
    theirs.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_([theirs], 1.0)
    reference.step()
    optimizer.apply([torch.tensor(g)])
np.testing.assert_allclose(ours.numpy(), theirs.detach().numpy(), rtol=2e-5, atol=1e-7)
print("equal")
"""


@pytest.mark.parametrize(("code", "backend"), [(DEVICES, "tensorflow"), (TORCH_BACKEND, "torch")])
def test_two_devices_and_another_backend(code, backend):
    env = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3",
                        "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip().endswith("equal"), done.stderr[-3000:]


# What is refused


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"num_train_steps": -1}, "num_train_steps is a whole number, 1 or more"),
        ({"num_train_steps": 0}, "num_train_steps"),
        ({"num_train_steps": 10.0}, "got 10.0"),
        ({"num_train_steps": True}, "num_train_steps"),
        ({"num_warmup_steps": -1}, "num_warmup_steps"),
        ({"num_warmup_steps": 11}, "warm-up of 11 steps is longer than the training of 10"),
        ({"power": 0}, "power is a finite number, more than 0"),
        ({"power": float("nan")}, "power"),
        ({"weight_decay_rate": -0.1}, "weight_decay_rate"),
        ({"weight_decay_rate": None}, "weight_decay_rate"),
        ({"init_lr": -1e-3}, "init_lr"),
        ({"init_lr": "5e-5"}, "init_lr"),
        ({"init_lr": float("inf")}, "init_lr"),
        ({"min_lr_ratio": 1.5}, "min_lr_ratio"),
        ({"adam_beta1": 1.0}, "beta_1 is less than 1"),
        ({"adam_beta2": -0.1}, "beta_2"),
        ({"adam_epsilon": -1e-8}, "epsilon"),
        ({"adam_clipnorm": 0}, "clipnorm"),
        ({"adam_global_clipnorm": -1.0}, "global_clipnorm"),
        ({"adam_clipnorm": 1.0, "adam_global_clipnorm": 1.0}, "Only one of"),
        ({"exclude_from_weight_decay": "bias"}, "list of patterns"),
        ({"include_in_weight_decay": ["("]}, "no regular expression"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps"),
        ({"gradient_accumulation_steps": 2.5}, "gradient_accumulation_steps"),
    ],
)
def test_bad_arguments_are_named_in_one_sentence(arguments, text):
    with pytest.raises(ValueError, match=text):
        create_optimizer(**{"init_lr": 1e-3, "num_train_steps": 10} | arguments)


def test_the_class_names_what_it_does_not_take():
    with pytest.raises(ValueError, match="called weight_decay_rate"):
        AdamWeightDecay(1e-3, weight_decay=0.1)
    with pytest.raises(ValueError, match="momentum"):
        AdamWeightDecay(1e-3, momentum=0.9)
    with pytest.raises(ValueError, match="learning_rate"):
        AdamWeightDecay(-1.0)
    with pytest.raises(ValueError, match="decay_schedule_fn"):
        WarmUp(1.0, 0.5, 10)
    assert AdamWeightDecay(1, gradient_accumulation_steps=1).gradient_accumulation_steps is None
