"""Texts from small random models: token for token PyTorch's, and every promise of `generate`."""

import copy
import gc
import threading
import time
import weakref
from collections import Counter
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from numpy.testing import assert_allclose, assert_array_equal
from transformers import BatchEncoding, GenerationConfig, TextIteratorStreamer, TextStreamer
from transformers.modeling_outputs import BaseModelOutput

from course_lib.tf import generation, models
from course_lib.tf.generation import PATIENCE, announced, generate
from course_lib.tf.generation_options import resolve, text_length
from course_lib.tf.logits_processing import UNSUPPORTED as NOT_HERE
from tests.tf.small import VOCABULARY, ours, reference, small_config

NAMES = {
    "gpt2": "GPT2LMHeadModel",
    "bart": "BartForConditionalGeneration",
    "marian": "MarianMTModel",
    "t5": "T5ForConditionalGeneration",
    "mt5": "MT5ForConditionalGeneration",
}
NARROW = {"bart": {"encoder_layers": 1}, "marian": {"encoder_layers": 1}}
SEEDS = {"marian": 5}


@cache
def pair(kind: str) -> tuple[Any, Any]:
    """PyTorch's model and ours, with the same weights."""
    theirs = reference(NAMES[kind], small_config(kind, **NARROW.get(kind, {})),
                       SEEDS.get(kind, 0))
    return theirs, ours(theirs)


@cache
def prompts(kind: str) -> dict[str, np.ndarray]:
    """Three texts, one of them padded on the side where its architecture is."""
    ids = np.random.default_rng(5).integers(6, VOCABULARY, (3, 6))
    mask = np.ones_like(ids)
    place = slice(0, 2) if kind == "gpt2" else slice(4, 6)
    ids[1, place], mask[1, place] = pair(kind)[0].config.pad_token_id, 0
    return {"input_ids": ids, "attention_mask": mask}


def theirs(kind: str, inputs: Any = None, **options: Any) -> Any:
    """What PyTorch writes."""
    inputs = prompts(kind) if inputs is None else inputs
    as_torch = {name: torch.tensor(value) for name, value in inputs.items()}
    with torch.no_grad():
        return pair(kind)[0].generate(**as_torch, **{"max_new_tokens": 7, **options})


def mine(kind: str, inputs: Any = None, **options: Any) -> Any:
    """What we write, not compiled unless asked."""
    inputs = prompts(kind) if inputs is None else inputs
    options = {"max_new_tokens": 7, "jit_compile": False, **options}
    return pair(kind)[1].generate(**inputs, **options)


# -- token for token -------------------------------------------------------------------------------

SEARCHES = {
    "greedy": {},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "long": {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True},
    "never": {"num_beams": 3, "length_penalty": -1.0, "early_stopping": "never"},
    "patient": {"num_beams": 2, "length_penalty": 1.5, "early_stopping": "never"},
}


@pytest.mark.parametrize("search", ["greedy", "beams"])
@pytest.mark.parametrize("kind", NAMES)
def test_every_architecture_writes_what_pytorch_writes(kind, search):
    want = theirs(kind, **SEARCHES[search]).numpy()
    assert len(set(want.ravel().tolist())) > 3      # not one token over and over
    assert_array_equal(mine(kind, **SEARCHES[search]), want)


@pytest.mark.parametrize("search", ["long", "never", "patient"])
@pytest.mark.parametrize("kind", ["gpt2", "marian"])
def test_every_way_to_stop(kind, search):
    options = {**SEARCHES[search], "eos_token_id": [2, 9, 17]}      # texts of several lengths
    assert_array_equal(mine(kind, **options), theirs(kind, **options).numpy())


@pytest.mark.parametrize(("kind", "search"), [("gpt2", "greedy"), ("marian", "beams")])
def test_compiled_it_is_the_same_text(kind, search):
    want = theirs(kind, **SEARCHES[search]).numpy()
    assert_array_equal(mine(kind, jit_compile=True, **SEARCHES[search]), want)


