"""Accuracy: the share of predictions that equal their reference."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score

_DESCRIPTION = """
Accuracy is the share of predictions that equal their reference:
accuracy = (number of correct predictions) / (number of predictions).
"""

_INPUTS = """
Args:
    predictions (list of int): predicted labels.
    references (list of int): true labels.
    normalize (bool): if False, the number of correct predictions instead of the share. Default: True.
    sample_weight (list of float): a weight for each example. Default: None.

Returns:
    accuracy (float): between 0 and 1, or a number of examples (or weights) if `normalize` is False.

Examples:
    >>> metric = evaluate.load("accuracy")
    >>> metric.compute(references=[0, 1, 2, 0], predictions=[0, 1, 1, 0])
    {'accuracy': 0.75}
"""

_CITATION = """
@article{scikit-learn,
  title={Scikit-learn: Machine Learning in {P}ython},
  author={Pedregosa, F. and others},
  journal={Journal of Machine Learning Research},
  volume={12}, pages={2825--2830}, year={2011}
}
"""


class Accuracy(evaluate.Metric):
    """Accuracy as scikit-learn computes it; configuration `multilabel` takes lists of labels."""

    def _info(self):
        label = datasets.Value("int32")
        value = datasets.Sequence(label) if self.config_name == "multilabel" else label
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": value, "references": value}),
            reference_urls=[
                "https://scikit-learn.org/stable/modules/generated/sklearn.metrics.accuracy_score.html"
            ],
        )

    def _compute(self, predictions, references, normalize=True, sample_weight=None):
        score = accuracy_score(
            references, predictions, normalize=normalize, sample_weight=sample_weight
        )
        return {"accuracy": float(score)}
