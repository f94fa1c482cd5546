"""Every architecture and head answers as PyTorch's does, with the same weights."""

import re
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from numpy.testing import assert_allclose

from course_lib.tf.models import CLASSES, MODELS
from tests.tf.small import (
    CONFIGS,
    EOS,
    LENGTH,
    VARIANTS,
    VOCABULARY,
    ours,
    pair,
    reference,
    small_config,
    texts,
)

NAMES = {(model.task, model.model_type): model.__name__[2:] for model in CLASSES}
DECODERS = {"seq2seq_lm", "base"}
EVERYTHING = {"output_hidden_states": True, "output_attentions": True}


# -- inputs, labels, comparison --------------------------------------------------------------------


def decoder_texts(config: Any, padding: str = "none") -> dict[str, np.ndarray]:
    """What the decoder reads: shorter than what the encoder does."""
    found = texts(config, "right" if padding == "left" else padding, seed=1)
    return {f"decoder_{name}": value[:, :6] for name, value in found.items()}


def inputs_for(task: str, config: Any, case: str) -> dict[str, np.ndarray]:
    """Inputs by name; `case` is none, right, left or types."""
    padding = "right" if case == "types" else case
    found = texts(config, padding, rows=6 if task == "multiple_choice" else 3)
    if case == "types":
        rows, kinds = len(found["input_ids"]), getattr(config, "type_vocab_size", VOCABULARY)
        found["token_type_ids"] = np.random.default_rng(2).integers(0, kinds, (rows, LENGTH))
    if config.is_encoder_decoder and task in DECODERS:
        found.update(decoder_texts(config, padding))
    if task == "multiple_choice":
        found = {name: value.reshape(3, 2, LENGTH) for name, value in found.items()}
    return found


