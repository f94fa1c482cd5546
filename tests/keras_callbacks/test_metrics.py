"""KerasMetricCallback on our models, functional ones and classes: every promise it makes."""

import dataclasses
import functools
import os
import subprocess
import sys
import warnings
from collections import namedtuple

import evaluate
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from numpy.testing import assert_allclose, assert_array_equal
from transformers import BertConfig, GPT2Config, T5Config

from course_lib.keras_callbacks import KerasMetricCallback
from course_lib.keras_callbacks.metric_functions import MetricFunction, numbers
from course_lib.keras_callbacks.predictions import XLA_SHAPES, Predictor
from course_lib.tf import models

ROWS, LENGTH, CLASSES = 11, 5, 3
RNG = np.random.default_rng(0)
IDS = RNG.integers(5, 40, (ROWS, LENGTH))
X = RNG.normal(size=(ROWS, LENGTH)).astype("float32")
Y = RNG.integers(0, CLASSES, ROWS)


class Plain(keras.Model):
    """A class with any kind of answer; `calls` counts how often Python runs it."""

    def __init__(self, answer=lambda logits: logits, column=None):
        super().__init__()
        self.dense, self.answer, self.column, self.calls = layers.Dense(CLASSES), answer, column, 0

    def call(self, x):
        self.calls += 1
        return self.answer(self.dense(x[self.column] if self.column else x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return sum(keras.ops.mean(part ** 2) for part in keras.tree.flatten(self.trainable_weights))


def our_model():
    config = BertConfig(vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8, num_labels=CLASSES)
    return models.TFBertForSequenceClassification(config)


def functional():
    x = keras.Input((LENGTH,), name="x")
    return keras.Model({"x": x}, layers.Dense(CLASSES, name="logits")(x))


MODELS = {
    "ours": (our_model, {"input_ids": IDS}),
    "functional": (functional, {"x": X}),
    "class": (functools.partial(Plain, column="x"), {"x": X}),
}


def compiled(model, **options):
    own = hasattr(model, "find_labels") or isinstance(model, Plain)
    loss = None if own else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, **options)
    return model


def quick():
    """A model that trains at once, for tests of what happens around the training."""
    x = keras.Input((LENGTH,))
    return compiled(keras.Model(x, layers.Dense(CLASSES)(x)), run_eagerly=True)


def handed(model, data, *args, batch_size=4, **options):
    """What a metric_fn gets for a model as it is: predictions and labels."""
    got = []
    callback = KerasMetricCallback(lambda pair: got.append(pair) or {}, data, *args,
                                   batch_size=batch_size, **options)
    callback.set_model(model)
    assert callback.measure() == {}
    return got[0]


def accuracy(predictions, labels):
    return {"accuracy": (predictions.argmax(-1) == labels).mean()}


@pytest.fixture(params=MODELS)
def kind(request):
    make, inputs = MODELS[request.param]
    return compiled(make()), inputs


@pytest.fixture(params=MODELS, scope="module")
def eager_kind(request):
    make, inputs = MODELS[request.param]
    return compiled(make(), run_eagerly=True), inputs


def logits_of(model, inputs):
    found = model.predict(inputs, verbose=0)
    return found["logits"] if isinstance(found, dict) else found


def data_of(form, inputs):
    named = {**inputs, "labels": Y}
    rows = tf.data.Dataset.from_tensor_slices
    return {"dictionary": named, "tuple": (inputs, Y), "tf.data": rows((inputs, Y)).batch(4),
            "rows": rows((inputs, Y)), "columns": rows(named).batch(4)}[form]


def test_metrics_are_those_of_predict_in_every_epoch(kind):
    model, inputs = kind
    got = []

    def metric(predictions, labels):
        got.append((predictions, labels, logits_of(model, inputs)))
        return accuracy(predictions, labels)

    callback = KerasMetricCallback(metric, (inputs, Y), batch_size=4)
    history = model.fit(inputs, Y, epochs=2, verbose=0, callbacks=[callback])
    for epoch, (predictions, labels, expected) in enumerate(got):
        assert isinstance(predictions, np.ndarray)
        assert_allclose(predictions, expected, atol=1e-6)
        assert_array_equal(labels, Y)
        assert history.history["accuracy"][epoch] == (expected.argmax(-1) == Y).mean()
    assert len(got) == 2


@pytest.mark.parametrize("form", ["dictionary", "tuple", "tf.data", "rows", "columns"])
def test_data_of_every_form(eager_kind, form):
    model, inputs = eager_kind
    predictions, labels = handed(model, data_of(form, inputs))
    assert_allclose(predictions, logits_of(model, inputs), atol=1e-6)
    assert_array_equal(labels, Y)


def test_the_function_is_traced_twice_at_most_for_full_and_smaller_batches():
    model = compiled(Plain())
    callback = KerasMetricCallback(accuracy, (X, Y), batch_size=4)
    model.fit(X, Y, epochs=1, verbose=0)
    before = model.calls
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[callback])
    assert model.calls - before <= 2
    before = model.calls
    model.fit(X, Y, epochs=3, verbose=0,
              callbacks=[KerasMetricCallback(accuracy, (X, Y), batch_size=ROWS)])
    assert model.calls - before == 1


