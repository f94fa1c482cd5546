"""Spans, windows and answers, against trying everything, and on whatever Unicode holds."""

import json

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import (
    BertForSequenceClassification,
    PreTrainedTokenizer,
    PreTrainedTokenizerFast,
    XLNetConfig,
    XLNetForQuestionAnsweringSimple,
)
from transformers.pipelines.pt_utils import KeyDataset

from course_lib.pipelines import QuestionAnsweringPipeline
from course_lib.pipelines.question_answering import as_examples
from course_lib.pipelines.spans import best_spans, probabilities
from tests.pipelines import small
from tests.pipelines.cases import CONTEXT, SHORT, WHERE, WHO

READERS = ("bert", "distilbert", "roberta", "camembert")


@pytest.fixture(scope="module", params=READERS)
def ask(request, make):
    return make("question-answering", request.param)


@pytest.fixture(scope="module")
def bert(make):
    return make("question-answering", "bert")


# -- against trying everything ---------------------------------------------------------------------


def softmax(values):
    weights = np.exp(values - values.max())
    return weights / weights.sum()


def every_answer(ask, question, context, top_k=1, longest=15, align=True, size=None, stride=None):
    """All spans of all windows, one by one in float64: a second way to the same answers."""
    tokenizer = ask.tokenizer
    encoded = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=size or 128,
        stride=stride or 0,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    best = {}
    for i, ids in enumerate(encoded["input_ids"]):
        inputs = {name: torch.tensor([encoded[name][i]]) for name in tokenizer.model_input_names}
        with torch.no_grad():
            output = ask.model(**inputs)
        inside = [t for t, of in enumerate(encoded.sequence_ids(i)) if of == 1]
        counted = inside + [t for t, token in enumerate(ids) if token == tokenizer.cls_token_id]
        start, end = (
            dict(zip(counted, softmax(logits[0].double().numpy()[counted]), strict=True))
            for logits in (output.start_logits, output.end_logits)
        )
        offsets, words = encoded["offset_mapping"][i], encoded.word_ids(i)

        def span(first, last, offsets=offsets, words=words, inside=inside):
            a, b = offsets[first][0], offsets[last][1]
            if align:
                a = min(offsets[t][0] for t in inside if words[t] == words[first])
                b = max(offsets[t][1] for t in inside if words[t] == words[last])
            return a, b

        blank = {t for t in inside if not context[slice(*span(t, t))].strip()}
        spans = [
            (start[first] * end[last], first, last)
            for first in inside
            for last in inside
            if first <= last < first + longest and not {first, last} & blank
        ]
        spans.sort(key=lambda found: (-found[0], found[1], found[2]))
        window = {}
        for score, first, last in spans[: 2 * top_k + 10 if align else top_k]:
            a, b = span(first, last)
            text = context[a:b]
            a, b = a + len(text) - len(text.lstrip()), b - len(text) + len(text.rstrip())
            new = {"score": 0.0, "start": a, "end": b, "answer": context[a:b]}
            window.setdefault(context[a:b].lower(), new)["score"] += score
        for key, answer in window.items():
            if key not in best or answer["score"] > best[key]["score"]:
                best[key] = answer
    return sorted(best.values(), key=lambda answer: (-answer["score"], answer["start"]))[:top_k]


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("context", [CONTEXT, SHORT])
def test_every_span_of_one_window(ask, context, align):
    wanted = every_answer(ask, WHERE, context, 5, longest=4, align=align)
    found = ask(question=WHERE, context=context, top_k=5, max_answer_len=4, align_to_words=align)
    assert [a["answer"] for a in found] == [a["answer"] for a in wanted]
    assert [a["start"] for a in found] == [a["start"] for a in wanted]
    assert [a["score"] for a in found] == pytest.approx([a["score"] for a in wanted], abs=1e-9)


