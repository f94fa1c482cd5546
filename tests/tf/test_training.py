"""Training against PyTorch, and every promise of `fit` on every form of data."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers

from course_lib.tf import models
from course_lib.tf.optimization import AdamWeightDecay
from course_lib.tf.training import add_lora, describe
from course_lib.tf.weights import adapters
from course_lib.tf.weights import merged as sum_of

SINGLE = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 50,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
DOUBLE = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "vocab_size": 50,
    "max_position_embeddings": 24,
    "dropout": 0.0,
}
T5 = {
    "d_model": 16,
    "d_kv": 8,
    "num_layers": 1,
    "num_heads": 2,
    "d_ff": 24,
    "vocab_size": 50,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.0,
}
CONFIGS = {
    "bert": (transformers.BertConfig, SINGLE),
    "distilbert": (
        transformers.DistilBertConfig,
        {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 24, "vocab_size": 50,
         "max_position_embeddings": 24, "dropout": 0.0, "attention_dropout": 0.0,
         "seq_classif_dropout": 0.0, "qa_dropout": 0.0},
    ),
    "roberta": (transformers.RobertaConfig, SINGLE),
    "camembert": (transformers.CamembertConfig, SINGLE),
    "xlm-roberta": (transformers.XLMRobertaConfig, SINGLE),
    "gpt2": (
        transformers.GPT2Config,
        {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 50, "n_positions": 24,
         "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2, "resid_pdrop": 0.0,
         "embd_pdrop": 0.0, "attn_pdrop": 0.0, "classifier_dropout": 0.0},
    ),
    "bart": (transformers.BartConfig, DOUBLE),
    "marian": (
        transformers.MarianConfig,
        {**DOUBLE, "pad_token_id": 1, "decoder_start_token_id": 3},
    ),
    "t5": (transformers.T5Config, T5),
    "mt5": (transformers.MT5Config, T5),
}  # fmt: skip
QA = "question_answering"
PYTORCH = [
    ("sequence_classification", "bert"), (QA, "distilbert"), ("token_classification", "roberta"),
    ("masked_lm", "bert"), ("multiple_choice", "bert"), ("causal_lm", "gpt2"),
    ("sequence_classification", "gpt2"), ("seq2seq_lm", "bart"),
    ("seq2seq_lm", "marian"), ("seq2seq_lm", "t5"), ("seq2seq_lm", "mt5"),
]  # fmt: skip
SEEN = [tuple(getattr(case, "values", case)) for case in PYTORCH]
OTHERS = [key for key in models.MODELS if key not in SEEN and key[0] != "base"]
ROWS, LENGTH = 4, 8


def config_of(kind, **changes):
    make, fields = CONFIGS[kind]
    return make(**{**fields, **changes})


def model_of(task, kind, seed=0, **changes):
    keras.utils.set_random_seed(seed)
    classes = {} if task == QA else {"num_labels": 3}
    return models.MODELS[task, kind].from_config(config_of(kind, **classes, **changes))


def both(task, kind, folder, **changes):
    """PyTorch's model with random weights, and ours with the same."""
    torch.manual_seed(0)
    cls = models.MODELS[task, kind]
    theirs = getattr(transformers, cls.__name__[2:])(config_of(kind, **changes)).train()
    for weight in theirs.parameters():
        if weight.requires_grad:  # Marian's table of sines is no draw
            weight.data += 0.05 * torch.randn_like(weight)
    theirs.save_pretrained(folder)
    return theirs, cls.from_pretrained(folder)


def labels_for(task, ids, mask):
    rng = np.random.default_rng(1)
    if task == "sequence_classification":
        return {"labels": np.arange(len(ids)) % 3}
    if task == "multiple_choice":
        return {"labels": np.arange(len(ids)) % 2}
    if task == QA:  # the last answer lies outside
        starts, ends = np.array([1, 2, 0, 99]), np.array([2, 4, 0, 99])
        return {"start_positions": starts, "end_positions": ends}
    classes = 3 if task == "token_classification" else 50
    labels = rng.integers(4 if classes == 50 else 0, classes, ids.shape)
    if task == "seq2seq_lm":  # padding only behind: see test_the_padding_token_learns_nothing
        return {"labels": np.where(mask.astype(bool), labels, -100)}
    return {"labels": np.where(mask.astype(bool) & (rng.random(ids.shape) < 0.7), labels, -100)}