@pytest.mark.parametrize("xla", [False, True])
def test_shapes_that_vary_do_not_compile_without_end(xla):
    model = Plain()
    model(np.ones((1, 1, LENGTH), "float32"))
    model.compile("sgd", "mse", jit_compile=xla)
    predictor = Predictor(model, lambda outputs: outputs)
    before = model.calls
    for width in range(1, 15):
        found = predictor(np.ones((2, width, LENGTH), "float32"))
        assert found.shape == (2, width, CLASSES)
    assert model.calls - before <= (4 if xla else 2)
    assert sum(predictor.by_xla.values()) == (XLA_SHAPES if xla else 0)


@dataclasses.dataclass
class Answer:
    logits: object
    loss: object = None
    cache: object = None


class Slotted:
    __slots__ = ("logits",)

    def __init__(self, logits):
        self.logits = logits


class Bag:
    def __init__(self, logits):
        self.logits, self.loss, self._hidden = logits, keras.ops.mean(logits), logits


Named = namedtuple("Named", ["logits", "loss"])
ANSWERS = {
    "tensor": (lambda t: t, np.ndarray),
    "one in a tuple": (lambda t: (t,), np.ndarray),
    "tuple": (lambda t: (t, 2 * t), tuple),
    "list": (lambda t: [t, 2 * t], tuple),
    "dictionary": (lambda t: {"logits": t, "double": 2 * t}, dict),
    "one beside the loss": (lambda t: {"loss": keras.ops.mean(t), "logits": t}, np.ndarray),
    "nested": (lambda t: {"logits": t, "states": (t, t)}, dict),
    "named tuple": (lambda t: Named(t, keras.ops.mean(t)), np.ndarray),
    "dataclass": (lambda t: Answer(t, keras.ops.mean(t)), np.ndarray),
    "object": (lambda t: Bag(t), np.ndarray),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("eager", [False, True])
def test_outputs_of_every_kind(answer, eager):
    make, kind = ANSWERS[answer]
    model = Plain(make)
    model.compile("sgd", run_eagerly=eager)
    found, _ = handed(model, (X, Y))
    first = found if kind is np.ndarray else found["logits"] if kind is dict else found[0]
    assert isinstance(found, kind)
    assert_allclose(first, X @ model.dense.kernel.numpy() + model.dense.bias.numpy(), atol=1e-5)
    if kind is dict:
        assert "loss" not in found


def test_a_model_that_returns_objects_is_trained_and_measured():
    model = compiled(Plain(Bag))
    history = model.fit(X, Y, verbose=0, callbacks=[KerasMetricCallback(accuracy, (X, Y))])
    assert 0 <= history.history["accuracy"][0] <= 1


def test_an_output_without_parts_is_named():
    model = Plain(Slotted)
    model.compile("sgd")
    with pytest.raises(TypeError, match="got Slotted"):
        handed(model, (X, Y))


def test_keys_to_ignore_at_inference_are_dropped_and_output_cols_keep_them():
    class Config:
        keys_to_ignore_at_inference = ["cache"]

    model = Plain(lambda t: {"loss": keras.ops.mean(t), "logits": t, "cache": 3 * t})
    model.config = Config()
    compiled(model)
    logits, cache, both, named = (handed(model, (X, Y), columns).predictions for columns in
                                  (None, ["cache"], ["cache", "logits"], "logits"))
    assert list(both) == ["cache", "logits"]
    assert_allclose(cache, 3 * logits, rtol=1e-5)
    assert_allclose(named, logits)


def test_output_cols_of_a_functional_model_with_several_heads():
    x = keras.Input((LENGTH,))
    heads = [layers.Dense(2, name="kind")(x), layers.Dense(4, name="grade")(x)]
    model = keras.Model(x, heads)
    model.compile("sgd", ["mse", "mse"])
    got = [handed(model, (X, Y), c).predictions for c in (["grade"], [0], ["grade", 0])]
    assert [g.shape if isinstance(g, np.ndarray) else len(g) for g in got] == [
        (ROWS, 4), (ROWS, 2), 2]


@pytest.mark.parametrize("columns, text", [
    (["logit"], "output_cols names logit, and the model's outputs are logits"),
    (["loss"], "output_cols names loss"),
])
def test_unknown_outputs_are_named_before_training(columns, text):
    model = compiled(our_model())
    before = [w.numpy() for w in model.weights]
    with pytest.raises(ValueError, match=text):
        model.fit({"input_ids": IDS}, Y, verbose=0, callbacks=[
            KerasMetricCallback(accuracy, ({"input_ids": IDS}, Y), columns)])
    for weight, old in zip(model.weights, before, strict=True):
        assert_array_equal(weight.numpy(), old)


def test_a_column_of_texts_reaches_the_metric_and_not_the_model(eager_kind):
    model, inputs = eager_kind
    said = np.array([f"text {i}" for i in range(ROWS)])
    _, references = handed(model, {**inputs, "said": said}, label_cols=["said"])
    assert references.tolist() == said.tolist()


def test_question_answering_has_two_outputs_and_two_labels():
    config = BertConfig(vocab_size=40, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=8)
    model = compiled(models.TFBertForQuestionAnswering(config), run_eagerly=True)
    data = {"input_ids": IDS, "start_positions": Y, "end_positions": Y + 1}
    predictions, labels = handed(model, data)
    assert list(predictions) == ["start_logits", "end_logits"]
    assert_array_equal(labels["end_positions"], Y + 1)


def t5():
    return compiled(models.TFT5ForConditionalGeneration(T5Config(
        d_model=8, d_kv=4, num_layers=1, num_heads=2, d_ff=8, vocab_size=40,
        decoder_start_token_id=0)), run_eagerly=True)


def gpt2():
    return compiled(models.TFGPT2LMHeadModel(GPT2Config(
        n_embd=8, n_layer=1, n_head=2, vocab_size=40, n_positions=30, pad_token_id=0,
        bos_token_id=1, eos_token_id=2)))


def test_lengths_that_differ_are_filled_up_with_minus_100():
    model = t5()
    labels = [RNG.integers(5, 40, (3, 4)), RNG.integers(5, 40, (2, 6))]
    labels[0][0, 2:] = -100

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, number):
            return {"input_ids": IDS[: len(labels[number])]}, labels[number]

    predictions, true = handed(model, Batches(), ["logits"])
    assert predictions.shape == (5, 6, 40) and true.shape == (5, 6)
    assert (predictions[:3, 4:] == -100).all() and (true[:3, 4:] == -100).all()
    assert_array_equal(true[:3, :4], labels[0])
    expected = model.predict({"input_ids": IDS[:2], "labels": labels[1]}, verbose=0)["logits"]
    assert_allclose(predictions[3:], expected, atol=1e-5)