def labels_for(task: str, config: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Labels by name, some of them -100."""
    rng = np.random.default_rng(3)
    if task == "base":
        return {}
    if task == "question_answering":
        return {
            "start_positions": np.array([1, 3, LENGTH + 5]),
            "end_positions": np.array([2, 5, 0]),
        }
    if task in ("sequence_classification", "multiple_choice"):
        return {"labels": rng.integers(0, 2, 3)}
    source = inputs["decoder_input_ids" if task == "seq2seq_lm" else "input_ids"]
    most = config.num_labels if task == "token_classification" else VOCABULARY
    return {
        "labels": np.where(
            rng.random(source.shape) < 0.3, -100, rng.integers(0, most, source.shape)
        )
    }


def as_torch(value: Any) -> Any:
    """Arrays as PyTorch tensors."""
    if isinstance(value, dict):
        return {name: as_torch(item) for name, item in value.items()}
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


def asked(model: Any, **inputs: Any) -> Any:
    """PyTorch's answer."""
    with torch.no_grad():
        return model(**as_torch(inputs))


def real_rows(name: str, inputs: dict[str, Any], config: Any, causal: bool) -> np.ndarray | None:
    """Which tokens of an output are no padding, (B, T) boolean; None: each of them counts."""
    side = name.startswith(("decoder_", "cross_")) or name in ("logits", "last_hidden_state")
    side = side and config.is_encoder_decoder
    mask = inputs.get("decoder_attention_mask" if side else "attention_mask")
    if mask is None or "pool" in name or name == "loss":
        return None
    return mask.reshape(-1, mask.shape[-1]).astype(bool)


def assert_same(
    want: Any, got: Any, inputs: dict[str, Any], config: Any, atol: float = 1e-4
) -> None:
    """Same names in the same order, same numbers wherever there is a token."""
    # an encoder's or GPT-2's empty cross_attentions and the cache are left out
    expected = {
        name: value for name, value in want.items() if name != "past_key_values" and value != ()
    }
    assert list(expected) == list(got)
    for name, value in expected.items():
        if name == "loss":
            assert_allclose(np.asarray(got[name]), value.numpy(), rtol=1e-5, err_msg=name)
            continue
        many = isinstance(value, tuple)
        assert isinstance(got[name], tuple) == many
        pairs = list(zip(value, got[name], strict=True)) if many else [(value, got[name])]
        for theirs, mine in pairs:
            theirs, mine = theirs.numpy(), np.asarray(mine)
            assert theirs.shape == mine.shape, name
            real = real_rows(name, inputs, config, False)
            axis = 2 if "attentions" in name else 1
            if (
                real is not None
                and theirs.ndim > 1
                and theirs.shape[axis] == real.shape[1]
                and theirs.shape[0] == real.shape[0]
            ):
                theirs, mine = np.moveaxis(theirs, axis, 1)[real], np.moveaxis(mine, axis, 1)[real]
            assert_allclose(mine, theirs, atol=atol, rtol=1e-4, err_msg=name)


# -- the grid --------------------------------------------------------------------------------------


def takes_types(kind: str) -> bool:
    return kind in ("bert", "roberta", "camembert", "xlm-roberta", "gpt2")


GRID = [
    pytest.param(task, kind, case, id=f"{name}-{case}")
    for (task, kind), name in NAMES.items()
    for case in ("none", "right", "left", "types")
    if case != "types" or takes_types(kind)
]


@pytest.mark.parametrize(("task", "kind", "case"), GRID)
def test_answers_states_attentions_and_loss(task, kind, case):
    theirs, mine = pair(NAMES[task, kind], kind)
    inputs = inputs_for(task, mine.config, case)
    given = {**inputs, **labels_for(task, mine.config, inputs), **EVERYTHING}
    want = asked(theirs, **given)
    answer = next(value for name, value in want.items() if name != "loss")
    assert answer.abs().max() > 0.3  # numbers near 0 would agree whatever they mean
    assert_same(want, mine(**given), inputs, mine.config)


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_configuration_can_ask_for(variant):
    kind, _ = VARIANTS[variant]
    task = {
        "gpt2": "causal_lm",
        "bert": "masked_lm",
        "distilbert": "masked_lm",
        "roberta": "masked_lm",
    }.get(kind, "seq2seq_lm")
    theirs, mine = pair(NAMES[task, kind], variant)
    inputs = inputs_for(task, mine.config, "right")
    given = {**inputs, **labels_for(task, mine.config, inputs), **EVERYTHING}
    assert_same(asked(theirs, **given), mine(**given), inputs, mine.config)


@pytest.mark.parametrize("kind", ["t5", "mt5"])
def test_an_output_table_of_its_own(kind):
    theirs = reference(NAMES["seq2seq_lm", kind], small_config(kind, tie_word_embeddings=False))
    theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.shared.weight))
    mine = ours(theirs)
    inputs = inputs_for("seq2seq_lm", mine.config, "right")
    assert mine.lm_head is not None
    assert_same(asked(theirs, **inputs), mine(inputs), inputs, mine.config)


# -- other ways in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "gpt2"])
@pytest.mark.parametrize("given", ["position_ids", "inputs_embeds"])
def test_positions_and_vectors_instead_of_ids(kind, given):
    theirs, mine = pair(NAMES["base", kind], kind)
    inputs = texts(mine.config, "right")
    if given == "position_ids":
        inputs["position_ids"] = np.random.default_rng(0).integers(0, 20, inputs["input_ids"].shape)
    else:
        table = theirs.get_input_embeddings().weight.detach().numpy()
        inputs["inputs_embeds"] = table[inputs.pop("input_ids")]
    assert_same(asked(theirs, **inputs), mine(**inputs), inputs, mine.config)


@pytest.mark.parametrize("kind", ["bart", "marian", "t5", "mt5"])
def test_vectors_and_what_the_encoder_said_instead_of_ids(kind):
    theirs, mine = pair(NAMES["seq2seq_lm", kind], kind)
    inputs = inputs_for("seq2seq_lm", mine.config, "right")
    whole = asked(theirs, **inputs)
    encoder = {"last_hidden_state": whole.encoder_last_hidden_state.numpy()}
    mask, ids = inputs["attention_mask"], inputs.pop("input_ids")
    again = mine(**inputs, encoder_outputs=encoder)
    assert_same(whole, again, inputs, mine.config)
    again = mine(**inputs, encoder_outputs=tuple(encoder.values()))
    assert_same(whole, again, inputs, mine.config)
    table = theirs.get_input_embeddings().weight.detach().numpy()
    vectors = {
        "inputs_embeds": table[ids],
        "decoder_inputs_embeds": table[inputs["decoder_input_ids"]],
        "attention_mask": mask,
        "decoder_attention_mask": inputs["decoder_attention_mask"],
    }
    assert_same(asked(theirs, **vectors), mine(**vectors), vectors, mine.config)