@pytest.mark.parametrize(("size", "stride"), [(32, 4), (40, 0), (48, 20)])
def test_every_span_of_all_windows(ask, size, stride):
    sizes = {"max_seq_len": size, "doc_stride": stride}
    assert len(list(ask.preprocess({"question": WHO, "context": CONTEXT}, **sizes))) > 1
    # Words that no window holds whole are the pipeline's own affair; tokens are not.
    wanted = every_answer(ask, WHO, CONTEXT, 3, align=False, size=size, stride=stride)
    found = ask(question=WHO, context=CONTEXT, top_k=3, align_to_words=False, **sizes)
    assert [(a["start"], a["end"]) for a in found] == [(a["start"], a["end"]) for a in wanted]
    assert [a["score"] for a in found] == pytest.approx([a["score"] for a in wanted], abs=1e-9)


@given(st.integers(1, 12), st.integers(1, 15), st.integers(1, 30), st.integers(0, 10**6))
@settings(max_examples=200, deadline=None)
def test_best_spans(length, longest, count, seed):
    random = np.random.default_rng(seed)
    start, end = random.integers(0, 4, (2, length)) / 8.0  # many ties, many zeros
    pairs = [
        (first, last, start[first] * end[last])
        for first in range(length)
        for last in range(first, min(first + longest, length))
        if start[first] * end[last] > 0
    ]
    pairs.sort(key=lambda pair: (-pair[2], pair[0], pair[1]))
    assert best_spans(start, end, longest, count) == pairs[:count]


def test_probabilities_of_large_scores():
    scores = np.array([1e4, 1e4 - 1, -1e4, 5e4])
    counted = np.array([True, True, True, False])
    assert probabilities(scores, counted) == pytest.approx([0.731, 0.269, 0, 0], abs=1e-3)
    assert not probabilities(scores, ~counted & counted).any()


# -- whatever Unicode holds ------------------------------------------------------------------------

