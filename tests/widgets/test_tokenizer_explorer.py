"""The token table for every kind of tokenizer, and what is drawn of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.widgets.tokenizer_explorer import MOST, TokenizerExplorer, token_table, tokens_html


def test_a_fast_tokenizer(wordpiece):
    text = "The cats [MASK] zebra"
    tokens = token_table(wordpiece, text)
    assert [t.text for t in tokens] == [
        "[CLS]", "the", "cat", "##s", "[MASK]", "[UNK]", "[SEP]"]  # fmt: skip
    assert [t.kind for t in tokens] == ["special", "", "", "", "special", "unknown", "special"]
    assert [t.id for t in tokens] == wordpiece(text)["input_ids"]
    assert [text[slice(*t.offsets)] for t in tokens[1:-1]] == ["The", "cat", "s", "[MASK]", "zebra"]
    assert [t.text for t in token_table(wordpiece, "the", add_special_tokens=False)] == ["the"]


def test_its_core_says_the_same(wordpiece):
    text = "The cats [MASK] zebra"
    assert token_table(wordpiece.backend_tokenizer, text) == token_table(wordpiece, text)


def test_a_slow_tokenizer_has_no_offsets():
    from transformers import ByT5Tokenizer

    slow = ByT5Tokenizer()
    tokens = token_table(slow, "né")
    assert [t.id for t in tokens] == slow("né")["input_ids"]
    assert all(t.offsets is None for t in tokens) and tokens[-1].kind == "special"
    assert "gives no offsets" in TokenizerExplorer(slow, text="né").static()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20))
def test_bytes_cover_the_whole_text(bytewise, text):
    tokens = token_table(bytewise, text)
    assert len(tokens) == len(text.encode("utf-8", "surrogatepass"))
    assert {n for t in tokens for n in range(*t.offsets)} == set(range(len(text)))
    assert "<script" not in tokens_html("x", tokens, text)


def test_text_is_never_markup(wordpiece, bytewise):
    explorer = TokenizerExplorer(wordpiece, bytewise, text="<script>'\"</script>",
                                 names=["<img onerror=x>", "b"])  # fmt: skip
    html = explorer.static() + "".join(w.value for w in explorer.view.children[3].children)
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html


def test_a_long_text_is_cut_and_says_so(bytewise):
    html = TokenizerExplorer(bytewise, text="a" * (MOST + 12)).static()
    assert "312 tokens: 312 from the text" in html and "… and 12 tokens more" in html


def test_an_empty_text(wordpiece):
    explorer = TokenizerExplorer(wordpiece, text="")
    assert "2 tokens: 0 from the text, 2 special." in explorer.static()


@pytest.mark.parametrize(
    ("tokenizers", "words"),
    [((), "one tokenizer or two; got 0"), ((3,), "got int"), ((len,), "got builtin_function")],
)
def test_what_is_no_tokenizer_is_a_sentence(tokenizers, words):
    with pytest.raises(ValueError, match=words):
        TokenizerExplorer(*tokenizers)


def test_wrong_text_and_wrong_names(wordpiece):
    with pytest.raises(ValueError, match="a text is a str; got list"):
        TokenizerExplorer(wordpiece, text=["a"])
    with pytest.raises(ValueError, match="a name for each of the 1 tokenizers; got 2"):
        TokenizerExplorer(wordpiece, names=["a", "b"])