def batch(task, kind="bert", seed=0):
    """Inputs with padding on the right, and labels."""
    rng = np.random.default_rng(seed)
    ids, mask = rng.integers(4, 50, (ROWS, LENGTH)), np.ones((ROWS, LENGTH), "int64")
    ids[:, -1] = config_of(kind).eos_token_id or 2  # BART's classifier reads it
    mask[1, 5 if task != QA else LENGTH :] = 0
    ids[mask.sum(1) == 5, 4] = ids[0, -1]
    ids = np.where(mask == 1, ids, config_of(kind).pad_token_id)
    labels = labels_for(task, ids, mask)
    if task == "multiple_choice":
        ids, mask = (np.stack([array, array[::-1]], 1) for array in (ids, mask))
    return {"input_ids": ids, "attention_mask": mask, **labels}


def full_names(model):
    """Each variable's slot with the names of PyTorch's model."""
    prefix = f"{model.architecture.prefix}." if model.architecture.prefix else ""
    return [
        (variable, slot, [name if slot.head else prefix + name for name in slot.names])
        for variable, slot in model.slots()
    ]


def gradients(model, inputs):
    """Ours, laid out and named as PyTorch's."""
    with tf.GradientTape() as tape:
        loss = model(inputs, training=True).loss
    slots = [row for row in full_names(model) if row[0].trainable]
    found = tape.gradient(loss, [variable.value for variable, _, _ in slots])
    named = {}
    for gradient, (_, slot, names) in zip(found, slots, strict=True):
        if gradient is not None:
            parts = slot.cut(tf.convert_to_tensor(gradient).numpy())
            named |= dict(zip(names, parts.values(), strict=True))
    return named


def step_in_pytorch(model, optimizer, inputs):
    optimizer.zero_grad()
    loss = model(**{name: torch.tensor(value) for name, value in inputs.items()}).loss
    loss.backward()
    optimizer.step()
    return loss.item()


def check_steps(task, kind, folder, **changes):
    """One loss, its gradients, and three steps of AdamW."""
    classes = {} if task == QA else {"num_labels": 3}
    theirs, ours = both(task, kind, folder, **classes, **changes)
    inputs = batch(task, kind)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=3e-3, weight_decay=0.1)
    found = gradients(ours, inputs)
    ours.compile(AdamWeightDecay(3e-3, epsilon=1e-8, weight_decay_rate=0.1), run_eagerly=True)
    for step in range(3):
        expected = step_in_pytorch(theirs, optimizer, inputs)
        if step == 0:
            named = {n: p.grad.numpy() for n, p in theirs.named_parameters() if p.grad is not None}
            largest = max(np.abs(gradient).max() for gradient in named.values())
            for name, gradient in named.items():
                ours_there = found.get(name, np.zeros_like(gradient))
                allowed = 1e-3 * np.abs(gradient).max() + 1e-6 * largest
                assert np.abs(ours_there - gradient).max() <= allowed, name
        loss = ours.train_on_batch(inputs, return_dict=True)["loss"]
        np.testing.assert_allclose(loss, expected, rtol=1e-5 if step == 0 else 1e-4)
    theirs.eval()
    with torch.no_grad():
        wanted = theirs(**{name: torch.tensor(value) for name, value in inputs.items()})
    answer = ours(inputs)
    for name in ours.label_outputs:
        scale = wanted[name].abs().max()
        difference = np.abs(np.asarray(answer[name]) - wanted[name].numpy())
        if task in ("multiple_choice", QA):  # no gradient for the bias: Adam divides noise
            moved = np.asarray(answer[name]) - wanted[name].numpy()
            difference = np.abs(moved - moved.mean())
        if task in ("token_classification", "masked_lm", "causal_lm", QA):
            difference = difference[inputs["attention_mask"].astype(bool)]
        assert difference.max() < 2e-3 * scale, name