@pytest.mark.parametrize("make, xla", [
    (t5, False), (gpt2, False), (gpt2, True), pytest.param(t5, True, marks=pytest.mark.long)])
def test_generated_texts_are_those_of_generate(make, xla):
    model = make()
    options = {"max_new_tokens": 3, "do_sample": False}
    mask = np.ones_like(IDS)
    mask[1, :2] = 0
    data = {"input_ids": IDS, "attention_mask": mask, "labels": IDS}
    found, _ = handed(model, data, batch_size=8, predict_with_generate=True,
                      use_xla_generation=xla, generate_kwargs=options)
    expected = model.generate(IDS, attention_mask=mask, jit_compile=False, **options)
    width = min(expected.shape[1], found.shape[1])
    assert_array_equal(found[:, :width], expected[:, :width])
    assert len(found) == ROWS and len(getattr(model, "_programs", (0, {}))[1]) == 2 * xla


class Echo(Plain):
    """A model from elsewhere that can write."""

    def generate(self, inputs, attention_mask=None, times=1):
        return inputs * times


@pytest.mark.parametrize("xla", [False, True])
def test_any_model_with_generate_will_do(xla):
    data = {"input_ids": X, "attention_mask": np.ones_like(X), "labels": Y}
    found, _ = handed(compiled(Echo(column="input_ids")), data, predict_with_generate=True,
                      use_xla_generation=xla, generate_kwargs={"times": 3})
    assert_allclose(found, 3 * X, rtol=1e-6)


