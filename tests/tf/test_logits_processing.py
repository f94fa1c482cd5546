"""Each processor against PyTorch's in transformers, eagerly and inside a loop compiled by XLA."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import GenerationConfig
from transformers.generation import logits_process as theirs
from transformers.generation.utils import GenerationMixin

from course_lib.tf import logits_processing as ours

B, V, L = 4, 37, 12   # V below ours.FEW: everything is sorted
FILLER = 2            # columns of garbage after the longest text
EOS = [3, 8]


def scores_of(seed, rows=B, size=V, spread=3.0, impossible=0):
    """Scores without ties, of which `impossible` a row are minus infinity."""
    rng = np.random.default_rng(seed)
    scores = (rng.normal(size=(rows, size)) * spread).astype(np.float32)
    for row in scores:
        row[rng.choice(size, impossible, replace=False)] = -np.inf
    return scores


def tokens_of(seed, rows=B, size=6):
    """Few different tokens, so that sequences repeat."""
    return np.random.default_rng(seed).integers(0, size, (rows, L)).astype(np.int32)


def buffer_of(tokens, length, seed):
    """The first columns of the tokens, then garbage, some of it no token at all."""
    garbage = np.random.default_rng(seed).integers(-5, 2 * V, (len(tokens), L + FILLER - length))
    return np.concatenate([tokens[:, :length], garbage], axis=1).astype(np.int32)


@tf.function(jit_compile=True, autograph=False)
def in_compiled_loop(processors, buffer, scores, lengths):
    """(lengths, processors, B, V): all results, computed by one compiled tf.while_loop."""
    count = lengths.shape[0]

    def step(i, results):
        out = [processor(buffer, scores, lengths[i]) for processor in processors]
        return i + 1, results.write(i, tf.stack(out))

    results = tf.TensorArray(tf.float32, count, element_shape=(len(processors), *scores.shape))
    return tf.while_loop(lambda i, _: i < count, step, (0, results))[1].stack()


def assert_same(actual, expected, message=""):
    actual, expected = np.asarray(actual), np.asarray(expected)
    np.testing.assert_array_equal(np.isneginf(actual), np.isneginf(expected), err_msg=message)
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-5, err_msg=message)


def check(mine, reference, *, seed, lengths, scores=None):
    """The same for all lengths: with an exact buffer, and with one that ends in garbage."""
    scores, tokens = scores_of(seed) if scores is None else scores, tokens_of(seed + 1)
    for length in lengths:
        ids = torch.tensor(tokens[:, :length]).long()
        expected = reference(ids, torch.tensor(scores)).numpy()
        message = f"{mine}, length {length}"
        assert_same(mine(tf.constant(tokens[:, :length]), tf.constant(scores), length), expected,
                    message)
        buffer = tf.constant(buffer_of(tokens, length, seed + 2))
        assert_same(mine(buffer, tf.constant(scores), tf.constant(length)), expected,
                    f"{message}, with a tail")


# --- warpers: the scores alone

WARPERS = [
    *[("TemperatureLogitsWarper", (t,)) for t in (0.1, 0.7, 1.0, 3.5)],
    *[("TopKLogitsWarper", args) for args in ((1,), (5,), (36,), (37,), (99,), (2, 4))],
    *[("TopPLogitsWarper", args) for args in ((0.0,), (0.1,), (0.5,), (0.9,), (0.999,), (0.3, 6))],
    *[("MinPLogitsWarper", args) for args in ((0.0,), (0.05,), (0.5,), (1.0,), (0.9, 5))],
    *[("TypicalLogitsWarper", args) for args in ((0.1,), (0.5,), (0.9,), (0.999,), (0.1, 5))],
    *[("EpsilonLogitsWarper", args) for args in ((0.001,), (0.05,), (0.9,), (0.9, 5))],
    *[("EtaLogitsWarper", args) for args in ((0.001,), (0.05,), (0.9,), (0.9, 5))],
    *[("TopHLogitsWarper", (h,)) for h in (0.05, 0.4, 0.9)],
    ("InfNanRemoveLogitsProcessor", ()),
    ("LogitNormalization", ()),
]


def make(name, args):
    upstream = getattr(theirs, name)
    if len(args) == 2:
        return getattr(ours, name)(*args), upstream(args[0], min_tokens_to_keep=args[1])
    return getattr(ours, name)(*args), upstream(*args)


@pytest.mark.parametrize(("name", "args"), WARPERS)
def test_a_warper_equals_upstream(name, args):
    mine, reference = make(name, args)
    # (size, spread, how many are impossible): all sorted; more than FEW; a few left among many
    cases = ((1, 1.0, 0), (5, 2.0, 0), (V, 3.0, 0), (V, 8.0, 20), (300, 3.0, 0), (300, 3.0, 280))
    for seed, (size, spread, impossible) in enumerate(cases):
        scores = scores_of(seed, 3, size, spread, impossible)
        expected = reference(None, torch.tensor(scores)).numpy()
        assert_same(mine(None, tf.constant(scores), 1), expected, f"{mine}, {size} scores")


def test_warpers_equal_upstream_when_compiled():
    chosen = [make(name, args) for name, args in (
        ("TopKLogitsWarper", (5,)), ("TopPLogitsWarper", (0.9,)), ("MinPLogitsWarper", (0.05,)),
        ("TypicalLogitsWarper", (0.9, 3)), ("EpsilonLogitsWarper", (0.05,)),
        ("EtaLogitsWarper", (0.05, 5)), ("TopHLogitsWarper", (0.4,)), ("LogitNormalization", ()))]
    mine = tuple(warper for warper, _ in chosen)
    for seed, impossible in enumerate((0, 100, 280)):   # the third has few to sort
        scores = scores_of(seed, 3, 300, impossible=impossible)
        buffer = tf.zeros((3, L), tf.int32)
        compiled = in_compiled_loop(mine, buffer, tf.constant(scores), tf.constant([1]))[0]
        for out, (warper, reference) in zip(compiled, chosen, strict=True):
            assert_same(out, reference(None, torch.tensor(scores)), f"{warper}, {impossible}")


def test_invalid_scores_are_replaced_as_upstream():
    scores = np.array([[np.nan, np.inf, -np.inf, 1.0, -2.0]], np.float32)
    expected = theirs.InfNanRemoveLogitsProcessor()(None, torch.tensor(scores)).numpy()
    mine = ours.InfNanRemoveLogitsProcessor()
    for call in (mine, tf.function(mine, jit_compile=True, autograph=False)):
        np.testing.assert_array_equal(call(None, tf.constant(scores), 1), expected)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted({name for name, _ in WARPERS[4:-2]})),
    share=st.floats(0.01, 0.99),
    least=st.integers(1, 5),
    size=st.sampled_from([1, 2, 9, 128, 129, 200]),
    impossible=st.floats(0, 0.99),
    spread=st.sampled_from([0.0, 0.01, 1.0, 10.0, 200.0]),   # 0: all are tied
    seed=st.integers(0, 2**20),
)
def test_one_token_stays_possible(name, share, least, size, impossible, spread, seed):
    args = {"TopKLogitsWarper": (max(1, int(share * 50)), least), "TopHLogitsWarper": (share,)}
    mine = getattr(ours, name)(*args.get(name, (share, least)))
    scores = scores_of(seed, 2, size, spread, int(impossible * size))
    out = np.asarray(mine(None, tf.constant(scores), 1))
    left, before = np.isfinite(out).sum(1), np.isfinite(scores).sum(1)
    wanted = 1 if name == "TopHLogitsWarper" else least
    assert (left >= np.minimum(wanted, before)).all()
    np.testing.assert_array_equal(out[np.isfinite(out)], scores[np.isfinite(out)])


# --- processors: the tokens and the length too

TOKEN_PROCESSORS = [
    *[("RepetitionPenaltyLogitsProcessor", args) for args in ((1.3,), (0.7,), (2.0, 3))],
    *[("NoRepeatNGramLogitsProcessor", (n,)) for n in (2, 1, 3, 4, 20)],
    ("SequenceBiasLogitsProcessor", ({(1,): 2.0, (2, 3): -4.0, (4, 3): 1.5, (1, 0, 2): 3.0,
                                      (0, 2): float("-inf")},)),
    ("SequenceBiasLogitsProcessor", ([[[5], -1.0], [[1, 2], 7.5]],)),
    ("SequenceBiasLogitsProcessor", ({tuple(range(20)): 1.0, (2,): 0.5},)),
    ("NoBadWordsLogitsProcessor", ([[1], [2, 3], [0, 1, 2], [3], [4, 4]], EOS)),
    ("NoBadWordsLogitsProcessor", ([[3], [2, 8]], None)),
    *[("MinLengthLogitsProcessor", (n, eos)) for n, eos in ((5, EOS), (0, 3), (5, 3), (12, EOS))],
    *[("MinNewTokensLengthLogitsProcessor", (p, n, EOS)) for p, n in ((4, 3), (0, 5), (6, 0))],
    ("ForcedBOSTokenLogitsProcessor", (7,)),
    *[("ForcedEOSTokenLogitsProcessor", (n, eos)) for n, eos in ((6, 3), (12, EOS), (1, EOS))],
    *[("SuppressTokensLogitsProcessor", (ids,)) for ids in ([2, 9], [], [500, -1, 4])],
    *[("SuppressTokensAtBeginLogitsProcessor", (ids, n)) for ids, n in (([2, 9], 1), ([4], 6))],
    *[("ExponentialDecayLengthPenalty", (how, EOS, 4)) for how in ((1, 1.5), (0, 0.5), (50, 2.0))],
]


@pytest.mark.parametrize("seed", [0, 10])
@pytest.mark.parametrize(("name", "args"), TOKEN_PROCESSORS)
def test_a_processor_equals_upstream(name, args, seed):
    check(getattr(ours, name)(*args), getattr(theirs, name)(*args), seed=seed,
          lengths=(1, 3, 6, 11, 12) if seed else (2, 5))


def test_processors_equal_upstream_when_compiled():
    tokens, scores, lengths = tokens_of(0), scores_of(0), (2, 3, 5, 6, 11)
    chosen = dict(reversed(TOKEN_PROCESSORS)).items()   # the first of each name
    pairs = [(getattr(ours, name)(*args), getattr(theirs, name)(*args)) for name, args in chosen]
    buffer = tf.constant(buffer_of(tokens, max(lengths), 1))
    compiled = in_compiled_loop(tuple(mine for mine, _ in pairs), buffer, tf.constant(scores),
                                tf.constant(lengths))
    for length, results in zip(lengths, compiled, strict=True):
        ids = torch.tensor(tokens[:, :length]).long()
        for out, (mine, reference) in zip(results, pairs, strict=True):
            assert_same(out, reference(ids, torch.tensor(scores)), f"{mine}, length {length}")


def test_impossible_scores_stay_impossible():
    scores = scores_of(5, impossible=20)
    for name, args in TOKEN_PROCESSORS[::3]:
        check(getattr(ours, name)(*args), getattr(theirs, name)(*args), seed=3, lengths=(5, 12),
              scores=scores)


def test_padding_is_not_penalised():
    padding = [0, 3, 1, 7]
    check(ours.RepetitionPenaltyLogitsProcessor(1.5, tf.constant(padding)),
          theirs.RepetitionPenaltyLogitsProcessor(1.5, torch.tensor(padding)), seed=2,
          lengths=(8, 12))


def test_tokens_outside_the_vocabulary_are_passed_over():
    tokens = tf.constant([[1, V, 2 * V, -100, 1, V]])
    scores = tf.constant(scores_of(1, rows=1))
    expected = ours.RepetitionPenaltyLogitsProcessor(2.0)(tokens[:, :1], scores, 1)
    assert_same(ours.RepetitionPenaltyLogitsProcessor(2.0)(tokens, scores, 6), expected)
    assert np.isfinite(ours.NoRepeatNGramLogitsProcessor(2)(tokens, scores, 5)).all()


@settings(max_examples=40, deadline=None)
@given(tokens=st.lists(st.integers(0, 2), min_size=1, max_size=L), n=st.integers(1, 5))
def test_no_ngram_comes_twice_whatever_the_text(tokens, n):
    scores = scores_of(0, rows=1, size=4)
    expected = theirs.NoRepeatNGramLogitsProcessor(n)(torch.tensor([tokens]), torch.tensor(scores))
    padded = tf.constant([tokens + [1] * (L + FILLER - len(tokens))])
    assert_same(ours.NoRepeatNGramLogitsProcessor(n)(padded, scores, len(tokens)), expected)


def test_lengths_may_be_tensors():
    """One compiled program serves several prompt lengths."""

    @tf.function(jit_compile=True)
    def run(tokens, scores, length, prompt, limit):
        config = GenerationConfig(min_new_tokens=2, forced_eos_token_id=EOS, eos_token_id=EOS,
                                  begin_suppress_tokens=[1], forced_bos_token_id=5,
                                  exponential_decay_length_penalty=(1, 1.5))
        for step in ours.build_processors(config, vocabulary_size=V, prompt_length=prompt,
                                          max_length=limit):
            scores = step(tokens, scores, length)
        return scores

    tokens, scores = tokens_of(0), scores_of(0)
    for length, prompt, limit in itertools.product((1, 3, 6), (1, 3), (7, 10)):
        if length < prompt:
            continue
        expected = torch.tensor(scores)
        ids = torch.tensor(tokens[:, :length]).long()
        config = GenerationConfig(min_new_tokens=2, forced_eos_token_id=EOS, eos_token_id=EOS,
                                  begin_suppress_tokens=[1], forced_bos_token_id=5,
                                  exponential_decay_length_penalty=(1, 1.5), max_length=limit)
        for step in upstream_list(config, prompt):
            expected = step(ids, expected)
        got = run(tf.constant(buffer_of(tokens, length, 1)), tf.constant(scores),
                  *map(tf.constant, (length, prompt, limit)))
        assert_same(got, expected, f"{length=}, {prompt=}, {limit=}")
    assert run.experimental_get_tracing_count() == 1


# --- from a config to a list

def upstream_list(config, prompt_length, padding=None):
    """What transformers makes of a config, with the steps of `generate` before it."""
    model = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=False),
                            _merge_criteria_processor_list=lambda default, custom: default)
    config = GenerationConfig.from_dict(config.to_dict())
    GenerationMixin._prepare_generated_length(model, config, False, True, "input_ids",
                                              prompt_length, torch.zeros(1, prompt_length))
    eos = config.eos_token_id
    config._eos_token_tensor = None if eos is None else torch.tensor(eos).reshape(-1)
    mask = None
    if padding is not None:
        mask = (torch.arange(prompt_length) >= torch.tensor(padding)[:, None]).long()
    encoder_ids = torch.zeros(1, 1).long()
    return GenerationMixin._get_logits_processor(model, config, prompt_length, encoder_ids,
                                                 model_kwargs={"attention_mask": mask})


OPTIONS = {
    "sequence_bias": [[[1], 2.0], [[2, 3], -1.0]], "repetition_penalty": 1.2,
    "no_repeat_ngram_size": 2, "bad_words_ids": [[1], [2, 5]], "min_length": 6, "min_new_tokens": 3,
    "forced_bos_token_id": 4, "forced_eos_token_id": 3, "remove_invalid_values": True,
    "exponential_decay_length_penalty": (2, 1.02), "suppress_tokens": [11], "temperature": 0.8,
    "begin_suppress_tokens": [7, 9], "top_h": 0.5, "top_k": 20, "top_p": 0.9, "min_p": 0.02,
    "typical_p": 0.95, "epsilon_cutoff": 0.001, "eta_cutoff": 0.002, "renormalize_logits": True,
}
NEUTRAL = {
    "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0,
    "remove_invalid_values": False, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "typical_p": 1.0,
    "epsilon_cutoff": 0.0, "eta_cutoff": 0.0, "renormalize_logits": False,
}


def grid():
    yield OPTIONS
    yield NEUTRAL
    for option in OPTIONS:
        yield {option: OPTIONS[option]}
        yield {**OPTIONS, option: NEUTRAL.get(option)}
    rng = np.random.default_rng(0)
    for _ in range(20):
        yield {option: OPTIONS[option] for option in OPTIONS if rng.random() < 0.5}


@pytest.mark.parametrize(("eos", "prompt_length"), [(None, 1), (3, 1), (EOS, 5)])
def test_the_list_and_its_effect_equal_upstreams(eos, prompt_length):
    tokens, scores = tokens_of(4), scores_of(4)
    for number, chosen in enumerate(grid()):
        if eos is None and chosen.get("exponential_decay_length_penalty"):
            continue
        for do_sample, beams in ((True, 1), (True, 3), (False, 1)):
            config = GenerationConfig(**chosen, eos_token_id=eos, do_sample=do_sample,
                                      num_beams=beams, max_length=L)
            reference = upstream_list(config, prompt_length)
            mine = ours.build_processors(config, vocabulary_size=V, prompt_length=prompt_length,
                                         max_length=L)
            names = [type(processor).__name__ for processor in reference]
            assert [type(processor).__name__ for processor in mine] == names
            if (number + beams) % 16:   # all of them would take long
                continue
            for length in (prompt_length, L - 1):
                expected, got = torch.tensor(scores), tf.constant(scores)
                ids = torch.tensor(tokens[:, :length]).long()
                for processor in reference:
                    expected = processor(ids, expected)
                for processor in mine:
                    got = processor(tf.constant(buffer_of(tokens, length, 0)), got, length)
                assert_same(got, expected, f"{chosen}, length {length}")


def test_do_sample_and_padding_may_be_given_apart_from_the_config():
    config = GenerationConfig(do_sample=False, top_k=5, repetition_penalty=1.5)
    lists = [ours.build_processors(config, vocabulary_size=V, prompt_length=8, max_length=L,
                                   do_sample=sample, padding_lengths=tf.constant([0, 2, 5, 7]))
             for sample in (None, True)]
    assert [len(processors) for processors in lists] == [1, 2]
    check(lists[0][0], upstream_list(config, 8, [0, 2, 5, 7])[0], seed=0, lengths=(8, 12))


def test_every_field_of_a_config_has_its_place():
    fields = set(vars(GenerationConfig()))
    tables = [ours.SUPPORTED, ours.HARMLESS, set(ours.UNSUPPORTED)]
    assert fields <= set.union(*map(set, tables))
    for one, other in itertools.combinations(tables, 2):
        assert not set(one) & set(other)
    assert set(OPTIONS) <= ours.SUPPORTED


@pytest.mark.parametrize("option", sorted(ours.UNSUPPORTED))
def test_what_is_not_supported_is_named(option):
    config = GenerationConfig(**OPTIONS, do_sample=True)
    for value in (None, *ours.UNSUPPORTED[option]):
        setattr(config, option, value)
        ours.check_supported(config)
    setattr(config, option, "dynamic" if option == "cache_implementation" else [3.5])
    with pytest.raises(NotImplementedError, match=f"does not support {option}="):
        ours.check_supported(config)


def test_upstreams_defaults_are_supported():
    config = GenerationConfig()
    for option, value in config._get_default_generation_params().items():
        setattr(config, option, value)
    ours.check_supported(config)
    assert ours.build_processors(config, vocabulary_size=V, prompt_length=3, max_length=20) == []


# --- errors

def build(**options):
    return ours.build_processors(GenerationConfig(**options), vocabulary_size=V, prompt_length=3,
                                 max_length=L, do_sample=True)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ours.TemperatureLogitsWarper(0.0), "temperature is a number in (0, inf) (for alw"),
        (lambda: ours.TemperatureLogitsWarper(float("nan")), "got nan"),
        (lambda: ours.TemperatureLogitsWarper("hot"), "got 'hot'"),
        (lambda: ours.TopKLogitsWarper(0), "top_k is a whole number, 1 or more; got 0"),
        (lambda: ours.TopKLogitsWarper(2.5), "top_k is a whole number, 1 or more; got 2.5"),
        (lambda: ours.TopKLogitsWarper(True), "got True"),
        (lambda: ours.TopPLogitsWarper(2), "top_p is a number in [0, 1]; got 2"),
        (lambda: ours.TopPLogitsWarper(0.5, 0), "min_tokens_to_keep is a whole number, 1 or more"),
        (lambda: ours.MinPLogitsWarper(-0.1), "min_p is a number in [0, 1]; got -0.1"),
        (lambda: ours.TypicalLogitsWarper(1.0), "typical_p is a number in (0, 1); got 1.0"),
        (lambda: ours.EpsilonLogitsWarper(0), "epsilon_cutoff is a number in (0, 1); got 0"),
        (lambda: ours.EtaLogitsWarper(1), "eta_cutoff is a number in (0, 1); got 1"),
        (lambda: ours.TopHLogitsWarper(0), "top_h is a number in (0, 1]; got 0"),
        (lambda: ours.RepetitionPenaltyLogitsProcessor(0), "repetition_penalty is a number in (0"),
        (lambda: ours.NoRepeatNGramLogitsProcessor(-1), "no_repeat_ngram_size is a whole number"),
        (lambda: ours.SequenceBiasLogitsProcessor({}), "sequence_bias is empty"),
        (lambda: ours.SequenceBiasLogitsProcessor({(): 1.0}), "sequence_bias names tokens by ids"),
        (lambda: ours.SequenceBiasLogitsProcessor([3]), "sequence_bias maps sequences"),
        (lambda: ours.SequenceBiasLogitsProcessor([[[1], 2.0, 3]]), "sequence_bias maps sequences"),
        (lambda: ours.SequenceBiasLogitsProcessor({(1,): "x"}), "sequence_bias maps sequences"),
        (lambda: ours.NoBadWordsLogitsProcessor([5]), "bad_words_ids is a list of lists of ids"),
        (lambda: ours.NoBadWordsLogitsProcessor([[-5]]), "bad_words_ids names tokens by ids of 0"),
        (lambda: ours.NoBadWordsLogitsProcessor([[]]), "bad_words_ids names tokens by ids of 0"),
        (lambda: ours.NoBadWordsLogitsProcessor([[3]], 3), "bad_words_ids forbids nothing"),
        (lambda: ours.MinLengthLogitsProcessor(-1, 3), "min_length is a whole number, 0 or more"),
        (lambda: ours.MinLengthLogitsProcessor(1, "a"), "eos_token_id is a token id or a list"),
        (lambda: ours.ForcedBOSTokenLogitsProcessor(-1), "forced_bos_token_id is a whole number"),
        (lambda: ours.ForcedEOSTokenLogitsProcessor(5, []), "forced_eos_token_id names tokens"),
        (lambda: ours.ExponentialDecayLengthPenalty(3, 1, 1), "is a pair, the start and the fact"),
        (lambda: build(top_p=1.5), "top_p is a number in [0, 1]; got 1.5"),
        (lambda: build(forced_bos_token_id=99), "a vocabulary of 37 does not have: 99"),
        (lambda: build(forced_eos_token_id=[3, 40]), "a vocabulary of 37 does not have: 40"),
        (lambda: build(bad_words_ids=[[1, 50]]), "a vocabulary of 37 does not have: 50"),
        (lambda: build(exponential_decay_length_penalty=(1, 1.1)), "needs eos_token_id"),
    ],
)
def test_a_wrong_argument_is_named(call, says):
    with pytest.raises(ValueError) as caught:
        call()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# --- drawing

COMPILED = tf.function(ours.sample, jit_compile=True)


@pytest.mark.parametrize("size", [15, 200])   # fewer and more tokens than FEW
@pytest.mark.parametrize("draw", [ours.sample, COMPILED], ids=["eager", "compiled"])
def test_draws_follow_the_softmax(draw, size):
    scores = np.full((1, size), -np.inf, np.float32)
    scores[0, -15:] = scores_of(7, rows=1, size=15, spread=1.0)
    scores[0, [-2, -9]] = -np.inf
    chances = torch.tensor(scores[0]).softmax(0).double().numpy()
    possible = chances > 0
    drawn = draw(tf.repeat(tf.constant(scores), 30_000, axis=0), tf.constant([3, 4]))
    assert drawn.shape == (30_000,) and drawn.dtype == tf.int32
    counts = np.bincount(drawn, minlength=size)
    assert counts[~possible].sum() == 0
    expected = chances[possible] / chances[possible].sum() * 30_000
    assert chisquare(counts[possible], expected).pvalue > 1e-3
    # rows are drawn independently: neighbours agree as often as chance has it
    same = (drawn[:-1] == drawn[1:]).numpy().mean()
    assert abs(same - (chances**2).sum()) < 0.02


def test_draws_from_many_follow_the_softmax():
    scores = tf.constant(scores_of(8, rows=1, size=150, spread=1.0))
    counts = np.bincount(COMPILED(tf.repeat(scores, 30_000, axis=0), tf.constant([5, 6])),
                         minlength=150)
    chances = torch.tensor(scores.numpy()[0]).double().softmax(0).numpy()
    assert chisquare(counts, chances * 30_000).pvalue > 1e-3


@pytest.mark.parametrize("draw", [ours.sample, COMPILED], ids=["eager", "compiled"])
def test_a_lone_token_is_always_drawn_and_a_seed_repeats(draw):
    scores = np.full((5000, 9), -np.inf, np.float32)
    scores[:, 6] = -50.0
    assert (draw(tf.constant(scores), tf.constant([1, 1])).numpy() == 6).all()
    flat = tf.zeros((200, 50))
    seeds = ([1, 2], [1, 2], [1, 3])
    first, again, other = (draw(flat, tf.constant(seed)).numpy() for seed in seeds)
    assert (first == again).all() and (first != other).mean() > 0.9
