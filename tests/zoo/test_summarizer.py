"""The summarizer copies, stops and keeps what its card says; its texts and its start are sound."""

import random

import numpy as np
import pytest
import torch

from course_lib.zoo import bart, bart_training, summarizer
from course_lib.zoo.bart_training import Plan, encode_pairs, start_training, step_loss, train
from course_lib.zoo.grammar import shipped_text
from course_lib.zoo.passages import in_cut
from course_lib.zoo.recipes import RecipeError, file_sha256, load_report, shipped
from course_lib.zoo.roberta import shipped_pairs
from course_lib.zoo.summary_texts import (
    RULES,
    SentenceVectors,
    broken,
    excerpt,
    passages,
    review_pairs,
    sentence_spans,
    shortened,
    stands_alone,
    summary_of,
    training_pairs,
    wikipedia_pairs,
)
from course_lib.zoo.test_texts import word_runs

FILE = shipped("summarizer.safetensors")
TINY = Plan(steps=4, tokens=200, warmup=2, save_every=2, rank=4)


@pytest.fixture(scope="module")
def held_out(data_dir):
    """Pairs of articles that were not read."""
    found = wikipedia_pairs(data_dir, "validation")
    return [pair for pairs in found.values() for pair in pairs]


@pytest.fixture(scope="module")
def loaded():
    """Tokenizer and model as shipped."""
    return bart.load(summarizer.checkpoint())


# -- how good it is --------------------------------------------------------------------------------


def test_the_file_is_small_and_the_one_that_was_measured():
    assert FILE.stat().st_size <= 5_500_000
    assert load_report(shipped("summarizer.json")).sha256 == file_sha256(FILE)


def test_summaries_of_text_it_never_saw(held_out, loaded):
    some = random.Random(5).sample(held_out, 12)
    written = bart_training.summarize(*loaded, [pair.source for pair in some])
    assert summarizer.distinct_runs(written) > 0.8
    assert np.mean([summarizer.well_formed(text) for text in written]) > 0.7
    for pair, text in zip(some, written, strict=True):
        assert 0 < len(text) < len(pair.source)


def test_its_loss_is_below_that_of_a_back_off_model():
    values = {
        m.dataset: m.value
        for m in load_report(shipped("summarizer.json")).measured
        if m.metric == "nats_per_character"
    }
    own = "summaries of passages of Wikipedia"
    assert values[own] < values[f"{own}, by a 5-gram model"]


def test_the_reported_loss_is_what_the_weights_give(held_out, loaded):
    some = held_out[:24]
    found = summarizer.nats_per_character(loaded[1], some)
    assert found == pytest.approx(
        next(
            m.value
            for m in load_report(shipped("summarizer.json")).measured
            if m.metric == "nats_per_character"
        ),
        rel=0.25,
    )


def test_the_answer_comes_out_of_the_weights():
    tokenizer, model = bart.load(summarizer.checkpoint())
    inputs = tokenizer("The river is deep.", return_tensors="pt")
    inputs["decoder_input_ids"] = torch.tensor([[bart.EOS, bart.BOS]])
    with torch.inference_mode():
        before = model(**inputs).logits
        model.model.decoder.layers[-1].encoder_attn.v_proj.weight.mul_(-1)
        after = model(**inputs).logits
    assert (before - after).abs().max() > 1e-2


# -- its texts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Lee met J. K. Rowe in St. Louis.",
        "She works for the U.S. Army in Washington, D.C. as a nurse.",
        "It weighs approx. 5 kg, i.e. more than before.",
        "",
    ],
)
def test_short_forms_end_no_sentence(text):
    assert len(sentence_spans(text)) == bool(text)


@pytest.mark.parametrize(
    "text, short",
    [
        ("However, the old mill was sold to a bank.", "The old mill was sold to a bank."),
        ("In 1920, the old mill was sold to a bank.", "The old mill was sold to a bank."),
        ("The old mill [1] was sold to (a) bank.", "The old mill was sold to bank."),
        ("The old mill was sold to a bank, which rebuilt it.", "The old mill was sold to a bank."),
        ("The mill, which was old, was sold to a bank.", "The mill was sold to a bank."),
        ("It rained, but it stopped.", "It rained, but it stopped."),
        (
            "In Leeds, Yorkshire, the mill was sold again.",
            "In Leeds, Yorkshire, the mill was sold again.",
        ),
    ],
)
def test_rules(text, short):
    assert shortened(excerpt(text, 0, len(text))).text == short


def test_places_name_the_letters_that_were_copied(held_out):
    chance = random.Random(1)
    for pair in [*held_out[:80], *review_pairs(20, 3)]:
        for one in (pair, broken(pair, chance)):
            assert len(one.places) == len(one.summary)
            copied = [
                (s, one.source[p])
                for s, p in zip(one.summary, one.places, strict=True)
                if p >= 0 and s != " "
            ]
            assert copied and all(a.lower() == b.lower() for a, b in copied)