@pytest.mark.parametrize("make, options, kind, text", [
    (functional, {}, TypeError, "Functional has no generate, and predict_with_generate needs it"),
    (our_model, {}, TypeError, "writes no text"),
    (t5, {"max_new_token": 3}, ValueError, "max_new_tokens"),
])
def test_what_generate_cannot_do_is_said_before_training(make, options, kind, text):
    model = compiled(make())
    data = ({"x": X, "input_ids": IDS}, Y)
    callback = KerasMetricCallback(accuracy, data, predict_with_generate=True,
                                   generate_kwargs=options)
    with pytest.raises(kind, match=text):
        model.fit({"x": X} if make is functional else {"input_ids": IDS}, Y, verbose=0,
                  callbacks=[callback])


# How metric_fn is called.

def two(predictions, labels):
    return predictions, labels


class Object:
    def method(self, predictions, labels):
        return predictions, labels

    def __call__(self, pair):
        return pair

    @staticmethod
    def compute(*, predictions=None, references=None, **options):
        return predictions, references


CALLS = {
    "pair": lambda pair: pair,
    "pair with a default": lambda pair=None: pair,
    "pair and an option": lambda pair, tokenizer=None: pair,
    "two": two,
    "two without their names": lambda a, b: (a, b),
    "two and options": lambda a, b, digits=3: (a, b),
    "two with defaults": lambda a=None, b=None: (a, b),
    "labels optional": lambda a, labels=None: (a, labels),
    "stars": lambda *args: args,
    "one and stars": lambda a, *rest: (a, *rest),
    "stars and keywords": lambda *args, **options: args,
    "the other way round": lambda y_true, y_pred: (y_pred, y_true),
    "bound method": Object().method,
    "callable": Object(),
    "evaluate": Object().compute,
    "partial by name": functools.partial(lambda a, b, tokenizer: (a, b), tokenizer="t"),
    "partial by place": functools.partial(lambda tokenizer, pair: pair, "t"),
    "no signature": max,
}


@pytest.mark.parametrize("how", CALLS)
def test_metric_functions_are_called_as_they_wish(how):
    answer = MetricFunction(CALLS[how])("A", "B")
    assert answer == "B" if how == "no signature" else tuple(answer) == ("A", "B")


def test_a_pair_has_the_fields_of_trainers_compute_metrics():
    pair = MetricFunction(lambda pair: pair)("A", "B")
    assert (pair.predictions, pair.label_ids, pair[0], pair[1]) == ("A", "B", "A", "B")


@pytest.mark.parametrize("function, expected", [
    (lambda a, b, c: c, "W"),
    (lambda a, b, sample_weight=None: sample_weight, "W"),
    (lambda predictions, labels, weights: weights, "W"),
    (lambda a, b, digits=3: digits, 3),
    (lambda pair: len(pair), 2),
])
def test_weights_go_to_those_who_ask(function, expected):
    assert MetricFunction(function)("A", "B", "W") == expected


@pytest.mark.parametrize("function, text", [
    (3, "is a function of predictions and labels; got int"),
    (lambda: {}, "takes no arguments"),
    (lambda a, b, c, d: {}, "this one needs 4 arguments"),
    (lambda a, b, *, tokenizer: {}, "also needs tokenizer"),
    (lambda predictions, labels, tokenizer: {}, "also needs tokenizer"),
])
def test_functions_that_cannot_be_called_are_refused_at_once(function, text):
    with pytest.raises(TypeError, match=text):
        KerasMetricCallback(function, (X, Y))