@pytest.mark.parametrize(("task", "kind"), PYTORCH)
def test_loss_gradients_and_three_steps_equal_pytorch(task, kind, tmp_path):
    check_steps(task, kind, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize(("task", "kind"), OTHERS)
def test_loss_gradients_and_three_steps_equal_pytorch_everywhere(task, kind, tmp_path):
    check_steps(task, kind, tmp_path)


def test_the_padding_token_learns_nothing(tmp_path):
    theirs, ours = both("seq2seq_lm", "bart", tmp_path)
    inputs = batch("seq2seq_lm", "bart")
    inputs["labels"][:, 2] = -100  # the decoder reads padding, and later labels count
    step_in_pytorch(theirs, torch.optim.SGD(theirs.parameters(), lr=0.0), inputs)
    wanted = theirs.model.shared.weight.grad.numpy()
    found = gradients(ours, inputs)["model.shared.weight"]
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("labels", "changes"),
    [
        (np.array([0.5, -1.0, 2.0, 0.0], "float32"), {"num_labels": 1}),
        (np.eye(4, 3, dtype="float32"), {"num_labels": 3}),
        (np.eye(4, 3, dtype="float32"), {"num_labels": 3, "problem_type": "regression"}),
        (np.array([0, 2, -100, 1]), {"num_labels": 3}),
    ],
    ids=["number", "several labels", "several numbers", "one label"],
)
def test_every_problem_type_has_the_loss_of_pytorch(labels, changes, tmp_path):
    theirs, ours = both("sequence_classification", "distilbert", tmp_path, **changes)
    inputs = batch("sequence_classification")
    inputs["labels"] = labels
    expected = theirs(**{name: torch.tensor(value) for name, value in inputs.items()}).loss
    np.testing.assert_allclose(ours(inputs).loss, expected.item(), rtol=1e-5)
    ours.compile("sgd", run_eagerly=True)
    np.testing.assert_allclose(ours.test_on_batch(inputs), expected.item(), rtol=1e-5)


LOST = [("masked_lm", "bert"), ("causal_lm", "gpt2"), (QA, "bert")]


@pytest.mark.parametrize(("task", "kind"), LOST)
def test_a_batch_without_labels_that_count_changes_nothing(task, kind):
    model, inputs = model_of(task, kind), batch(task, kind)
    for name in model.label_names:
        inputs[name] = np.full_like(inputs[name], 99 if task == QA else -100)
    before = model.get_weights()
    metrics = {name: ["accuracy"] for name in model.label_outputs}
    model.compile(keras.optimizers.SGD(1.0), metrics=metrics)
    results = model.train_on_batch(inputs, return_dict=True)
    assert results["loss"] == 0.0
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# --- every form of data ---------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    """Two batches of two rows, as a data set made by hand gives them."""

    def __init__(self, data, beside):
        super().__init__()
        self.data, self.beside = data, beside

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows = {name: value[2 * index : 2 * index + 2] for name, value in self.data.items()}
        return (rows, rows.pop("labels")) if self.beside else rows


def forms(inputs):
    """What `fit` may be called with, for the same two batches."""
    rest = dict(inputs)
    labels = rest.pop("labels")
    sliced = tf.data.Dataset.from_tensor_slices
    return {
        "inside": {"x": inputs},
        "beside": {"x": rest, "y": labels},
        "beside by name": {"x": rest, "y": {"labels": labels}},
        "beside by output": {"x": rest, "y": {"logits": labels}},
        "both": {"x": {**inputs, "labels": 0 * labels}, "y": labels},
        "encoding": {"x": transformers.BatchEncoding(inputs)},
        "encoding of lists": {
            "x": transformers.BatchEncoding({k: v.tolist() for k, v in inputs.items()})
        },
        "tensors": {"x": {k: tf.constant(v) for k, v in inputs.items()}},
        "tf.data inside": {"x": sliced(inputs).batch(2)},
        "tf.data beside": {"x": sliced((rest, labels)).batch(2)},
        "PyDataset inside": {"x": Batches(inputs, False)},
        "PyDataset beside": {"x": Batches(inputs, True)},
    }


DATA = [("token_classification", "distilbert"), ("seq2seq_lm", "bart")]