@pytest.mark.parametrize("padding", ["none", "left"])
def test_gpt2_token_by_token(padding):
    theirs, mine = pair("GPT2LMHeadModel", "gpt2")
    inputs = texts(mine.config, padding)
    ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    want = asked(theirs, **inputs, use_cache=False).logits.numpy()
    past, found = None, []
    for start, end in ((0, 4), (4, 5), (5, 8), (8, 9)):
        output = mine(
            ids[:, start:end],
            attention_mask=None if mask is None else mask[:, :end],
            past_key_values=past,
            use_cache=True,
        )
        past, found = output.past_key_values, [*found, output.logits]
    real = np.ones_like(ids, bool) if mask is None else mask.astype(bool)
    assert_allclose(np.concatenate(found, axis=1)[real], want[real], atol=1e-4, rtol=1e-4)
    assert [len(block) for block in past] == [2, 2] and past[0][0].shape == (3, 4, LENGTH, 4)


@pytest.mark.parametrize("kind", ["bart", "marian", "t5", "mt5"])
def test_a_decoder_token_by_token(kind):
    theirs, mine = pair(NAMES["seq2seq_lm", kind], kind)
    inputs = inputs_for("seq2seq_lm", mine.config, "right")
    mask, written = inputs["attention_mask"], decoder_texts(mine.config)["decoder_input_ids"]
    want = asked(
        theirs, input_ids=inputs["input_ids"], attention_mask=mask, decoder_input_ids=written
    ).logits
    first = mine(
        input_ids=inputs["input_ids"],
        attention_mask=mask,
        use_cache=True,
        decoder_input_ids=written[:, :2],
    )
    memory, past, found = (first.encoder_last_hidden_state,), first.past_key_values, [first.logits]
    for t in range(2, 6):
        output = mine(
            encoder_outputs=memory,
            attention_mask=mask,
            past_key_values=past,
            decoder_input_ids=written[:, t : t + 1],
            use_cache=True,
        )
        past, found = output.past_key_values, [*found, output.logits]
    assert_allclose(np.concatenate(found, axis=1), want.numpy(), atol=1e-4, rtol=1e-4)
    assert len(past[0]) == 4


@pytest.mark.parametrize("kind", ["bart", "marian", "t5", "mt5"])
def test_the_decoder_reads_the_labels_moved_to_the_right(kind):
    theirs, mine = pair(NAMES["seq2seq_lm", kind], kind)
    inputs = texts(mine.config, "right")
    labels = np.where(
        np.arange(6) < [[6], [4], [2]], decoder_texts(mine.config)["decoder_input_ids"], -100
    )
    inputs["labels"] = labels
    want, got = asked(theirs, **inputs), mine(inputs)
    assert_allclose(got.loss, want.loss, rtol=1e-5)
    assert_allclose(got.logits, want.logits, atol=1e-4, rtol=1e-4)


PROBLEMS = {
    "regression": np.array([[0.5], [-1.0], [2.0]], "float32"),
    "several numbers": np.array([[0.5, 1, 2], [-1.0, 0, 3], [2.0, 1, 1]], "float32"),
    "multi_label_classification": np.array([[0, 1, 1], [0, 0, 0], [1, 0, 1]], "float32"),
    "single_label_classification": np.array([2, 0, 1]),
}


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("said", [True, False], ids=["said", "guessed"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "bart"])
def test_the_problem_type_decides_the_loss(kind, problem, said):
    if problem == "several numbers" and not said:
        pytest.skip("nothing tells them from several labels")
    labels = PROBLEMS[problem]
    config = small_config(kind, num_labels=labels.shape[-1] if labels.ndim > 1 else 3)
    if said:
        config.problem_type = problem.replace("several numbers", "regression")
    theirs = reference(NAMES["sequence_classification", kind], config)
    mine = ours(theirs)
    inputs = texts(config)
    assert_allclose(
        mine(**inputs, labels=labels).loss, asked(theirs, **inputs, labels=labels).loss, rtol=1e-5
    )


