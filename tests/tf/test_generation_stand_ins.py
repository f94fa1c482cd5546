"""Every stand-in of the course that writes text writes what it writes in PyTorch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.testing import assert_array_equal
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, TextStreamer

from course_lib.tf.models import TFAutoModelForCausalLM, TFAutoModelForSeq2SeqLM
from course_lib.zoo.assembly import write_files
from course_lib.zoo.catalogue import ENTRIES

HEADS = ("LMHeadModel", "MTModel", "ForConditionalGeneration")
WRITERS = {entry.repo_id.name: entry for entry in ENTRIES if entry.repo_id.kind == "model"
           and entry.summary["config"]["architectures"][0].endswith(HEADS)}
STORIES = ["The weather in the", "When she opened the door, there was"]
ARTICLE = ("The old mill by the river was sold in 1920. It is open to visitors of the town, and "
           "the bread that is baked there on Sundays is known far beyond the valley.")
SOURCES = {
    "opus-mt-en-fr": ["Where is the train station?", "I am here."],
    "opus-mt-fr-en": ["Où est la gare ?", "Je suis là, et toi ?"],
    "distilbart-cnn-12-6": [ARTICLE, ARTICLE[:44]],
    "t5-small": ["translate English to French: I am here.", "summarize: The mill was sold."],
    "t5-base": ["translate English to French: I am here.", "summarize: " + ARTICLE],
    "mt5-small": ["The mill was sold in 1920.", "I am here."],
}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Tokenizer, PyTorch's model, ours and a batch, by the short name; made once each."""
    root, kept = tmp_path_factory.mktemp("writers"), {}

    def load(name: str) -> tuple[Any, Any, Any, Any]:
        if name not in kept:
            kept[name] = read(name, root / name)
        return kept[name]

    return load


def read(name: str, folder: Path) -> tuple[Any, Any, Any, Any]:
    """The stand-in in both frameworks."""
    write_files(WRITERS[name].files(), folder)
    writes_on = name not in SOURCES
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left" if writes_on else "right")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    torchs, keras = ((AutoModelForCausalLM, TFAutoModelForCausalLM) if writes_on
                     else (AutoModelForSeq2SeqLM, TFAutoModelForSeq2SeqLM))
    batch = tokenizer(SOURCES.get(name, STORIES), padding=True, return_tensors="pt")
    return tokenizer, torchs.from_pretrained(folder), keras.from_pretrained(folder), batch


def both(loaded: Any, name: str, **options: Any) -> tuple[Any, Any]:
    """What PyTorch writes, and what we do."""
    jit = options.pop("jit_compile", False)
    _, reference, model, batch = loaded(name)
    options = {"max_new_tokens": 12, **options}
    with torch.no_grad():
        want = reference.generate(**batch, **options).numpy()
    return want, model.generate(batch, jit_compile=jit, **options)


def test_all_writers_are_here():
    assert {*SOURCES, "gpt2", "distilgpt2", "SmolLM3-3B"} <= set(WRITERS)


@pytest.mark.parametrize("name", WRITERS)
def test_by_its_own_configuration(loaded, name):
    want, found = both(loaded, name, do_sample=False)
    assert_array_equal(found, want)


@pytest.mark.parametrize("name", ["gpt2", "opus-mt-fr-en", "distilbart-cnn-12-6", "mt5-small"])
def test_the_other_search(loaded, name):
    usual = loaded(name)[2].generation_config.num_beams or 1
    want, found = both(loaded, name, do_sample=False, num_beams=1 if usual > 1 else 3)
    assert_array_equal(found, want)


@pytest.mark.parametrize("name", ["gpt2", "opus-mt-en-fr"])
def test_compiled(loaded, name):
    want, found = both(loaded, name, do_sample=False, jit_compile=True, max_new_tokens=20)
    assert_array_equal(found, want)


def test_a_streamed_story_is_the_text(loaded, capsys):
    tokenizer, _, model, _ = loaded("gpt2")
    one = tokenizer(STORIES[0], return_tensors="np")
    ids = model.generate(one, max_new_tokens=8, streamer=TextStreamer(tokenizer))
    assert capsys.readouterr().out.strip() == tokenizer.decode(ids[0]).strip()


@pytest.mark.long
@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("name", WRITERS)
def test_compiled_and_longer(loaded, name, beams):
    options = {"do_sample": False, "num_beams": beams, "num_return_sequences": min(beams, 2),
               "max_new_tokens": 60}
    want, found = both(loaded, name, jit_compile=True, **options)
    assert_array_equal(found, want)
    want, found = both(loaded, name, jit_compile=True, no_repeat_ngram_size=2, **options)
    assert_array_equal(found, want)