def test_weights_reach_metric_fn_or_are_missed():
    weights = np.linspace(0, 1, ROWS)
    model = quick()
    got = []
    model.fit(X, Y, verbose=0, callbacks=[
        KerasMetricCallback(lambda p, true: {}, (X, Y, weights)),
        KerasMetricCallback(lambda a, b, c: got.append(c) or {}, (X, Y, weights), batch_size=4)])
    assert_array_equal(got[0], weights)
    with pytest.raises(ValueError, match="needs sample weights"):
        KerasMetricCallback(lambda a, b, c: {}, (X, Y))


def test_compute_of_the_evaluate_library(tmp_path):
    class Share(evaluate.Metric):
        def _info(self):
            import datasets

            return evaluate.MetricInfo(
                description="", citation="", features=datasets.Features(
                    {"predictions": datasets.Value("int64"),
                     "references": datasets.Value("int64")}))

        def _compute(self, predictions, references):
            return {"share": float(np.mean(np.array(predictions) == np.array(references)))}

    share = Share(cache_dir=str(tmp_path))
    assert MetricFunction(share.compute)(Y, Y) == {"share": 1.0}


# What comes back.

def test_numbers_of_every_kind():
    found = numbers({"python": 1, "numpy": np.float32(0.5), "array": np.array(2),
                     "tensor": tf.constant(3.0), "truth": True, "nan": float("nan")})
    assert found["numpy"] == 0.5 and found["array"] == 2 and found["tensor"] == 3.0
    assert all(isinstance(value, (int, float)) for value in found.values())


@pytest.mark.parametrize("result, text", [
    (0.93, "it returned a float: 0.93"),
    (None, "it returned a NoneType: None"),
    ([("f1", 1)], "it returned a list"),
    ({"f1": "high"}, "f1 is a str: 'high'"),
    ({"f1": [1, 2]}, r"f1 is a list: \[1, 2\]"),
    ({"f1": None}, "f1 is a NoneType"),
    ({"f1": np.ones(3)}, "f1 is a ndarray"),
    ({1: 2.0}, "1 is no name"),
])
def test_anything_else_is_shown(result, text):
    model = quick()
    with pytest.raises(TypeError, match=text):
        model.fit(X, Y, verbose=0, callbacks=[KerasMetricCallback(lambda pair: result, (X, Y))])


# Where the numbers go.

def counting():
    seen = iter([0.2, 0.5, 0.4, 0.3, 0.1])
    return lambda pair: {"score": next(seen)}


def test_everybody_behind_sees_the_metrics(tmp_path, capsys):
    model = quick()
    rate = keras.callbacks.ReduceLROnPlateau("score", mode="max", patience=1, factor=0.5)
    history = model.fit(X, Y, epochs=5, verbose=1, callbacks=[
        KerasMetricCallback(counting(), (X, Y)), rate,
        keras.callbacks.EarlyStopping("score", mode="max", patience=2),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}-{score:.2f}.keras"), "score",
                                        mode="max", save_best_only=True),
        keras.callbacks.CSVLogger(str(tmp_path / "log.csv")),
        keras.callbacks.TensorBoard(str(tmp_path / "board"))])
    assert history.history["score"] == [0.2, 0.5, 0.4, 0.3]
    assert sorted(p.name for p in tmp_path.glob("*.keras")) == ["1-0.20.keras", "2-0.50.keras"]
    heads = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert heads.startswith("epoch,learning_rate,loss,score")
    assert_allclose(float(model.optimizer.learning_rate), 0.0025)
    events = [value for file in tmp_path.glob("board/train/*")
              for event in tf.compat.v1.train.summary_iterator(str(file))
              for value in event.summary.value if value.tag == "epoch_score"]
    assert_allclose([tf.make_ndarray(value.tensor) for value in events], [0.2, 0.5, 0.4, 0.3])
    printed = capsys.readouterr().out
    assert "score: 0.5000" in printed and "metrics: 1/1" in printed


