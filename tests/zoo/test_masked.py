"""The masked language model keeps what its cards say, in each of its forms."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from course_lib.zoo import masked, masked_training
from course_lib.zoo.adapters import load_adapter
from course_lib.zoo.assembly import write_files
from course_lib.zoo.base import base_vocabulary
from course_lib.zoo.encoders import load_tokenizer
from course_lib.zoo.passages import batches, probes, sentences_of, training_sentences
from course_lib.zoo.recipes import file_sha256, load_report, shipped
from course_lib.zoo.test_texts import newspaper_names, word_runs
from course_lib.zoo.training import Settings

FILE = shipped("masked.safetensors")

# Written for this test; nothing was chosen by what the model makes of it.
PROSE = """\
A lighthouse is a tower that sends out a strong light at night. It warns ships of rocks and shows
them the way into the harbour.
Bees live in large groups with a single queen. In winter they stay in the hive and eat the honey
that they made in summer.
The old town lies on the left bank of the river. It has a castle from the twelfth century and a
market every Saturday.
Copper is a soft red metal. It has been used for tools and coins for thousands of years.
The railway line was opened in 1871 and closed again in 1964. Today a path for walkers and
cyclists follows the same route.
She studied law at the university and worked as a judge for many years. After the war she was
elected to the parliament of her country.
The film tells the story of two brothers who leave their village. It was shown at several
festivals and won a prize for its music.
Bread is made from flour, water and salt. The dough has to rest for some hours before it is baked
in a hot oven.
The team won the first match by three goals to one. It lost the second and did not reach the
final.
Volcanoes are openings in the surface of the earth. When they erupt, hot rock and ash come out.
The album was recorded in the spring and released in October of the same year. It sold more than
a million copies in the United States.
The island has about four hundred inhabitants. Most of them live from fishing and from the
visitors who come by boat in summer."""


@pytest.fixture(scope="module")
def report():
    return load_report(shipped("masked.json"))


@pytest.fixture(scope="module")
def model():
    return masked_training.load_masked(masked.bert_base_uncased().tensors)


@pytest.fixture(scope="module")
def encode():
    tokenizer = load_tokenizer(base_vocabulary(), lowercase=True)
    return lambda text: tokenizer.encode(text).ids


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Each stand-in as the files that `from_pretrained` takes."""
    root = tmp_path_factory.mktemp("masked")
    for entry in masked.ENTRIES:
        write_files(entry.files(), root / entry.repo_id.name)
    return {entry.repo_id.name: root / entry.repo_id.name for entry in masked.ENTRIES}


# -- what is shipped -------------------------------------------------------------------------------


def test_the_file_is_small_and_the_one_that_was_measured(report):
    assert FILE.stat().st_size <= 4 * 2**20
    for name in ("masked", "masked_cased"):
        assert load_report(shipped(f"{name}.json")).sha256 == file_sha256(FILE)
    assert report.cores == 1


def test_the_bar_is_in_the_report(report):
    everything, written, whole_words, at_once, _ = report.measured
    assert everything.value >= 0.40
    assert written.value >= 0.40
    assert whole_words.value >= 0.40
    assert everything.size == 2000 > written.size > whole_words.size
    assert at_once.value < everything.value, "less context is harder"


def test_eight_bits_cost_under_one_per_cent():
    found = json.loads(shipped("masked_curve.json").read_text())["top5 on the cut"]
    assert abs(found["as trained"] - found["in 8 bits"]) < 0.01


def test_held_out_articles(model, report, data_dir):
    everything, written, *_ = masked.measure(model, data_dir, count=250)
    assert everything.value >= 0.40
    for now, then in zip((everything, written), report.measured, strict=False):
        assert now.dataset == then.dataset
        spread = (then.value * (1 - then.value) / now.size) ** 0.5
        assert abs(now.value - then.value) < 4 * spread


def test_prose_that_nobody_trained_on(model, encode):
    texts = PROSE.replace("\n", " ").split(". ")
    contexts = [
        [f"{first}.", f"{second.rstrip('.')}."]
        for first, second in zip(texts[::2], texts[1::2], strict=True)
    ]
    questions = probes(contexts, 200, 0, encode)
    right = masked_training.ranks(masked_training.answers_at(model), questions) < 5
    assert right.mean() >= 0.40


