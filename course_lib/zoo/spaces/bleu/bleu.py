"""BLEU: n-grams in common with references, by the definition of TensorFlow's NMT script."""

import math
from collections import Counter

import datasets
import evaluate
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

_DESCRIPTION = """
BLEU multiplies the geometric mean of four precisions (of words, and of runs of two, three and four
words, counted over the whole test set) by a penalty for predictions shorter than their references.
It goes from 0 to 1.
"""

_INPUTS = """
Args:
    predictions (list of str): translations.
    references (list of list of str, or list of str): the references of each translation; their number
        may differ.
    tokenizer (function): from a text to a list of tokens. Default: mteval-v13a, as in WMT.
    max_order (int): the longest n-grams. Default: 4.
    smooth (bool): add one to matches and n-grams of every order (Lin and Och 2004). Default: False.

Returns:
    bleu (float): between 0 and 1.
    precisions (list of float): for n = 1 to max_order.
    brevity_penalty (float): 1, or less if the predictions are too short.
    length_ratio (float): tokens of the predictions over tokens of the references.
    translation_length, reference_length (int): in tokens; of several references, the shortest counts.

Examples:
    >>> metric = evaluate.load("bleu")
    >>> metric.compute(predictions=["a cat sat down"], references=[["a cat sat down"]])["bleu"]
    1.0
"""

_CITATION = """
@inproceedings{papineni2002bleu,
  title={{BLEU}: a Method for Automatic Evaluation of Machine Translation},
  author={Papineni, Kishore and Roukos, Salim and Ward, Todd and Zhu, Wei-Jing},
  booktitle={ACL}, pages={311--318}, year={2002}
}
@inproceedings{lin-och-2004-orange,
  title={{ORANGE}: a Method for Evaluating Automatic Evaluation Metrics for Machine Translation},
  author={Lin, Chin-Yew and Och, Franz Josef},
  booktitle={COLING}, pages={501--507}, year={2004}
}
"""

_WORDS_13A = Tokenizer13a()


def tokenize_13a(text):
    """The tokens of WMT's script mteval-v13a."""
    return _WORDS_13A(text).split()


def ngrams(tokens, order):
    """How often each run of `order` tokens occurs."""
    return Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))


def matches(prediction, references, order):
    """N-grams of the prediction that a reference has, each as often as the reference that has it most."""
    most = Counter()
    for reference in references:
        most |= ngrams(reference, order)
    return sum((ngrams(prediction, order) & most).values())


class Bleu(evaluate.Metric):
    """BLEU between 0 and 1."""

    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=[
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                datasets.Features({"predictions": text, "references": text}),
            ],
            codebase_urls=["https://github.com/tensorflow/nmt/blob/master/nmt/scripts/bleu.py"],
            reference_urls=["https://aclanthology.org/P02-1040"],
        )

    def compute(self, *, predictions=None, references=None, **kwargs):
        """The scores of all predictions, these and those of `add` and `add_batch`."""
        if predictions is not None and len(predictions) == 0:
            raise ValueError("bleu needs at least one prediction; got an empty list.")
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(self, predictions, references, tokenizer=tokenize_13a, max_order=4, smooth=False):
        if isinstance(references[0], str):
            references = [[reference] for reference in references]
        for number, of_one in enumerate(references):
            if not of_one:
                raise ValueError(f"prediction {number} has no reference: bleu needs at least one.")
        predicted = [tokenizer(text) for text in predictions]
        truths = [[tokenizer(text) for text in of_one] for of_one in references]
        length = sum(map(len, predicted))
        reference_length = sum(min(map(len, of_one)) for of_one in truths)

        precisions = []
        for order in range(1, max_order + 1):
            pairs = zip(predicted, truths, strict=True)
            hits = sum(matches(tokens, of_one, order) for tokens, of_one in pairs) + smooth
            possible = sum(max(len(tokens) - order + 1, 0) for tokens in predicted) + smooth
            precisions.append(hits / possible if possible else 0.0)
        mean = math.exp(sum(map(math.log, precisions)) / max_order) if all(precisions) else 0.0

        if not length or not reference_length:
            ratio = penalty = 0.0  # nothing was said, or nothing was to be said
        else:
            ratio = length / reference_length
            penalty = 1.0 if ratio > 1 else math.exp(1 - 1 / ratio)
        return {
            "bleu": mean * penalty,
            "precisions": precisions,
            "brevity_penalty": penalty,
            "length_ratio": ratio,
            "translation_length": length,
            "reference_length": reference_length,
        }
