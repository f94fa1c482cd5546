"""Exact match: the share of texts that equal their reference."""

import re
import string

import datasets
import evaluate

_DESCRIPTION = """
The share of predicted texts that equal their reference, letter by letter, after removing what you ask
to ignore.
"""

_INPUTS = """
Args:
    predictions (list of str): predicted texts.
    references (list of str): true texts.
    regexes_to_ignore (list of str): regular expressions whose matches are removed first. Default: None.
    ignore_case (bool): compare in lower case. Default: False.
    ignore_punctuation (bool): remove ASCII punctuation. Default: False.
    ignore_numbers (bool): remove the digits 0 to 9. Default: False.

Returns:
    exact_match (float): between 0 and 1.

Examples:
    >>> metric = evaluate.load("exact_match")
    >>> metric.compute(predictions=["Yes.", "no"], references=["yes", "no"])
    {'exact_match': 0.5}
"""

_CITATION = ""


class ExactMatch(evaluate.Metric):
    """The share of equal texts."""

    def _info(self):
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": text, "references": text}),
        )

    def _compute(
        self,
        predictions,
        references,
        regexes_to_ignore=None,
        ignore_case=False,
        ignore_punctuation=False,
        ignore_numbers=False,
    ):
        if len(predictions) == 0:
            raise ValueError("exact_match needs at least one prediction; got an empty list.")
        if isinstance(regexes_to_ignore, str):
            raise TypeError(
                f"regexes_to_ignore is a list of regular expressions; got {regexes_to_ignore!r}."
            )
        ignored = string.punctuation * ignore_punctuation + string.digits * ignore_numbers
        table = str.maketrans("", "", ignored)

        def kept(text):
            for regex in regexes_to_ignore or ():
                text = re.sub(regex, "", text)
            return (text.lower() if ignore_case else text).translate(table)

        pairs = zip(predictions, references, strict=True)
        equal = sum(kept(prediction) == kept(reference) for prediction, reference in pairs)
        return {"exact_match": equal / len(predictions)}