def test_summaries_by_rule_are_short_whole_sentences(held_out):
    assert len(held_out) > 400
    for pair in held_out:
        assert len(pair.summary) <= len(pair.source)
        for start, end in sentence_spans(pair.summary)[:1]:
            assert stands_alone(pair.summary[start:end]) or len(sentence_spans(pair.summary)) > 1


def test_reviews_are_different_and_end_well():
    pairs = review_pairs(200, 2)
    assert len({pair.source for pair in pairs}) == 200
    for pair in pairs:
        assert "PRODUCT" not in pair.source + pair.summary
        assert "=>" not in pair.source + pair.summary
        assert pair.summary.endswith(".") and pair.source[-1] in ".!?"


def test_training_keeps_off_what_is_asked_and_what_is_cut(held_out):
    found = {f"Title {i}": [pair] for i, pair in enumerate(held_out[:200])}
    training, cut = training_pairs(found, reviews=20)
    assert len(cut) == sum(map(in_cut, found))
    assert {pair.source for pair in cut}.isdisjoint(" ".join(p.source.split()) for p in training)
    asked = word_runs(shipped_text("engineering.txt"))
    assert all(asked.isdisjoint(word_runs(pair.source)) for pair in held_out)


def test_short_texts_have_no_summary():
    text = "The mill is old. It was sold to a bank."
    assert summary_of(text, SentenceVectors([text])) is None
    assert passages(text, random.Random(0)) == []
    assert all("cut" in rule.groupindex for rule in RULES)


# -- its form and its start ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def started():
    """A model before its first step, with a few reviews."""
    pairs = shipped_pairs()
    examples = encode_pairs(review_pairs(24, 7), pairs)
    training, common = start_training(examples, pairs, TINY)
    return pairs, examples, training, common


def test_links_name_the_same_letters(started):
    pairs, examples, _, _ = started
    tokens = list(pairs.vocabulary)
    for source, target, places in zip(
        examples.source, examples.target, examples.places, strict=True
    ):
        assert target[0] == bart.BOS and target[-1] == bart.EOS and len(places) == len(target)
        known = [
            (tokens[t], tokens[source[p]]) for t, p in zip(target, places, strict=True) if p >= 0
        ]
        same = [a.strip("Ġ").lower()[:1] == b.strip("Ġ").lower()[:1] for a, b in known]
        assert known and np.mean(same) > 0.7


def test_no_two_tokens_are_alike(started):
    _, _, training, _ = started
    table = training.model.model.shared.weight.detach()
    rows = torch.randperm(len(table), generator=torch.Generator().manual_seed(0))[:400]
    far = torch.cdist(table[rows], table)
    far[torch.arange(len(rows)), rows] = 9
    assert far.min() > 0.05


def test_it_starts_by_looking_at_what_it_has_read(started):
    _, examples, training, common = started
    with torch.no_grad():
        batch = np.arange(4)
        _, guide = bart_training.losses(training.model, examples, batch)
        loss = step_loss(training, examples, batch, common, TINY)
    assert guide.item() < 7 and torch.isfinite(loss)  # chance is about 8


def test_written_and_read_again(started, tmp_path):
    pairs, examples, training, _ = started
    model = training.model.eval()
    bart.save_summarizer(tmp_path / "s.safetensors", model)
    assert (tmp_path / "s.safetensors").stat().st_size < 5_500_000
    tokenizer, again = bart.load(bart.assemble(tmp_path / "s.safetensors", pairs))
    assert (type(again).__name__, again.config.model_type) == (
        "BartForConditionalGeneration",
        "bart",
    )
    ids = torch.tensor([examples.source[0]])
    with torch.inference_mode():
        a, b = (m.model.encoder(ids).last_hidden_state for m in (model, again))
    assert (a - b).norm() / a.norm() < 0.01
    text = "Déjà vu:\n  “Hello” costs 5 €!"
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert again.config.task_specific_params["summarization"]["num_beams"] == 4


# -- the recipe ------------------------------------------------------------------------------------


def test_training_goes_on_where_it_stopped(started, tmp_path):
    pairs, examples, _, _ = started
    said: list[str] = []
    whole = train(examples, pairs, TINY, tmp_path / "whole.pt", said.append)
    train(examples, pairs, TINY, tmp_path / "parts.pt", said.append, stop_at=2)
    parts = train(examples, pairs, TINY, tmp_path / "parts.pt", said.append)
    assert "going on at step 2 of 4" in said
    for name, values in whole.state_dict().items():
        assert torch.equal(values, parts.state_dict()[name]), name


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RecipeError, match=r"reads wikipedia_en/validation.parquet.*--data"):
        summarizer.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_measures():
    assert summarizer.distinct_runs(["a b c d a b c d"]) == 4 / 5
    assert summarizer.distinct_runs(["too short"]) == 0
    assert summarizer.copied_runs([("a b c d e", "b c d e f")]) == 0.5
    for text in ("", 'He said "yes.', "It rained (a lot.", "It rained"):
        assert not summarizer.well_formed(text)
    assert summarizer.well_formed('It rained. He said "yes, it did."')
    assert summarizer.lead("It rained.\n  Then it stopped.") == "It rained."