@pytest.mark.long
@pytest.mark.parametrize("multiple", [None, 8, 32])
@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("kind", NAMES)
def test_compiled_everything_is_the_same_text(kind, search, multiple):
    options = {**SEARCHES[search], "eos_token_id": [2, 9]}
    want = theirs(kind, **options).numpy()
    found = mine(kind, jit_compile=True, pad_to_multiple_of=multiple, **options)
    assert_array_equal(found, want)


OPTIONS: dict[str, dict[str, Any]] = {
    "repetition": {"repetition_penalty": 1.7},
    "n-grams": {"no_repeat_ngram_size": 2},
    "bad words": {"bad_words_ids": [[7], [11, 12], [30]]},
    "bias": {"sequence_bias": {(8,): 3.0, (9, 10): -4.0}},
    "min_length": {"min_length": 11, "eos_token_id": list(range(2, 30))},
    "min_new_tokens": {"min_new_tokens": 4, "eos_token_id": list(range(2, 30))},
    "both minima": {"min_length": 12, "min_new_tokens": 2, "eos_token_id": list(range(2, 30))},
    "several ends": {"eos_token_id": list(range(10, 36))},
    "forced first": {"forced_bos_token_id": 23},
    "forced last": {"forced_eos_token_id": 21},
    "suppressed": {"suppress_tokens": list(range(20, 40))},
    "suppressed first": {"begin_suppress_tokens": list(range(20, 40))},
    "decay": {"exponential_decay_length_penalty": (2, 1.8)},
    "renormalized": {"renormalize_logits": True, "repetition_penalty": 1.3},
    "invalid removed": {"remove_invalid_values": True},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_for_the_scores(name):
    assert_array_equal(mine("gpt2", **OPTIONS[name]), theirs("gpt2", **OPTIONS[name]).numpy())


@pytest.mark.parametrize("name", ["repetition", "bad words", "min_new_tokens", "forced last"])
def test_options_for_the_scores_of_beams(name):
    options = {**OPTIONS[name], "num_beams": 2}
    assert_array_equal(mine("bart", **options), theirs("bart", **options).numpy())


@pytest.mark.long
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("kind", NAMES)
def test_options_for_the_scores_compiled(kind, name, beams):
    options = {**OPTIONS[name], "num_beams": beams}
    assert_array_equal(mine(kind, jit_compile=True, **options), theirs(kind, **options).numpy())


# -- prompts ---------------------------------------------------------------------------------------


def test_padding_does_not_change_the_text():
    texts = mine("gpt2", min_new_tokens=7)
    alone = mine("gpt2", {"input_ids": prompts("gpt2")["input_ids"][1:2, 2:]}, min_new_tokens=7)
    assert_array_equal(texts[1, 2:], alone[0])


def test_the_mask_is_told_from_the_padding():
    ids = {"input_ids": prompts("gpt2")["input_ids"]}
    assert_array_equal(mine("gpt2", ids), mine("gpt2"))
    assert_array_equal(mine("gpt2", ids), theirs("gpt2", ids).numpy())
    unknown = {"pad_token_id": 2, "eos_token_id": 2}     # the end too: all tokens count
    assert_array_equal(mine("gpt2", ids, **unknown), theirs("gpt2", ids, **unknown).numpy())
    source = {"input_ids": prompts("bart")["input_ids"]}
    assert_array_equal(mine("bart", source), mine("bart"))


@pytest.mark.parametrize("ids", [[[7]], [[7], [9]]])
def test_a_prompt_of_one_token(ids):
    inputs = {"input_ids": np.array(ids), "attention_mask": np.ones_like(ids)}
    assert_array_equal(mine("gpt2", inputs), theirs("gpt2", inputs).numpy())


def test_no_prompt_at_all():
    assert_array_equal(mine("gpt2", {}), theirs("gpt2", {}).numpy())
    with pytest.raises(ValueError, match="nothing to read"):
        mine("gpt2", {}, bos_token_id=None)
    with pytest.raises(ValueError, match="nothing to read"):
        mine("bart", {})


def test_padding_inside_is_as_in_pytorch():
    inputs = {**prompts("gpt2"), "attention_mask": np.array([[1] * 6, [0, 1, 1, 0, 1, 1], [1] * 6])}
    options = {"repetition_penalty": 1.5}
    want = theirs("gpt2", inputs, **options).numpy()
    assert_array_equal(mine("gpt2", inputs, **options), want)


def test_padding_on_the_right_warns():
    inputs = {**prompts("gpt2"), "attention_mask": np.array([[1] * 6, [1] * 5 + [0], [1] * 6])}
    with pytest.warns(UserWarning, match="padding_side"):
        mine("gpt2", inputs, max_new_tokens=1)


@pytest.mark.parametrize("kind", ["bart", "t5"])
@pytest.mark.parametrize("beams", [1, 2])
def test_an_answer_that_has_begun(kind, beams):
    begun = {**prompts(kind), "decoder_input_ids": np.array([[7, 8], [9, 10], [11, 12]])}
    want = theirs(kind, begun, num_beams=beams).numpy()
    assert_array_equal(mine(kind, begun, num_beams=beams), want)
    assert_array_equal(want[:, 1:3], begun["decoder_input_ids"])


@pytest.mark.parametrize("form", ["output", "tuple", "array"])
def test_what_the_encoder_said(form):
    model, inputs = pair("bart")[1], prompts("bart")
    hidden = model(**inputs, decoder_input_ids=inputs["input_ids"]).encoder_last_hidden_state
    said = {"output": BaseModelOutput(last_hidden_state=torch.tensor(hidden.numpy())),
            "tuple": (hidden,), "array": hidden.numpy()}[form]
    found = model.generate(encoder_outputs=said, attention_mask=inputs["attention_mask"],
                           max_new_tokens=7, jit_compile=form == "array")
    assert_array_equal(found, mine("bart"))


def test_forms_of_inputs():
    model, inputs = pair("gpt2")[1], prompts("gpt2")
    want, options = mine("gpt2", max_new_tokens=3), {"max_new_tokens": 3, "jit_compile": False}
    listed = {name: value.tolist() for name, value in inputs.items()}
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    typed = {**inputs, "token_type_ids": np.zeros_like(inputs["input_ids"])}
    for form in (listed, tensors, typed, BatchEncoding(inputs),
                 {name: torch.tensor(value) for name, value in inputs.items()}):
        assert_array_equal(model.generate(form, **options), want)
    for ids in (listed["input_ids"], tensors["input_ids"]):
        found = model.generate(ids, attention_mask=inputs["attention_mask"], **options)
        assert_array_equal(found, want)
    assert want.dtype == np.int32


# -- options and configurations --------------------------------------------------------------------


def test_defaults_are_those_of_transformers():
    want = GenerationConfig._get_default_generation_params()
    config, _ = resolve(GenerationConfig(), None, {})
    odd = {"use_cache", "output_scores", "max_length", "num_assistant_tokens",
           "num_assistant_tokens_schedule", "assistant_confidence_threshold",
           "assistant_lookbehind", "target_lookbehind"}
    for name, value in want.items():
        if name not in odd | set(NOT_HERE):
            assert getattr(config, name) == value, name


def test_who_has_the_last_word():
    model, own = pair("gpt2")[1], pair("gpt2")[1].generation_config
    kept = copy.deepcopy(own)
    try:
        own.max_new_tokens = 2
        assert model.generate(**prompts("gpt2"), jit_compile=False).shape[1] == 6 + 2
        asked = GenerationConfig(max_new_tokens=3)
        short = {"generation_config": asked, "jit_compile": False, "eos_token_id": None}
        assert model.generate(**prompts("gpt2"), **short).shape[1] == 6 + 3
        assert model.generate(**prompts("gpt2"), max_new_tokens=4, **short).shape[1] == 6 + 4
        assert asked.max_new_tokens == 3 and own.max_new_tokens == 2
    finally:
        model.generation_config = kept


@pytest.mark.parametrize("wish", [{}, {"max_length": 9}, {"max_length": 8, "max_new_tokens": 4}])
def test_lengths_are_those_of_pytorch(wish):
    with torch.no_grad():
        want = pair("gpt2")[0].generate(torch.full((1, 5), 7), eos_token_id=None, **wish)
    found = pair("gpt2")[1].generate([[7] * 5], eos_token_id=None, jit_compile=False, **wish)
    assert found.shape == want.shape        # {}: the table of positions ends at 20


def test_the_config_of_a_checkpoint_is_read(tmp_path):
    model = pair("gpt2")[0]
    kept = copy.deepcopy(model.generation_config)
    model.generation_config.update(num_beams=2, max_new_tokens=5, no_repeat_ngram_size=1)
    model.save_pretrained(tmp_path)
    model.generation_config = kept
    found = models.TFAutoModelForCausalLM.from_pretrained(tmp_path)
    assert found.generation_config.num_beams == 2
    want = mine("gpt2", num_beams=2, max_new_tokens=5, no_repeat_ngram_size=1)
    assert_array_equal(found.generate(**prompts("gpt2"), jit_compile=False), want)


@pytest.mark.parametrize("beams", [1, 3])
def test_an_output_with_scores(beams):
    options = {"num_beams": beams, "num_return_sequences": 2 if beams > 1 else 1,
               "return_dict_in_generate": True}
    want, found = theirs("gpt2", **options, output_scores=True), mine("gpt2", **options)
    assert_array_equal(found.sequences, want.sequences.numpy())
    if beams > 1:
        assert_allclose(found["sequences_scores"], want.sequences_scores.numpy(), atol=1e-5)
    else:
        assert list(found) == ["sequences"]


# -- sampling --------------------------------------------------------------------------------------


def shares(texts: Any) -> Counter:
    """How often each row came, in parts of one."""
    rows = np.asarray(texts).tolist()
    return Counter({row: n / len(rows) for row, n in Counter(map(tuple, rows)).items()})


def assert_alike(left: Counter, right: Counter, draws: int) -> None:
    """The total variation of two samples is what chance makes it, or little more."""
    pooled = {key: (left[key] + right[key]) / 2 for key in {*left, *right}}
    distance = sum(abs(left[key] - right[key]) for key in pooled) / 2
    chance = sum((share * (1 - share) / np.pi / draws) ** 0.5 for share in pooled.values())
    assert distance < 1.3 * chance + 0.02


WARPERS = [
    {}, {"temperature": 0.5, "top_k": 6}, {"top_k": 0, "top_p": 0.6}, {"top_k": None, "min_p": 0.2},
    {"typical_p": 0.7}, {"top_k": 5, "repetition_penalty": 2.0}, {"epsilon_cutoff": 0.03},
]


@pytest.mark.parametrize("options", WARPERS, ids=lambda options: "-".join(options) or "default")
def test_draws_have_pytorchs_probabilities(options):
    torch.manual_seed(0)
    inputs = {"input_ids": np.array([[7, 8, 9]]), "attention_mask": np.ones((1, 3), "int64")}
    options = {"do_sample": True, "max_new_tokens": 2, "num_return_sequences": 3000, **options}
    want, found = theirs("gpt2", inputs, **options), mine("gpt2", inputs, seed=3, **options)
    for end in (4, 5):
        assert_alike(shares(found[:, 3:end]), shares(want.numpy()[:, 3:end]), 3000)


@pytest.mark.parametrize("kind", ["gpt2", "t5"])
def test_drawn_beams_have_pytorchs_probabilities(kind):
    torch.manual_seed(0)
    ids = np.tile([[7, 8, 9]], (1000, 1))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    options = {"do_sample": True, "num_beams": 2, "max_new_tokens": 2, "top_k": 4}
    want, found = theirs(kind, inputs, **options), mine(kind, inputs, seed=3, **options)
    assert_alike(shares(found[:, 1:]), shares(want.numpy()[:, 1:]), 1000)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_seed_draws_the_same_again(jit_compile):
    options = {"do_sample": True, "num_return_sequences": 4, "jit_compile": jit_compile}
    found = mine("gpt2", seed=1, **options)
    assert_array_equal(found, mine("gpt2", seed=1, **options))
    assert (found != mine("gpt2", seed=2, **options)).any()
    assert len({tuple(row) for row in found[:4].tolist()}) == 4
    assert_array_equal(found[:4, :6], np.tile(prompts("gpt2")["input_ids"][:1], (4, 1)))


def test_without_a_seed_numpy_has_one():
    np.random.seed(5)
    first, other = (mine("gpt2", do_sample=True) for _ in range(2))
    np.random.seed(5)
    assert_array_equal(first, mine("gpt2", do_sample=True))
    assert (first != other).any()


# -- compilation -----------------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Any:
    """A model that nobody has compiled anything for."""
    return models.TFGPT2LMHeadModel.from_config(small_config("gpt2", n_layer=1, n_positions=96))


def traces(model: Any) -> int:
    return len(model.__dict__["_programs"][1])


def test_one_program_for_many_lengths(fresh, monkeypatch):
    made = []
    make = generation.make_program
    monkeypatch.setattr(generation, "make_program", lambda *a, **k: made.append(a) or make(*a, **k))
    for length in (5, 9, 20):
        ids = np.random.default_rng(length).integers(6, VOCABULARY, (2, length))
        found = fresh.generate(ids, max_new_tokens=9, eos_token_id=None)
        assert found.shape == (2, length + 9)
        eager = fresh.generate(ids, max_new_tokens=9, eos_token_id=None, jit_compile=False)
        assert_array_equal(found, eager)
    assert traces(fresh) == 1
    assert len(made) == 1 + 3       # the eager ones are made each time, and cost nothing
    fresh.generate(np.full((3, 5), 7), max_new_tokens=9, eos_token_id=None)
    assert traces(fresh) == 2       # another number of rows is another shape


def test_weights_that_changed_are_used(fresh):
    ids = np.full((2, 5), 7)
    before = fresh.generate(ids, max_new_tokens=4)
    fresh.compile(keras.optimizers.SGD(1.0))
    fresh.fit({"input_ids": np.full((2, 8), 9), "labels": np.full((2, 8), 9)}, epochs=3, verbose=0)
    after = fresh.generate(ids, max_new_tokens=4)
    assert traces(fresh) == 1
    assert_array_equal(after, fresh.generate(ids, max_new_tokens=4, jit_compile=False))
    assert (before != after).any()


def test_a_vocabulary_that_grew_is_compiled_anew(fresh):
    ids = np.full((1, 5), 7)
    fresh.generate(ids, max_new_tokens=2)
    fresh.resize_token_embeddings(VOCABULARY + 8)
    found = fresh.generate(ids, max_new_tokens=2, suppress_tokens=list(range(VOCABULARY)))
    assert (found[:, 5:] >= VOCABULARY).all() and traces(fresh) == 1


def test_programs_are_neither_saved_nor_kept_alive(fresh, tmp_path):
    ids = np.full((1, 5), 7)
    want = fresh.generate(ids, max_new_tokens=3)
    fresh.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    twin = copy.deepcopy(fresh)
    for model in (loaded, twin):
        assert "_programs" not in model.__dict__
        assert_array_equal(model.generate(ids, max_new_tokens=3, jit_compile=False), want)
    model = models.TFGPT2LMHeadModel.from_config(small_config("gpt2", n_layer=1))
    model.generate(ids, max_new_tokens=3)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_narrow_numbers_run():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        kinds = {kind: ours(pair(kind)[0]) for kind in ("gpt2", "bart")}
    finally:
        keras.config.set_dtype_policy("float32")
    for kind, beams in (("gpt2", 1), ("bart", 2)):
        assert kinds[kind].compute_dtype == "bfloat16"
        options = {"max_new_tokens": 4, "num_beams": beams, "min_new_tokens": 4}
        found = kinds[kind].generate(**prompts(kind), **options)
        assert found.shape == mine(kind, **options).shape


def test_whoever_waits_is_told(fresh, capsys, monkeypatch):
    assert PATIENCE == 2.0
    with announced("nothing"):
        pass
    monkeypatch.setattr(generation, "PATIENCE", 0.0)
    with announced("something"):
        time.sleep(0.2)
    fresh.generate(np.full((3, 5), 7), max_new_tokens=4)
    fresh.generate(np.full((3, 5), 7), max_new_tokens=4, jit_compile=False)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["something", "compiling for 3 texts of up to 9 tokens; the next of this shape "
                     "start at once", "writing 3 texts of up to 9 tokens"]


# -- streamers -------------------------------------------------------------------------------------


class Words:
    """A tokenizer that a streamer can work with: numbers."""

    def decode(self, ids: Any, **options: Any) -> str:
        return "".join(f"{i} " for i in np.asarray(ids).tolist())


def test_a_streamer_shows_the_text(capsys):
    ids = prompts("gpt2")["input_ids"][:1]
    text = mine("gpt2", {"input_ids": ids})
    found = pair("gpt2")[1].generate(ids, streamer=TextStreamer(Words()), max_new_tokens=7)
    assert_array_equal(found, text)
    assert capsys.readouterr().out.strip() == Words().decode(text[0]).strip()


def test_a_streamer_in_another_thread():
    inputs = {name: value[:1] for name, value in prompts("bart").items()}
    text = mine("bart", inputs)
    streamer = TextIteratorStreamer(Words(), skip_prompt=True, timeout=60)
    options = {**inputs, "streamer": streamer, "max_new_tokens": 7}
    thread = threading.Thread(target=pair("bart")[1].generate, kwargs=options)
    thread.start()
    shown = "".join(streamer)
    thread.join()
    assert shown.strip() == Words().decode(text[0, 1:]).strip()


@pytest.mark.parametrize("options", [{}, {"num_beams": 2},
                                     {"num_return_sequences": 2, "do_sample": True}])
def test_a_streamer_shows_one_text(options):
    ids = prompts("gpt2")["input_ids"][:1 if options else 3]
    with pytest.raises(ValueError, match="one prompt, without beams"):
        pair("gpt2")[1].generate(ids, streamer=TextStreamer(Words()), **options)


# -- what cannot be --------------------------------------------------------------------------------

UNSUPPORTED = {
    "num_beam_groups": 2, "penalty_alpha": 0.6, "diversity_penalty": 0.5, "constraints": [1],
    "force_words_ids": [[1]], "max_time": 3.0, "stop_strings": ["."], "guidance_scale": 2.0,
    "encoder_repetition_penalty": 1.3, "encoder_no_repeat_ngram_size": 2, "token_healing": True,
    "prompt_lookup_num_tokens": 3, "output_scores": True, "output_attentions": True,
}


@pytest.mark.parametrize("option", UNSUPPORTED)
def test_unsupported_options_are_named(option):
    with pytest.raises(NotImplementedError, match=option):
        mine("gpt2", num_beams=4, **{option: UNSUPPORTED[option]})


@pytest.mark.parametrize("name", ["logits_processor", "stopping_criteria", "assistant_model",
                                  "inputs_embeds", "past_key_values", "encoder_outputs", "labels"])
def test_what_is_not_taken_is_named(name):
    with pytest.raises(ValueError, match=name):
        mine("gpt2", **{name: [1]})


@pytest.mark.parametrize(("typo", "meant"), [
    ("max_new_token", "max_new_tokens"), ("top_kk", "top_k"), ("attention_masks", "attention_mask"),
])
def test_typos_are_named(typo, meant):
    with pytest.raises(ValueError, match=f"no {typo} .* did you mean {meant}"):
        mine("gpt2", **{typo: 5})


@pytest.mark.parametrize(("inputs", "options", "text"), [
    ({"input_ids": [[7, 8], [7]]}, {}, "all rows of one length"),
    ({"input_ids": [7, 8]}, {}, "one row per text"),
    ({"input_ids": [[7.0]]}, {}, "whole numbers"),
    ({"input_ids": np.zeros((0, 3), int)}, {}, "one row per text"),
    ({"input_ids": [["a"]]}, {}, "whole numbers"),
    ({"input_ids": [[VOCABULARY]]}, {}, "the model knows"),
    ({"input_ids": [[-1]]}, {}, "the model knows"),
    ({"input_ids": [[7, 8]], "attention_mask": [[1]]}, {}, "one number for each token"),
    ({"input_ids": [[7] * 9]}, {"max_length": 9, "max_new_tokens": None}, "leaves no room"),
    ({"input_ids": [[7] * 9]}, {"max_new_tokens": 12}, "at most max_new_tokens=11"),
    ({"input_ids": [[7] * 20]}, {}, "cut the prompt"),
    ({"input_ids": [[7]]}, {"max_new_tokens": 0}, "max_new_tokens"),
    ({"input_ids": [[7]]}, {"num_return_sequences": 2}, "num_return_sequences"),
    ({"input_ids": [[7]]}, {"num_beams": 2, "num_return_sequences": 3}, "num_return_sequences"),
    ({"input_ids": [[7]]}, {"forced_bos_token_id": VOCABULARY}, "a vocabulary of"),
    ({"input_ids": [[7]]}, {"do_sample": True, "temperature": 0.0}, "temperature"),
    ({"input_ids": [[7]]}, {"seed": -1}, "seed is a whole number"),
    ({"input_ids": [[7]]}, {"pad_to_multiple_of": 0}, "pad_to_multiple_of is a whole number"),
])
@pytest.mark.parametrize("jit_compile", [True, False])
def test_bad_input_is_named_before_any_work(inputs, options, text, jit_compile):
    with pytest.raises(ValueError, match=text):
        mine("gpt2", inputs, jit_compile=jit_compile, **options)


def test_a_source_that_is_too_long():
    with pytest.raises(ValueError, match="the model takes 20"):
        mine("bart", {"input_ids": np.full((1, 21), 7)})
    with pytest.raises(ValueError, match="3 texts and 2 rows"):
        mine("bart", decoder_input_ids=np.full((2, 2), 7))


@pytest.mark.parametrize("name", ["BertForMaskedLM", "GPT2Model", "BartForSequenceClassification"])
def test_models_without_a_language_head(name):
    kind = name[:4].lower()
    model = getattr(models, f"TF{name}").from_config(small_config(kind))
    with pytest.raises(TypeError, match=f"TF{name} writes no text"):
        model.generate([[7]])
    with pytest.raises(TypeError, match="writes no text"):
        generate(keras.Sequential(), [[7]])


@pytest.mark.parametrize("prompt", [1, 5, 19])
def test_a_text_fills_the_positions_and_no_more(prompt):
    assert text_length(GenerationConfig(max_new_tokens=20 - prompt), prompt, 20) == 20
    ids = np.full((1, prompt), 7)
    found = mine("gpt2", {"input_ids": ids}, max_new_tokens=20 - prompt, eos_token_id=None)
    want = theirs("gpt2", {"input_ids": ids, "attention_mask": np.ones_like(ids)},
                  max_new_tokens=20 - prompt, eos_token_id=None)
    assert_array_equal(found, want.numpy())
