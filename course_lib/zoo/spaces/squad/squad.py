"""The metric of SQuAD 1.1: exact match and F1 of answers, in percent."""

import re
import string
import warnings
from collections import Counter

import datasets
import evaluate

_DESCRIPTION = """
The scores of the question-answering benchmark SQuAD 1.1. Both forgive letter case, punctuation and
English articles. Of several reference answers the best counts for each question.
"""

_INPUTS = """
Args:
    predictions (list of dict): for each question its 'id' and the answer, 'prediction_text'.
    references (list of dict): for each question its 'id' and 'answers', a dictionary with the lists
        'text' and 'answer_start', as in the data set. The positions do not count.

Returns:
    exact_match (float): percent of the questions with exactly a reference's words.
    f1 (float): mean over the questions, in percent, of the F1 of the words shared with a reference.

Examples:
    >>> metric = evaluate.load("squad")
    >>> metric.compute(
    ...     predictions=[{"id": "1", "prediction_text": "the Nile"}],
    ...     references=[{"id": "1", "answers": {"text": ["Nile"], "answer_start": [0]}}])
    {'exact_match': 100.0, 'f1': 100.0}
"""

_CITATION = """
@inproceedings{rajpurkar2016squad,
  title={{SQuAD}: 100,000+ Questions for Machine Comprehension of Text},
  author={Rajpurkar, Pranav and Zhang, Jian and Lopyrev, Konstantin and Liang, Percy},
  booktitle={EMNLP}, year={2016}
}
"""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLE = re.compile(r"\b(a|an|the)\b")


def words(answer):
    """The words that count: lower case, without ASCII punctuation, without English articles."""
    return _ARTICLE.sub(" ", answer.lower().translate(_PUNCTUATION)).split()


def exact_match(answer, truth):
    """Whether the words are the same, in the same order."""
    return words(answer) == words(truth)


def f1(answer, truth):
    """Harmonic mean of the shares of words in common; 0 if there are none, so two empty answers too."""
    answer, truth = words(answer), words(truth)
    common = sum((Counter(answer) & Counter(truth)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(answer), common / len(truth)
    return 2 * precision * recall / (precision + recall)


class Squad(evaluate.Metric):
    """Exact match and F1 as the official script of SQuAD 1.1 defines them."""

    def _info(self):
        text = datasets.Value("string")
        answers = {
            "text": datasets.Sequence(text),
            "answer_start": datasets.Sequence(datasets.Value("int32")),
        }
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features(
                {
                    "predictions": {"id": text, "prediction_text": text},
                    "references": {"id": text, "answers": answers},
                }
            ),
            codebase_urls=["https://rajpurkar.github.io/SQuAD-explorer/"],
            reference_urls=["https://rajpurkar.github.io/SQuAD-explorer/"],
        )

    def _compute(self, predictions, references):
        if len(references) == 0:
            raise ValueError("squad needs at least one question; got an empty list.")
        answers = {answer["id"]: answer["prediction_text"] for answer in predictions}
        matched, overlap = 0, 0.0
        for question in references:
            name, truths = question["id"], question["answers"]["text"]
            if name not in answers:
                warnings.warn(
                    f"question {name!r} has no prediction: it counts as wrong", stacklevel=2
                )
                continue
            if not truths:
                raise ValueError(
                    f"question {name!r} has no reference answer: squad is for SQuAD 1.1, where every "
                    "question has one."
                )
            matched += max(exact_match(answers[name], truth) for truth in truths)
            overlap += max(f1(answers[name], truth) for truth in truths)
        return {
            "exact_match": 100.0 * matched / len(references),
            "f1": 100.0 * overlap / len(references),
        }