ODD = [
    "a\u0301\u0327e\u0308",  # combining marks
    "👩‍👩‍👧‍👦 🇫🇷 👍🏽",  # joined, flags, skin tones
    "zero\u200bwidth\u200d\ufeff",
    "שָׁלוֹם \u202eabc\u202c مرحبا",  # right to left
    "\x00\x07\x1b\x7f",
    "line\r\nline\rline\n\n\tline\u2028line\x85",
    "ﬁ ½ Ⅷ ﷺ ﬄ",  # one character, several after normalization
    "İstanbul ß ǅ",  # lower case is longer
    "中文字 日本語 한국어",
    "\u1100\u1161\u11a8 각",  # letters that compose
    "\xa0\u3000 \u2009",
    "[SEP] [CLS] <s> </s> <pad> ▁ Ġ",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \U0010ffff",
]
pieces = st.one_of(
    st.sampled_from(ODD),
    st.sampled_from(small.WORDS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
texts = st.lists(pieces, min_size=1, max_size=12).map(" ".join).filter(str.strip)


@given(
    context=texts,
    question=texts.map(lambda text: text[:20]).filter(str.strip),
    align=st.booleans(),
    impossible=st.booleans(),
    top_k=st.integers(1, 4),
    size=st.sampled_from([None, 120]),
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_answer_is_its_span(ask, context, question, align, impossible, top_k, size):
    found = ask(
        question=question,
        context=context,
        top_k=top_k,
        max_seq_len=size,
        max_question_len=30,
        align_to_words=align,
        handle_impossible_answer=impossible,
    )
    for answer in found if isinstance(found, list) else [found]:
        assert 0 <= answer["start"] <= answer["end"] <= len(context)
        assert context[answer["start"] : answer["end"]] == answer["answer"]
        assert answer["answer"] == answer["answer"].strip()
        assert -1e-12 <= answer["score"] <= 1 + 1e-9
    scores = [answer["score"] for answer in found] if isinstance(found, list) else []
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_texts_one_by_one(ask, odd):
    answer = ask(question="Who?", context=f"{odd} Ada {odd}")
    assert f"{odd} Ada {odd}"[answer["start"] : answer["end"]] == answer["answer"] != ""


def test_a_text_without_tokens(bert):
    answer = bert(question=WHO, context="\x00\u200b")  # BERT's normalizer leaves nothing
    assert answer == {"score": 0.0, "start": 0, "end": 0, "answer": ""}


# -- long texts ------------------------------------------------------------------------------------


def test_a_text_of_many_windows(ask):
    long = " ".join([CONTEXT] * 12)
    windows = list(ask.preprocess({"question": WHO, "context": long}))
    assert len(windows) > 3 and [w["is_last"] for w in windows][-2:] == [False, True]
    assert all(w["input_ids"].shape[1] <= 128 for w in windows)
    answer = ask(question=WHO, context=long)
    assert long[answer["start"] : answer["end"]] == answer["answer"]
    assert answer["score"] <= 1


def test_words_that_windows_cut_grow_whole(ask):
    context = "xylophonists " * 40
    sizes = {"max_seq_len": 60 if ask.tokenizer.vocab_size < 400 else 80, "doc_stride": 0}
    found = ask(question="Who?", context=context, top_k=50, max_answer_len=4, **sizes)
    found = found if isinstance(found, list) else [found]
    assert {word for answer in found for word in answer["answer"].split()} == {"xylophonists"}


def test_batches_of_windows(ask):
    case = {"question": [WHO, WHERE, "Where?"], "context": [CONTEXT * 3, SHORT, CONTEXT]}
    sizes = {"max_seq_len": 64, "doc_stride": 16, "top_k": 2}
    one_by_one = ask(**case, **sizes)
    for size in (2, 3, 50):
        together = ask(**case, **sizes, batch_size=size)
        for some, single in zip(together, one_by_one, strict=True):
            assert [a["answer"] for a in some] == [a["answer"] for a in single]
            assert [a["score"] for a in some] == pytest.approx(
                [a["score"] for a in single], abs=1e-6
            )


@pytest.fixture(scope="module")
def left(folders):
    """XLNet: its positions are relative, and it is padded on the left."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folders / "t5", padding_side="left")
    config = XLNetConfig(vocab_size=len(tokenizer), d_model=16, n_layer=1, n_head=2, d_inner=32)
    model = small.fill(XLNetForQuestionAnsweringSimple(config), seed=1)
    return QuestionAnsweringPipeline(model, tokenizer, device="cpu")


def test_a_tokenizer_that_pads_on_the_left(left):
    row = next(left.preprocess({"question": WHO, "context": SHORT}))
    text = left.tokenizer.decode(row["input_ids"][0])
    assert text.index("bridge") < text.index("who")  # the text comes first
    case = {"question": [WHO, "Where?"], "context": [CONTEXT, SHORT]}
    together, one_by_one = left(**case, batch_size=2), left(**case)
    for context, some, single in zip(case["context"], together, one_by_one, strict=True):
        assert context[some["start"] : some["end"]] == some["answer"] == single["answer"] != ""
        assert some["score"] == pytest.approx(single["score"], abs=1e-6)


def test_a_tokenizer_without_a_token_for_no_answer(left):
    found = left(question=WHO, context=SHORT, top_k=1000, handle_impossible_answer=True)
    assert found[-1] == {"score": 0.0, "start": 0, "end": 0, "answer": ""}


def test_padding_in_the_tokenizer(bert):
    case = {"question": WHO, "context": SHORT}
    assert bert(**case, padding="max_length", max_seq_len=100) == pytest.approx(bert(**case))


# -- parameters ------------------------------------------------------------------------------------


def test_answers_are_unique_and_ranked(ask):
    found = ask(question=WHO, context=CONTEXT, top_k=20)
    texts = [answer["answer"].lower() for answer in found]
    assert len(texts) == len(set(texts)) == 20
    spans = {(answer["start"], answer["end"]) for answer in found}
    assert len(spans) == 20


def test_the_longest_answer_counts_tokens(bert):
    for longest in (1, 2, 3):
        found = bert(question=WHO, context=CONTEXT, top_k=300, max_answer_len=longest,
                     align_to_words=False)  # fmt: skip
        lengths = {len(bert.tokenizer.tokenize(answer["answer"])) for answer in found}
        assert max(lengths) == longest


def test_no_answer(bert):
    found = bert(question=WHO, context=SHORT, top_k=500, handle_impossible_answer=True)
    nothing = [answer for answer in found if answer["answer"] == ""]
    assert len(nothing) == 1 and (nothing[0]["start"], nothing[0]["end"]) == (0, 0)
    assert bert(question=WHO, context=SHORT, top_k=500)[0]["answer"]


def test_the_question_can_be_cut(bert):
    rows = list(bert.preprocess({"question": "Who wrote letters?", "context": SHORT},
                                max_question_len=2))  # fmt: skip
    assert bert.tokenizer.decode(rows[0]["input_ids"][0]).startswith("[CLS] who wrote [SEP]")


def test_legacy_names(bert):
    with pytest.warns(UserWarning, match="topk is now called top_k"):
        assert len(bert(question=WHO, context=CONTEXT, topk=3)) == 3
    assert bert(data={"question": WHO, "context": SHORT}) == bert(question=WHO, context=SHORT)


def test_parameters_given_at_the_start(make):
    ask = make("question-answering", "bert", top_k=3, max_answer_len=1)
    assert len(ask(question=WHO, context=CONTEXT)) == 3
    assert isinstance(ask(question=WHO, context=CONTEXT, top_k=1), dict)


# -- inputs ----------------------------------------------------------------------------------------


class SquadExample:
    """As transformers has it."""

    question_text, context_text = WHO, SHORT


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), {"question": WHO, "context": SHORT}),
        (({"question": WHO, "context": SHORT},), {}),
        (({"question": WHO, "context": SHORT, "id": "7", "answers": {"text": []}},), {}),
        ((WHO, SHORT), {}),
        ((SquadExample(),), {}),
        (([{"question": WHO, "context": SHORT}],), {}),  # a list of one is one, as in 4.57
        ((), {"question": [WHO], "context": SHORT}),
    ],
)
def test_one_question(args, named, bert):
    assert bert(*args, **named) == bert(question=WHO, context=SHORT)


@pytest.mark.parametrize(
    "named",
    [
        {"question": [WHO, WHERE], "context": SHORT},
        {"question": (WHO, WHERE), "context": [SHORT, SHORT]},
        {"question": np.array([WHO, WHERE]), "context": SHORT},
    ],
)
def test_several_questions(named, bert):
    wanted = [bert(question=q, context=SHORT) for q in (WHO, WHERE)]
    assert bert(**named) == wanted


def test_one_question_of_several_texts(bert):
    wanted = [bert(question=WHO, context=c) for c in (SHORT, CONTEXT)]
    assert bert(question=WHO, context=[SHORT, CONTEXT]) == wanted


def test_a_table_of_datasets(bert):
    from datasets import Dataset

    table = Dataset.from_dict({"id": [1, 2], "question": [WHO, WHERE], "context": [SHORT] * 2})
    wanted = [bert(question=q, context=SHORT) for q in (WHO, WHERE)]
    assert bert(table) == wanted
    assert bert(question=table["question"], context=table["context"]) == wanted
    nested = [{"row": row} for row in table]
    assert list(bert(KeyDataset(nested, "row"))) == wanted


def test_a_generator_stays_lazy(bert):
    read = []

    def stream():
        for question in (WHO, WHERE, "Where?"):
            read.append(question)
            yield {"question": question, "context": CONTEXT}

    answers = iter(bert(stream(), max_seq_len=40))
    assert len(read) <= 1  # transformers looks at the first, in case it is a chat
    assert next(answers) == bert(question=WHO, context=CONTEXT, max_seq_len=40)
    assert len(read) == 1  # the windows of the next question are not asked for yet
    assert len(list(answers)) == 2


def test_no_questions(bert):
    assert bert([]) == [] and bert(question=[], context=SHORT) == []


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "kind", "message"),
    [
        ({"question": "", "context": SHORT}, ValueError, "the question is empty"),
        ({"question": WHO, "context": " \n"}, ValueError, "the context is empty"),
        ({"question": WHO}, ValueError, "call with question= and context="),
        ({"question": 3, "context": SHORT}, TypeError, "the question is no string but int: 3"),
        ({"question": WHO, "context": None}, ValueError, "a question needs a text"),
        (
            {"question": [WHO, ""], "context": SHORT},
            ValueError,
            "the question of question 1 is empty",
        ),
        (
            {"question": [WHO, WHO], "context": [SHORT, None]},
            TypeError,
            "the context of question 1 is no string but NoneType",
        ),
        ({"question": [WHO], "context": [SHORT] * 2}, ValueError, "got 1 questions and 2 texts"),
        ({"question": WHO, "context": "a\ud800"}, ValueError, "half of a surrogate pair"),
        ({"doc_stride": 500}, ValueError, "doc_stride, the overlap of two windows, is less than"),
        ({"doc_stride": -1}, ValueError, "doc_stride is a whole number, 0 or more; got -1"),
        ({"top_k": 0}, ValueError, "top_k is a whole number, 1 or more; got 0"),
        ({"max_answer_len": 1.5}, ValueError, "max_answer_len is a whole number"),
        ({"max_seq_len": 129}, ValueError, "max_seq_len is at most 128"),
        ({"max_seq_len": 6}, ValueError, "leaves no room for the text in a window of 6"),
        ({"question": "who " * 130}, ValueError, "the question has 130 tokens and leaves no room"),
        ({"batch_size": 0}, ValueError, "batch_size is a whole number"),
        ({"top_n": 3}, TypeError, "no parameter 'top_n' (did you mean 'top_k'?)"),
    ],
)
def test_errors(named, kind, message, bert, monkeypatch):
    monkeypatch.setattr(bert.model, "forward", lambda *a, **k: pytest.fail("work had begun"))
    case = named if "question" in named else {"question": WHO, "context": SHORT, **named}
    with pytest.raises(kind) as raised:
        bert(**case if "context" in case or named == {"question": WHO}
             else {**case, "context": SHORT})  # fmt: skip
    assert message in str(raised.value)


def test_a_row_without_a_text(bert):
    with pytest.raises(KeyError, match="question 1 has no 'context', only 'question', 'text'"):
        bert([{"question": WHO, "context": SHORT}, {"question": WHO, "text": SHORT}])
    with pytest.raises(ValueError, match="comes as a dictionary"):
        as_examples(([WHO],), None, None)


def test_a_model_for_something_else(bert, folders):
    config = bert.model.config
    with pytest.raises(ValueError, match="got BertForSequenceClassification"):
        QuestionAnsweringPipeline(BertForSequenceClassification(config), bert.tokenizer)
    with pytest.raises(ValueError, match="without its tokenizer"):
        QuestionAnsweringPipeline(bert.model)


def test_a_slow_tokenizer(bert):
    class Slow(PreTrainedTokenizer):
        vocab_size = 1

        def get_vocab(self):
            return {"a": 0}

    with pytest.raises(ValueError, match="Slow cannot say which characters a token stands for"):
        QuestionAnsweringPipeline(bert.model, Slow())


def test_the_answer_is_json(bert):
    answer = bert(question=WHO, context=CONTEXT, top_k=2)
    assert json.loads(json.dumps(answer)) == answer


def test_half_precision(bert, make):
    ask = make("question-answering", "bert", dtype=torch.bfloat16)
    assert ask.model.dtype == torch.bfloat16
    answer = ask(question=WHO, context=CONTEXT)
    assert CONTEXT[answer["start"] : answer["end"]] == answer["answer"]