@pytest.mark.parametrize(("task", "kind"), DATA)
def test_fit_and_evaluate_take_every_form_of_data(task, kind):
    model, inputs = model_of(task, kind), batch(task, kind)
    start, results = model.get_weights(), {}
    for name, data in forms(inputs).items():
        size = {} if isinstance(data["x"], (tf.data.Dataset, Batches)) else {"batch_size": 2}
        model.set_weights(start)
        model.compile(keras.optimizers.SGD(0.1), metrics=["accuracy"], run_eagerly=True)
        history = model.fit(**data, **size, shuffle=False, verbose=0).history
        after = model.evaluate(**data, **size, verbose=0, return_dict=True)
        results[name] = [history["loss"][0], history["accuracy"][0], *after.values()]
    for name, numbers in results.items():
        np.testing.assert_allclose(numbers, results["inside"], rtol=1e-6, err_msg=name)
    assert results["inside"][0] != results["inside"][3]


def test_arrays_alone_and_a_validation_split():
    model = model_of("sequence_classification", "distilbert")
    inputs = batch("sequence_classification")
    ids, labels = inputs["input_ids"], inputs["labels"] % 2
    model.compile("adam")
    inside = {"input_ids": ids, "labels": labels}
    for data in ({"x": ids, "y": labels}, {"x": inside}):
        history = model.fit(**data, validation_split=0.5, verbose=0).history
        assert set(history) == {"loss", "val_loss"}
    for held in (inside, (inside,), (ids, labels), (inside, None, np.ones(ROWS))):
        model.fit(ids, labels, validation_data=held, verbose=0, batch_size=ROWS)
        last = model.history.history["val_loss"][-1]
        np.testing.assert_allclose(last, model.evaluate(ids, labels, verbose=0), rtol=1e-5)


def test_predict_drops_labels_and_reads_them_into_the_decoder():
    model, inputs = model_of("seq2seq_lm", "bart"), batch("seq2seq_lm", "bart")
    whole = model(inputs)
    for answer in (model.predict(inputs, batch_size=3, verbose=0), model.predict_on_batch(inputs)):
        assert "loss" not in answer
        np.testing.assert_allclose(answer["logits"], whole.logits, atol=1e-5)
    tagger, inputs = model_of("token_classification", "bert"), batch("token_classification")
    answer = tagger.predict(tf.data.Dataset.from_tensor_slices(inputs).batch(2), verbose=0)
    np.testing.assert_allclose(answer.logits, tagger(inputs).logits, atol=1e-5)
    assert tagger.predict(inputs["input_ids"], verbose=0)["logits"].shape == (ROWS, LENGTH, 3)


def test_steps_on_one_batch():
    model, inputs = model_of("seq2seq_lm", "t5"), batch("seq2seq_lm", "t5")
    rest = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    first = model.test_on_batch(rest, inputs["labels"])
    assert model.train_on_batch(rest, inputs["labels"]) == first
    assert model.train_on_batch(inputs, return_dict=True)["loss"] < first
    assert float(model(inputs).loss) < first


# --- losses, metrics, weights ---------------------------------------------------------------------


def test_compile_without_a_loss_comes_back_to_the_own_one():
    model, inputs = model_of("sequence_classification", "distilbert"), batch(
        "sequence_classification"
    )
    inputs["labels"] = inputs["labels"] % 2
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    results = []

    def flat(y, logits):
        return keras.ops.mean(logits**2, axis=-1)

    for loss in (None, entropy, {"logits": entropy}, flat, None):
        model.compile("sgd", loss=loss, metrics=["accuracy"], run_eagerly=True)
        results.append(model.evaluate(inputs, verbose=0)[0])
    np.testing.assert_allclose(results[1:3] + results[4:], results[0], rtol=1e-5)
    assert abs(results[3] - results[0]) > 1e-3
    model.compile("sgd")
    assert [metric.name for metric in model.metrics] == ["loss"]