# -- every field of every configuration ------------------------------------------------------------

# Names, and what only generation or a class without a counterpart here reads.
APART = {
    "transformers_version",
    "architectures",
    "id2label",
    "label2id",
    "_name_or_path",
    "model_type",
    "dtype",
    "bos_token_id",
    "forced_eos_token_id",
    "summary_type",
    "summary_use_proj",
    "summary_activation",
    "summary_proj_to_labels",
    "summary_first_dropout",
    "vocab_size",
    "dense_act_fn",
    "is_gated_act",
    "decoder_start_token_id",
    "is_encoder_decoder",
}
OTHERS = {
    "hidden_act": "relu",
    "activation": "relu",
    "activation_function": "relu",
    "feed_forward_proj": "gated-silu",
    "problem_type": "regression",
    "n_inner": 20,
    "decoder_vocab_size": VOCABULARY + 3,
    "classifier_dropout": 0.3,
    "eos_token_id": 3,
    "pad_token_id": 4,
    "hidden_size": 32,
    "dim": 32,
    "n_embd": 32,
    "d_model": 32,
}
TASKS = {
    "bert": "masked_lm",
    "distilbert": "masked_lm",
    "roberta": "masked_lm",
    "gpt2": "causal_lm",
}


def fields() -> list[Any]:
    """Each field of each configuration, with a value that it does not have."""
    found = []
    for kind in CONFIGS:
        if kind in ("camembert", "xlm-roberta"):
            continue  # RoBERTa's fields, and its code
        for name, value in small_config(kind).to_dict().items():
            if name in APART or re.search("dropout|pdrop|_drop$|^init", name):
                continue  # what only training reads
            other = OTHERS.get(name)
            if other is None:
                other = (
                    not value if isinstance(value, bool) else None if value is None else value * 2
                )
            if other is not None:
                found.append(pytest.param(kind, name, other, id=f"{kind}-{name}"))
    return found


@pytest.mark.parametrize(("kind", "field", "value"), fields())
def test_a_field_is_exact_or_refused(kind, field, value):
    config = small_config(kind)
    setattr(config, field, value)  # the constructor of T5 has its own ideas
    if field in ("feed_forward_proj", "tie_word_embeddings"):
        config = small_config(kind, **{field: value})
    task = TASKS.get(kind, "seq2seq_lm")
    try:
        theirs = reference(NAMES[task, kind], config)
    except (ValueError, AssertionError):  # PyTorch refuses it too
        with pytest.raises(ValueError, match=field):
            MODELS[task, kind](config)
        return
    try:
        mine = ours(theirs)
    except ValueError as error:
        assert field in str(error) or "two of what the model has one of" in str(error)
        return
    inputs = inputs_for(task, config, "right")
    given = {**inputs, **labels_for(task, config, inputs)}
    want = asked(theirs, **given)
    assert_same(want, mine(**given), inputs, config)


# -- compiled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("xla", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("kind", ["bert", "roberta", "gpt2", "bart", "t5"])
def test_a_compiled_model_says_the_same(kind, xla):
    task = "seq2seq_lm" if kind in ("bart", "t5") else "token_classification"
    _, mine = pair(NAMES[task, kind], kind)
    inputs = inputs_for(task, mine.config, "right")
    compiled = tf.function(lambda x: mine(x), jit_compile=xla)
    assert_allclose(
        compiled({k: tf.constant(v) for k, v in inputs.items()}).logits,
        mine(inputs).logits,
        atol=1e-4,
    )


@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_shapes_that_are_not_known_before(kind):
    task = "seq2seq_lm" if kind == "t5" else "token_classification"
    _, mine = pair(NAMES[task, kind], kind)
    names = list(inputs_for(task, mine.config, "right"))
    spec = {name: tf.TensorSpec((None, None), "int64") for name in names}
    compiled = tf.function(lambda x: mine(x).logits, input_signature=[spec])
    for rows, length in ((3, 9), (2, 5), (1, 1)):
        inputs = {k: v[:rows, :length] for k, v in inputs_for(task, mine.config, "right").items()}
        assert_allclose(compiled(inputs), mine(inputs).logits, atol=1e-5)
    assert EOS in inputs_for(task, mine.config, "right")["input_ids"]