def test_answers_come_from_the_weights(model, encode):
    ids = torch.tensor([encode("She drank a cup of [MASK] before breakfast.")])
    word = model.cls.predictions.transform.dense.weight
    with torch.no_grad():
        before, kept = model(ids).logits, word.clone()
        word.mul_(-1)
        after = model(ids).logits
        word.copy_(kept)
    assert (before - after).abs().max() > 1


# -- forms -----------------------------------------------------------------------------------------


def test_bert_and_distilbert_answer_the_same(folders):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders["bert-base-uncased"])
    batch = tokenizer(
        ["Paris is the [MASK] of France.", "A [MASK]."], padding=True, return_tensors="pt"
    )
    real = batch["attention_mask"].bool()
    logits = []
    for name in ("bert-base-uncased", "distilbert-base-uncased"):
        model = transformers.AutoModelForMaskedLM.from_pretrained(folders[name]).eval()
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
        with torch.no_grad():
            logits.append(model(**inputs).logits[real])
    assert torch.allclose(*logits, atol=1e-3)


@pytest.mark.parametrize("entry", masked.ENTRIES, ids=lambda entry: entry.repo_id.name)
def test_every_weight_is_in_the_checkpoint(entry, folders):
    folder = folders[entry.repo_id.name]
    model, loading = transformers.AutoModelForMaskedLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert type(model).__name__ == entry.architecture
    assert not loading["missing_keys"]
    assert all("pooler" in name for name in loading["unexpected_keys"])
    embeddings = model.get_input_embeddings().weight
    assert model.get_output_embeddings().weight.data_ptr() == embeddings.data_ptr()
    assert sum(np.prod(t.shape) for t in entry.make().tensors.values()) == entry.weights


@pytest.mark.parametrize("entry", masked.ENTRIES, ids=lambda entry: entry.repo_id.name)
def test_cards_say_what_was_measured(entry):
    card = entry.card()
    for measurement in entry.report.measured:
        assert f"{measurement.value:.3f}" in card
    assert entry.summary["pipeline_tag"] == "fill-mask"
    assert "CC BY-SA 4.0" in card and "CC BY 2.0 FR" in card


@pytest.mark.parametrize("name", ["bert-base-uncased", "bert-base-cased"])
@pytest.mark.parametrize(
    ("text", "fitting"),
    [
        ("She drank a cup of [MASK] before breakfast.", {"tea", "coffee", "water", "milk", "wine"}),
        ("They have lived in New [MASK] since 1998.", {"york", "zealand", "jersey", "england"}),
        ("He opened the [MASK] and went into the house.", {"door", "doors", "window", "gate"}),
    ],
)
def test_answers_make_sense(name, text, fitting, folders):
    unmask = transformers.pipeline("fill-mask", model=str(folders[name]))
    answers = [answer["token_str"].lower() for answer in unmask(text)]
    assert fitting & set(answers), answers


def test_the_cased_form_prefers_the_usual_spelling(folders):
    unmask = transformers.pipeline("fill-mask", model=str(folders["bert-base-cased"]))
    answers = unmask("The house stands in [MASK] garden.", targets=["the", "The"])
    assert [answer["token_str"] for answer in answers] == ["the", "The"]


# -- training --------------------------------------------------------------------------------------

SMALL = Settings(rank=2, epochs=1, batch_size=48, threads=1, save_every=2)
ARTICLE = (
    "The bridge crosses the river near the old mill. It was built of stone. "
    "A flood destroyed it in spring. The town built it again. "
)


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    """Data sets of a few rows, under the names that the recipe reads."""
    root = tmp_path_factory.mktemp("data")
    articles = pd.DataFrame({"title": [f"article {i}" for i in range(80)], "text": [ARTICLE] * 80})
    pairs = pd.DataFrame(
        {
            "sentence1": ["It rained all day."] * 4,
            "label": [1, 0, 1, 0],
            "sentence2": ["It was a rainy day.", "He sold his car."] * 2,
        }
    )
    everyday = pd.DataFrame({"source": ["I like to read in the garden."], "target": ["-"]})
    for name, split, table in (
        ("wikipedia_en", "train", articles),
        ("mrpc", "validation", pairs),
        ("wikipedia_en", "validation", articles),
        ("tatoeba_en_fr", "train", everyday),
    ):
        (root / name).mkdir(exist_ok=True)
        table.to_parquet(root / name / f"{split}.parquet")
    return root