def test_a_model_without_a_task_learns_a_compiled_loss():
    model, ids = model_of("base", "bert"), batch("masked_lm")["input_ids"]
    model.compile("adam", loss={"pooler_output": "mse"}, run_eagerly=True)
    target = {"pooler_output": np.ones((ROWS, 16))}
    before = model.evaluate(ids, target, verbose=0)
    model.fit(ids, target, epochs=3, verbose=0)
    assert model.evaluate(ids, target, verbose=0) < before
    model.compile("adam", run_eagerly=True)
    with pytest.raises(ValueError, match="TFBertModel has no task of its own to learn"):
        model.fit(ids, verbose=0)


@pytest.mark.parametrize("loss", [None, "sparse_categorical_crossentropy"])
def test_labels_that_are_missing_are_named(loss):
    model, ids = model_of(QA, "bert"), batch("masked_lm")["input_ids"]
    model.compile("adam", loss=loss, run_eagerly=True)
    text = "learns from start_positions and end_positions, but got none" if loss is None else (
        "the compiled loss has no labels"
    )
    with pytest.raises(ValueError, match=text):
        model.fit(ids, verbose=0)
    model.compile("adam", run_eagerly=True)
    with pytest.raises(ValueError, match="but got start_positions: put them"):
        model.fit(ids, {"start_positions": np.zeros(ROWS)}, verbose=0)


@pytest.mark.parametrize("first", ["fit", "train_on_batch"])
def test_after_a_failure_it_can_be_run_again(first):
    task = "sequence_classification"
    model, inputs = model_of(task, "bert"), batch(task, "bert")
    model.compile("adam", metrics=["accuracy"])
    with pytest.raises(ValueError, match="but got none"):
        getattr(model, first)({"input_ids": inputs["input_ids"]})
    assert np.isfinite(model.fit(inputs, verbose=0).history["loss"][0])


READ = [("causal_lm", "gpt2"), ("token_classification", "bert")]


@pytest.mark.parametrize(("task", "kind"), READ)
def test_metrics_see_what_the_loss_sees(task, kind):
    model = model_of(task, kind)
    short = {name: value[:2, :5] for name, value in batch(task, kind, seed=1).items()}
    batches = [batch(task, kind), short]  # of two lengths: each token counts the same
    for inputs in batches:
        best = np.asarray(model(inputs).logits).argmax(-1)
        shifted = np.roll(best, 1, 1) if task == "causal_lm" else best
        hit = np.random.default_rng(0).random(best.shape) < 0.5  # so that some are right
        inputs["labels"] = np.where(hit & (inputs["labels"] != -100), shifted, inputs["labels"])
    right = []
    for inputs in batches:
        best = np.asarray(model(inputs).logits).argmax(-1)
        labels = inputs["labels"]
        if task == "causal_lm":
            best, labels = best[:, :-1], labels[:, 1:]
        right += (best == labels)[labels != -100].tolist()

    def generate():
        yield from batches

    kinds = tf.nest.map_structure(lambda v: tf.TensorSpec((None, None), v.dtype), batches[0])
    data = tf.data.Dataset.from_generator(generate, output_signature=kinds)
    model.compile("adam", metrics=["accuracy"], weighted_metrics=["sparse_categorical_accuracy"])
    found = model.evaluate(data, verbose=0, return_dict=True)
    assert 0 < np.mean(right) < 1
    np.testing.assert_allclose(found["accuracy"], np.mean(right), rtol=1e-6)
    np.testing.assert_allclose(found["sparse_categorical_accuracy"], np.mean(right), rtol=1e-6)


