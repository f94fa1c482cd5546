"""F1: the harmonic mean of precision and recall."""

import datasets
import evaluate
from sklearn.metrics import f1_score

_DESCRIPTION = """
The F1 score is the harmonic mean of precision and recall:
F1 = 2 * (precision * recall) / (precision + recall).
"""

_INPUTS = """
Args:
    predictions (list of int): predicted labels.
    references (list of int): true labels.
    labels (list of int): the labels to include when `average` is not 'binary'. Default: None (all).
    pos_label (int): the class whose score is given when `average` is 'binary'. Default: 1.
    average (str): 'binary', 'micro', 'macro', 'weighted', 'samples', or None for one score per
        class. Default: 'binary'.
    sample_weight (list of float): a weight for each example. Default: None.

Returns:
    f1 (float, or array of float if `average` is None): between 0 and 1.

Examples:
    >>> metric = evaluate.load("f1")
    >>> metric.compute(references=[0, 1, 0, 1, 0], predictions=[0, 0, 1, 1, 0])
    {'f1': 0.5}
"""

_CITATION = """
@article{scikit-learn,
  title={Scikit-learn: Machine Learning in {P}ython},
  author={Pedregosa, F. and others},
  journal={Journal of Machine Learning Research},
  volume={12}, pages={2825--2830}, year={2011}
}
"""


class F1(evaluate.Metric):
    """F1 as scikit-learn computes it; configuration `multilabel` takes lists of labels."""

    def _info(self):
        label = datasets.Value("int32")
        value = datasets.Sequence(label) if self.config_name == "multilabel" else label
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": value, "references": value}),
            reference_urls=[
                "https://scikit-learn.org/stable/modules/generated/sklearn.metrics.f1_score.html"
            ],
        )

    def _compute(
        self,
        predictions,
        references,
        labels=None,
        pos_label=1,
        average="binary",
        sample_weight=None,
    ):
        score = f1_score(
            references,
            predictions,
            labels=labels,
            pos_label=pos_label,
            average=average,
            sample_weight=sample_weight,
        )
        return {"f1": score if average is None else float(score)}
