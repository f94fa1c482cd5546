"""The metadata of cards: read when it is well formed, refused fast when it is not."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.hub.cards.describe import describe
from course_lib.hub.cards.front_matter import MAX_METADATA, CardError, metadata, split


@pytest.mark.parametrize(
    "text, expected",
    [
        ("# No metadata", {}),
        ("---\nlicense: mit\n---\n# Card", {"license": "mit"}),
        ("\ufeff---\r\nlicense: mit\r\n---\r\n# Card", {"license": "mit"}),
        ("---\n---\n", {}),
        ("---\nno end", {}),
        ("---\na: 1\n--- trailing\nb", {"a": 1}),
        ("---\nd: 2020-01-02\nn: .nan\n1: yes\n---\n", {"d": "2020-01-02", "n": "nan", "1": True}),
    ],
)  # fmt: skip
def test_metadata_is_what_stands_between_the_lines(text, expected):
    assert metadata(text) == expected


@pytest.mark.parametrize(
    "block, why",
    [
        ("a: [1, 2", "not valid YAML"),
        ("- a list", "mapping"),
        ("a: &x 1\nb: *x", "aliases"),
        ("[" * 1000, "deep"),
        ("a: " + "{b: " * 60, "deep"),
        ("d: 2001-99-99", "not valid YAML"),
        ("x: !!python/object:os.system ls", "not valid YAML"),
        ("x: " + "y" * MAX_METADATA, "characters long"),
        ("a: [" + "b," * 70_000 + "]", "parts"),
    ],
)
def test_what_cannot_be_read_says_why(block, why):
    with pytest.raises(CardError, match=why):
        metadata(f"---\n{block}\n---\n")


@pytest.mark.parametrize(
    "unit", ["[", "{", "? ", "- ", "[a,", "{a: ", "a: b\n", "&a ", "!t ", "'a' ", "- [x]\n", "|\n"]
)
def test_no_card_takes_long(unit):
    began = time.thread_time()
    try:
        metadata("---\n" + unit * (MAX_METADATA // len(unit) - 10) + "\n---\n")
    except CardError:
        pass
    assert time.thread_time() - began < 3  # half a second on an ordinary machine


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="-:[]{}#&*!|>'\"%@`? \nab1.,~\u00e9\ud800\x00", max_size=60))
def test_any_text_is_read_or_refused(block):
    text = f"---\n{block}\n---\nbody"
    split(text)
    try:
        found = metadata(text)
    except CardError:
        return
    json.dumps(found, allow_nan=False).encode()
    json.dumps(found, ensure_ascii=False).encode()


def read(**files):
    return lambda path: files.get(path.partition(".")[0])


def test_a_models_summary_comes_from_card_then_config():
    config = json.dumps({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"})
    found = describe("model", read(config=config))
    assert found["pipeline_tag"] == "text-generation" and found["library_name"] == "transformers"
    card = "---\npipeline_tag: fill-mask\nlibrary_name: keras\nlanguage: [en, fr]\n---\n"
    found = describe("model", read(config=config, README=card))
    assert found["pipeline_tag"] == "fill-mask" and found["library_name"] == "keras"
    assert {"keras", "fill-mask", "gpt2", "en", "fr"} <= set(found["tags"])


def test_a_data_sets_languages_are_marked():
    found = describe("dataset", read(README="---\nlanguage: en\nlicense: mit\n---\n"))
    assert found["tags"] == ["language:en", "license:mit"]


@pytest.mark.parametrize(
    "config", ["[]", "{", "null", '{"architectures": 5}', "[" * 10_000, "\x00"]
)
def test_a_broken_config_says_nothing(config):
    assert describe("model", read(config=config))["config"] == {}