@pytest.mark.parametrize(("task", "kind"), [("causal_lm", "gpt2"), (QA, "bert")])
def test_sample_weights_reach_labels_among_the_inputs(task, kind):
    model, inputs = model_of(task, kind), batch(task, kind)
    model.compile("sgd", run_eagerly=True)
    weights = np.array([1.0, 0.0, 2.0, 0.0], "float32")
    labels = {name: inputs[name] for name in model.label_names}
    expected = float(model.task_loss(labels, model(inputs), weights))
    data = tf.data.Dataset.from_tensors((inputs, labels, weights))
    for found in (
        model.evaluate(inputs, sample_weight=weights, verbose=0),
        model.test_on_batch(inputs, sample_weight=weights),
        model.evaluate(data, verbose=0),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert abs(expected - float(model(inputs).loss)) > 1e-3
    if task == "causal_lm":  # one for each token, shifted with its label
        single = np.zeros((ROWS, LENGTH), "float32")
        row, token = np.argwhere(inputs["labels"][:, 1:] != -100)[0] + [0, 1]
        single[row, token] = 1
        log = np.asarray(tf.nn.log_softmax(model(inputs).logits))
        entry = -log[row, token - 1, inputs["labels"][row, token]]
        count = (inputs["labels"][:, 1:] != -100).sum()
        found = model.evaluate(inputs, sample_weight=single, verbose=0)
        np.testing.assert_allclose(found, entry / count, rtol=1e-5)


def test_class_weights_are_sample_weights_in_training_only():
    inputs, weights = batch("token_classification"), {0: 3.0, 1: 0.5}
    labels = inputs["labels"] = np.where(inputs["labels"] == 2, 1, inputs["labels"])
    by_label = np.select([labels == 0, labels == 1], [3.0, 0.5], 1.0)
    results = {}
    for how in ("class", "sample", "one batch"):
        model = model_of("token_classification", "bert")
        model.compile(keras.optimizers.SGD(0.5))
        start = model.evaluate(inputs, verbose=0)
        if how == "class":
            model.fit(inputs, class_weight=weights, verbose=0)
        elif how == "sample":
            model.fit(inputs, sample_weight=by_label, verbose=0)
        else:
            model.train_on_batch(inputs, class_weight=weights)
        results[how] = [start, model.evaluate(inputs, verbose=0), *model.get_weights()[-1]]
        if how == "class":  # a second fit does without
            assert model.fit(inputs, verbose=0).history["loss"][0] == pytest.approx(results[how][1])
    np.testing.assert_allclose(results["sample"], results["class"], rtol=1e-5)
    np.testing.assert_allclose(results["one batch"], results["class"], rtol=1e-5)
    answers = model_of(QA, "bert")
    answers.compile("sgd", run_eagerly=True)
    with pytest.raises(ValueError, match="class_weight is for one kind of labels"):
        answers.fit(batch(QA), class_weight=weights, verbose=0)


# --- Keras's own options --------------------------------------------------------------------------


def test_a_keras_file_goes_on_to_the_last_bit(tmp_path):
    def train(model, times):
        for _ in range(times):
            model.train_on_batch(batch("masked_lm"))

    through = model_of("masked_lm", "bert", hidden_dropout_prob=0.2)
    through.compile(AdamWeightDecay(1e-2, weight_decay_rate=0.1), metrics=["accuracy"])
    train(through, 2)
    through.save(tmp_path / "half.keras")
    resumed = keras.saving.load_model(tmp_path / "half.keras")
    assert type(resumed) is type(through) and int(resumed.optimizer.iterations) == 2
    train(through, 2)
    train(resumed, 2)
    states = [each.variables + each.optimizer.variables for each in (through, resumed)]
    for a, b in zip(*states, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
    other = model_of("masked_lm", "bert")  # no dropout, so no seeds
    through.save_weights(tmp_path / "a.weights.h5")
    other.load_weights(tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(other.get_weights()[0], through.get_weights()[0])


@pytest.mark.parametrize(("task", "kind"), [("causal_lm", "gpt2"), ("seq2seq_lm", "t5")])
def test_xla_trains_the_same(task, kind):
    inputs, histories = batch(task, kind), []
    for jit in (False, True):
        model = model_of(task, kind)
        model.compile(AdamWeightDecay(1e-2), metrics=["accuracy"], jit_compile=jit)
        assert model.jit_compile is jit
        history = model.fit(inputs, epochs=3, batch_size=2, shuffle=False, verbose=0).history
        histories.append([*history["loss"], *history["accuracy"]])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-3)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_16_bits_learn_like_32(policy):
    inputs = batch("seq2seq_lm", "bart")
    exact = model_of("seq2seq_lm", "bart")
    keras.config.set_dtype_policy(policy)
    try:
        model = model_of("seq2seq_lm", "bart")
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(inputs).logits.dtype == policy.removeprefix("mixed_")
    assert {v.dtype for v, _ in model.slots()} == {"float32"}
    losses = []
    for each in (exact, model):
        each.compile(AdamWeightDecay(1e-2))
        losses.append(each.fit(inputs, epochs=6, verbose=0).history["loss"])
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)
    assert losses[1][-1] < losses[1][0] - 0.3


def test_accumulated_batches_are_one_larger_batch():
    inputs, finals = batch("sequence_classification"), []
    inputs["labels"] = inputs["labels"] % 2
    optimizers = (AdamWeightDecay(1e-2), AdamWeightDecay(1e-2, gradient_accumulation_steps=2),
                  keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2))  # fmt: skip
    for size, optimizer in zip((4, 2, 2), optimizers, strict=True):
        model = model_of("sequence_classification", "distilbert")
        model.compile(optimizer)
        model.fit(inputs, batch_size=size, epochs=2, shuffle=False, verbose=0)
        assert int(model.optimizer.iterations) == 2
        finals.append(np.asarray(model(inputs).logits))
    np.testing.assert_allclose(finals[1], finals[0], atol=1e-5)
    np.testing.assert_allclose(finals[2], finals[0], atol=1e-3)  # its epsilon stands elsewhere


