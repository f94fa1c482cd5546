"""SacreBLEU: the BLEU of a whole test set on plain text, comparable between papers."""

import datasets
import evaluate
from sacrebleu import corpus_bleu

_DESCRIPTION = """
SacreBLEU computes corpus BLEU on plain text and splits the words itself, always in the same way, so
that scores of different systems and papers can be compared. It goes from 0 to 100.
"""

_INPUTS = """
Args:
    predictions (list of str): translations, as plain text.
    references (list of list of str, or list of str): the references of each prediction; every
        prediction has the same number of them.
    smooth_method (str): 'exp', 'floor', 'add-k' or 'none': what to do about an n-gram order without a
        match. Default: 'exp'.
    smooth_value (float): for 'floor' (default 0.1) and 'add-k' (default 1).
    force (bool): do not warn about text that looks split into words already. Default: False.
    lowercase (bool): compare in lower case. Default: False.
    tokenize (str): 'none', '13a', 'intl', 'char', 'zh', 'ja-mecab' ... Default: '13a'.
    use_effective_order (bool): leave out n-gram orders that the text is too short for; for a score of
        single sentences. Default: False.

Returns:
    score (float): BLEU, 0 to 100.
    counts, totals (list of int): matched and all n-grams of the predictions, for n = 1 to 4.
    precisions (list of float): their shares in percent, smoothed.
    bp (float): brevity penalty.
    sys_len, ref_len (int): length of the predictions and of the closest references, in tokens.

Examples:
    >>> metric = evaluate.load("sacrebleu")
    >>> metric.compute(predictions=["The cat sat down."], references=[["The cat sat down."]])["score"]
    100.00000000000004
"""

_CITATION = """
@inproceedings{post-2018-call,
  title={A Call for Clarity in Reporting {BLEU} Scores},
  author={Post, Matt},
  booktitle={Proceedings of the Third Conference on Machine Translation: Research Papers},
  pages={186--191}, year={2018}
}
"""


class Sacrebleu(evaluate.Metric):
    """BLEU as the library sacrebleu computes it."""

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
            codebase_urls=["https://github.com/mjpost/sacreBLEU"],
            reference_urls=["https://aclanthology.org/W18-6319"],
        )

    def compute(self, *, predictions=None, references=None, **kwargs):
        """The scores of all predictions, these and those of `add` and `add_batch`."""
        if predictions is not None and len(predictions) == 0:
            raise ValueError("sacrebleu needs at least one prediction; got an empty list.")
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(
        self,
        predictions,
        references,
        smooth_method="exp",
        smooth_value=None,
        force=False,
        lowercase=False,
        tokenize=None,
        use_effective_order=False,
    ):
        if isinstance(references[0], str):
            references = [[reference] for reference in references]
        count = len(references[0])
        for number, of_one in enumerate(references):
            if len(of_one) != count or not of_one:
                raise ValueError(
                    "sacrebleu needs the same number of references for each prediction, at least "
                    f"one; got {count} for the first and {len(of_one)} for number {number + 1}."
                )
        options = {} if tokenize is None else {"tokenize": tokenize}
        found = corpus_bleu(
            predictions,
            [list(column) for column in zip(*references, strict=True)],  # one list per position
            smooth_method=smooth_method,
            smooth_value=smooth_value,
            force=force,
            lowercase=lowercase,
            use_effective_order=use_effective_order,
            **options,
        )
        names = ("score", "counts", "totals", "precisions", "bp", "sys_len", "ref_len")
        return {name: getattr(found, name) for name in names}