@pytest.mark.parametrize("verbose", [0, 2])
def test_the_bar_is_silent(verbose, capsys):
    model = quick()
    model.fit(X, Y, verbose=verbose, callbacks=[KerasMetricCallback(counting(), (X, Y))])
    printed = capsys.readouterr().out
    assert "metrics:" not in printed and ("score: 0.2" in printed) == (verbose == 2)


def test_standing_behind_a_reader_of_logs_is_a_warning():
    model = quick()
    with pytest.warns(UserWarning, match="^EarlyStopping, CSVLogger will not see the metrics"):
        model.fit(X, Y, verbose=0, callbacks=[
            keras.callbacks.EarlyStopping("loss"), keras.callbacks.CSVLogger(os.devnull),
            KerasMetricCallback(counting(), (X, Y))])


def test_the_right_order_is_no_warning():
    model = quick()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(X, Y, verbose=0, callbacks=[
            keras.callbacks.LearningRateScheduler(lambda epoch: 0.1),
            KerasMetricCallback(counting(), (X, Y)),
            KerasMetricCallback(lambda pair: {"other": 1}, (X, Y)),
            keras.callbacks.EarlyStopping("loss")])


def test_a_metric_that_replaces_one_of_the_training_is_a_warning():
    model = quick()
    with pytest.warns(UserWarning, match="loss of metric_fn replaces"):
        history = model.fit(X, Y, verbose=0, callbacks=[
            KerasMetricCallback(lambda pair: {"loss": 7}, (X, Y))])
    assert history.history["loss"] == [7]


def test_training_is_the_same_with_and_without():
    weights = []
    for callbacks in ([], [KerasMetricCallback(accuracy, (X, Y), batch_size=4)]):
        keras.utils.set_random_seed(3)
        x = keras.Input((LENGTH,))
        model = keras.Model(x, layers.Dense(CLASSES)(layers.Dropout(0.5)(x)))
        compiled(model).fit(X, Y, epochs=3, batch_size=4, verbose=0, callbacks=callbacks)
        weights.append(model.get_weights()[0])
    assert_array_equal(*weights)


def test_it_can_be_used_again_and_by_hand():
    callback = KerasMetricCallback(accuracy, (X, Y), batch_size=4)
    for _ in range(2):
        model = quick()
        history = model.fit(X, Y, verbose=0, callbacks=[callback])
        assert history.history["accuracy"] == [accuracy(model.predict(X, verbose=0), Y)["accuracy"]]
        assert callback.measure() == accuracy(model.predict(X, verbose=0), Y)


def test_data_without_batches_is_said_before_training():
    model = quick()
    empty = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).take(0)
    with pytest.raises(ValueError, match="eval_dataset has no batches"):
        model.fit(X, Y, verbose=0, callbacks=[KerasMetricCallback(accuracy, empty)])


OTHER_BACKEND = """
import keras, numpy as np
from keras import layers
from course_lib.keras_callbacks import KerasMetricCallback

class Answer:
    def __init__(self, logits):
        self.logits = logits

class Model(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)
    def call(self, x):
        return Answer(self.dense(x))
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean((y_pred.logits if isinstance(y_pred, Answer) else y_pred) ** 2)

inputs = keras.Input((5,))
x, y = np.ones((11, 5), "float32"), np.zeros(11, int)
for model in (keras.Model(inputs, layers.Dense(3)(inputs)), Model()):
    model.compile("sgd", None if isinstance(model, Model) else "mse")
    history = model.fit(x, np.zeros((11, 3)), verbose=0, callbacks=[KerasMetricCallback(
        lambda p, t: {"rows": len(p), "same": len(p) == len(t)}, (x, y), batch_size=4)])
    assert history.history["rows"] == [11] and history.history["same"] == [1], history.history
import sys
assert "tensorflow" not in sys.modules
"""


def test_the_pytorch_backend():
    environment = {**os.environ, "KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", OTHER_BACKEND], check=True, env=environment)


def test_the_package_is_light_until_used():
    code = ("import sys, course_lib.keras_callbacks as k; "
            "print({'keras', 'tensorflow', 'torch'} & set(sys.modules), dir(k))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("set()") and "SampleTextCallback" in done.stdout