# --- parts of a model -----------------------------------------------------------------------------


def test_frozen_parts_keep_their_weights_and_need_no_means():
    model, inputs = model_of("sequence_classification", "bert"), batch("sequence_classification")
    inputs["labels"] = inputs["labels"] % 2
    model.bert.trainable = False
    model.compile(AdamWeightDecay(1e-2))
    before = {v.path: v.numpy() for v, _ in model.slots()}
    first = model.fit(inputs, verbose=0).history["loss"][0]
    changed = {p for p, v in before.items() if (v != variable(model, p)).any()}
    assert changed == {v.path for v in model.classifier.variables if "seed" not in v.path}
    assert len(model.optimizer.variables) == 2 + 2 * len(model.trainable_variables) == 6
    assert model.num_parameters(only_trainable=True) == 3 * 16 + 3
    assert "frozen" in describe(model) and model.evaluate(inputs, verbose=0) < first
    model.base_model.trainable = True
    model.compile(AdamWeightDecay(1e-2))
    model.fit(inputs, verbose=0)
    assert (before[model.token_table.embeddings.path] != model.token_table.embeddings.numpy()).any()


def variable(model, path):
    return next(v for v in model.variables if v.path == path).numpy()


@pytest.mark.parametrize(
    ("task", "kind", "layers"),
    [("sequence_classification", "bert", r"qkv$"), ("causal_lm", "gpt2", r"(qkv|up|tokens)$"),
     ("seq2seq_lm", "bart", r"(query|key_value|shared)$")],
)  # fmt: skip
def test_lora_trains_only_its_own_matrices(task, kind, layers):
    model, inputs = model_of(task, kind), batch(task, kind)
    if task == "sequence_classification":
        inputs["labels"] = inputs["labels"] % 2
    before, plain = {v.path: v.numpy() for v in model.variables}, model(inputs).logits
    found = add_lora(model, rank=2, alpha=4, layers=layers)
    np.testing.assert_allclose(model(inputs).logits, plain, atol=1e-6)
    assert len(model.trainable_variables) == 2 * len(found)
    assert all("/lora_" in v.path for v in model.trainable_variables)
    model.compile(AdamWeightDecay(1e-2))
    losses = model.fit(inputs, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    for path, value in before.items():
        if "seed" not in path:
            np.testing.assert_array_equal(variable(model, path), value, err_msg=path)
    corrections = adapters(model._flatten_layers())
    merged = {v.path: sum_of(v, corrections) for v in model.variables if v.path in corrections}
    assert set(merged) <= set(before) and len(merged) == len(found)
    fresh = model_of(task, kind)  # the merged weights alone give the same answers
    by_path = {v.path.split("/", 1)[1]: v for v in fresh.variables}
    for path, value in merged.items():
        assert np.linalg.matrix_rank(value - before[path], tol=1e-5) <= 2
        by_path[path.split("/", 1)[1]].assign(value)
    np.testing.assert_allclose(fresh(inputs).logits, model(inputs).logits, atol=1e-5)


def test_lora_is_merged_into_what_is_saved(tmp_path):
    model, inputs = model_of("causal_lm", "gpt2"), batch("causal_lm", "gpt2")
    add_lora(model, rank=2)
    model.compile(AdamWeightDecay(1e-2))
    model.fit(inputs, epochs=2, verbose=0)
    model.save_pretrained(tmp_path)
    back = type(model).from_pretrained(tmp_path)
    np.testing.assert_allclose(back(inputs).logits, model(inputs).logits, atol=1e-5)
    assert model.num_parameters() == back.num_parameters()


def test_lora_names_what_it_does_not_find():
    with pytest.raises(ValueError, match="no Dense or Embedding layer has a path with 'nowhere'"):
        add_lora(model_of("causal_lm", "gpt2"), layers="nowhere")


def test_summary_shows_blocks_once_and_what_trains(capsys):
    model = model_of("sequence_classification", "bert", num_hidden_layers=3)
    model.bert.trainable = False
    model.summary()
    lines = capsys.readouterr().out.splitlines()
    total = model.num_parameters()
    assert lines[0].endswith(f"{total:,} parameters, 51 of them train")
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
    assert rows["bert/layer_0"][:4] == ["…", "2", "3", "×"] and rows["bert/layer_0"][-1] == "frozen"
    assert rows["classifier/out"] == ["51"]
    model.summary(expand_nested=True)
    assert "Total params" in capsys.readouterr().out


# --- several devices ------------------------------------------------------------------------------

MIRRORED = """
import json, sys
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
sys.path.insert(0, sys.argv[1])
import test_training as t
from course_lib.tf.optimization import AdamWeightDecay

task, kind = sys.argv[2:]
inputs = t.batch(task, kind)
rest = {name: value for name, value in inputs.items() if name != "labels"}
inputs["labels"][:2, 2:] = -100         # the first replica has fewer labels that count

def trained():
    model = t.model_of(task, kind)
    model.compile(AdamWeightDecay(1e-2, weight_decay_rate=0.1), metrics=["accuracy"])
    data = tf.data.Dataset.from_tensors((rest, inputs["labels"])).unbatch().batch(4)
    losses = [model.fit(data, verbose=0).history["loss"][0] for _ in range(3)]
    return model, [*losses, *model.evaluate(data, verbose=0)]

alone, expected = trained()
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model, found = trained()
copies, worst = set(), 0.0
for variable, reference in zip(model.trainable_variables, alone.trainable_variables):
    local = strategy.experimental_local_results(variable.value)
    copies.add(len(local))
    assert all((copy.numpy() == local[0].numpy()).all() for copy in local), variable.path
    worst = max(worst, float(np.abs(local[0].numpy() - reference.numpy()).max()))
try:
    with strategy.scope():
        keras_own = t.model_of(task, kind)
        keras_own.compile(keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2))
        keras_own.fit(tf.data.Dataset.from_tensors((rest, inputs["labels"])), verbose=0)
    said = ""
except Exception as error:
    said = f"{type(error).__name__}: {error}"
with strategy.scope():
    try:
        AdamWeightDecay(1e-2, gradient_accumulation_steps=2)
    except ValueError as error:
        ours = str(error)
print(json.dumps({"copies": sorted(copies), "worst": worst, "found": found, "ours": ours,
                  "expected": expected, "replicas": strategy.num_replicas_in_sync, "said": said}))
"""


@pytest.mark.parametrize(
    ("task", "kind"),
    [("seq2seq_lm", "bart"), pytest.param("causal_lm", "gpt2", marks=pytest.mark.long)],
)
def test_two_replicas_train_as_one_device(task, kind):
    here = os.path.dirname(__file__)
    command = [sys.executable, "-c", MIRRORED, here, task, kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["replicas"] == 2 and result["copies"] == [2]
    np.testing.assert_allclose(result["found"], result["expected"], rtol=1e-4)
    assert result["worst"] < 1e-4  # a mean of means would be off by a hundredth
    assert result["said"] and "several devices at once" in result["ours"]
