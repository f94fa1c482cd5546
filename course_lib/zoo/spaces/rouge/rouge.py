"""ROUGE: how much of a reference's words, pairs and order a summary has."""

import datasets
import evaluate
from rouge_score import rouge_scorer
from rouge_score import scoring

_DESCRIPTION = """
ROUGE compares a summary with one that a person wrote: single words (rouge1), pairs of words (rouge2),
and the longest run of words in the same order, gaps allowed (rougeL; rougeLsum line by line). The
numbers are F1 scores from 0 to 1. Letter case does not count.
"""

_INPUTS = """
Args:
    predictions (list of str): summaries. For rougeLsum, one sentence a line.
    references (list of str, or list of list of str): one reference for each summary, or several, of
        which the best counts.
    rouge_types (list of str): of 'rouge1' to 'rouge9', 'rougeL', 'rougeLsum'. Default: rouge1, rouge2,
        rougeL and rougeLsum.
    use_aggregator (bool): one number for all summaries, the median of the means of 1,000 random
        resamplings, instead of a list with one number for each. Default: True.
    use_stemmer (bool): compare words without their endings (Porter). Default: False.
    tokenizer (function): from a text to a list of tokens. Default: runs of the letters a-z and digits.

Returns:
    rouge1, rouge2, rougeL, rougeLsum (float, or list of float without the aggregator): F1.

Examples:
    >>> metric = evaluate.load("rouge")
    >>> metric.compute(predictions=["hello there"], references=["hello there"])["rougeL"]
    1.0
"""

_CITATION = """
@inproceedings{lin-2004-rouge,
  title={{ROUGE}: A Package for Automatic Evaluation of Summaries},
  author={Lin, Chin-Yew},
  booktitle={Text Summarization Branches Out},
  pages={74--81}, year={2004}
}
"""

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class _Tokenizer:
    """What rouge_score wants: an object with the function as its method `tokenize`."""

    def __init__(self, tokenize):
        self.tokenize = tokenize


class Rouge(evaluate.Metric):
    """ROUGE F1 as Google's rouge_score computes it."""

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
            codebase_urls=["https://github.com/google-research/google-research/tree/master/rouge"],
            reference_urls=["https://aclanthology.org/W04-1013"],
        )

    def compute(self, *, predictions=None, references=None, **kwargs):
        """The scores of all predictions, these and those of `add` and `add_batch`."""
        if predictions is not None and len(predictions) == 0:
            raise ValueError("rouge needs at least one prediction; got an empty list.")
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(
        self,
        predictions,
        references,
        rouge_types=None,
        use_aggregator=True,
        use_stemmer=False,
        tokenizer=None,
    ):
        scorer = rouge_scorer.RougeScorer(
            rouge_types=list(TYPES if rouge_types is None else rouge_types),
            use_stemmer=use_stemmer,
            tokenizer=None if tokenizer is None else _Tokenizer(tokenizer),
        )
        scores = []
        for number, (prediction, reference) in enumerate(zip(predictions, references, strict=True)):
            if isinstance(reference, str):
                scores.append(scorer.score(reference, prediction))
            elif reference:
                scores.append(scorer.score_multi(reference, prediction))
            else:
                raise ValueError(f"prediction {number} has no reference: rouge needs at least one.")
        if not use_aggregator:
            return {name: [score[name].fmeasure for score in scores] for name in scores[0]}
        aggregator = scoring.BootstrapAggregator()
        for score in scores:
            aggregator.add_scores(score)
        return {name: float(bounds.mid.fmeasure) for name, bounds in aggregator.aggregate().items()}