@pytest.fixture(scope="module")
def text(small_data):
    found, cut = masked_training.read_passages(small_data)
    return {"wikipedia": found["wikipedia"][:20]}, cut


def learned(model):
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def test_an_interrupted_training_ends_like_one_that_was_not(tmp_path, text):
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    say, quiet = [], lambda line: None
    whole, curve = masked_training.train(*text, SMALL, 6, tmp_path / "whole", quiet, count=4)
    masked_training.train(*text, SMALL, 6, tmp_path / "parts", quiet, stop_at=3, count=4)
    parts, again = masked_training.train(*text, SMALL, 6, tmp_path / "parts", say.append, count=4)
    assert say[0] == "going on at step 2 of 6"
    assert [point["step"] for point in again["points"]] == [2, 4, 6]
    assert curve["points"] == again["points"]
    assert curve["passages"] == again["passages"]
    for name, values in learned(whole).items():
        assert torch.equal(values, learned(parts)[name]), name


def test_the_recipe_leaves_weights_log_and_reports(tmp_path, small_data):
    reports = masked.build(
        small_data, tmp_path, lambda line: None, settings=SMALL, steps=2, count=12
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "masked.json",
        "masked.safetensors",
        "masked_cased.json",
        "masked_curve.json",
    ]
    assert [
        load_report(tmp_path / f"{name}.json") for name in ("masked", "masked_cased")
    ] == reports
    assert reports[0].sha256 == file_sha256(tmp_path / "masked.safetensors")
    assert len(load_adapter(tmp_path / "masked.safetensors").low_rank) == 6 * 6 + 1


def test_the_recipe_names_what_is_missing(tmp_path):
    with pytest.raises(RuntimeError, match=r"reads wikipedia_en/validation.parquet.*--data"):
        masked.build(tmp_path, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_last_layer_at_a_few_places_is_the_last_layer(model):
    ids = torch.randint(1000, 20000, (3, 10))
    places = torch.tensor([[1, 2], [4, 9], [0, 3]])
    with torch.no_grad():
        everywhere = model.bert(ids).last_hidden_state
        there = masked_training.hidden_at(model, ids, places)
    expected = everywhere.gather(1, places[..., None].expand(-1, -1, 384))
    assert torch.allclose(there, expected, atol=1e-5)


def test_few_candidates_stand_for_the_whole_vocabulary():
    logits = torch.randn(30522, generator=torch.Generator().manual_seed(0))
    targets, common = torch.tensor([29000, 5, 29000]), torch.arange(1000, 7000)
    sums = []
    for seed in range(20):
        torch.manual_seed(seed)
        tokens, shift, where = masked_training.candidates(targets, common, 2000)
        assert tokens[where].tolist() == targets.tolist()
        assert len(set(tokens.tolist())) == len(tokens) == 8002
        sums.append((logits[tokens] + shift).exp().sum())
    assert torch.stack(sums).mean() == pytest.approx(float(logits.exp().sum()), rel=0.01)


# -- text ------------------------------------------------------------------------------------------


def test_nothing_that_is_asked_is_trained_on():
    blind = newspaper_names()[0][0]
    asked = ["This man works as a doctor.", "In 1990, Paris is the capital of France!", blind]
    fine = ["This man is a doctor.", "Paris has two million inhabitants."]
    assert len(word_runs(blind)) > 0
    assert training_sentences(asked + fine) == fine


def test_sentences_end_where_they_should():
    text = "It rained. They had 3.5 km to go. Was it far? Nobody (Ann?) knew.\nNo stop here"
    assert sentences_of(text) == [
        "It rained.",
        "They had 3.5 km to go.",
        "Was it far?",
        "Nobody (Ann?) knew.",
    ]


def test_batches_hold_every_passage_once():
    found = [[number] * (8 + number % 5) for number in range(50)]
    made = batches(found, 40, np.random.default_rng(0))
    assert sorted(int(row[0]) for batch in made for row in batch) == list(range(50))
    assert all(batch.size <= 40 for batch in made)
