"""The metrics of the GLUE benchmark: each of its tasks has its own."""

import datasets
import evaluate
from scipy.stats import pearsonr
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score
from sklearn.metrics import matthews_corrcoef

_DESCRIPTION = """
GLUE, the General Language Understanding Evaluation benchmark (https://gluebenchmark.com), is a
collection of nine tasks. This metric computes what the benchmark reports for the chosen one.
"""

_INPUTS = """
Args:
    predictions (list of int, of float for stsb): predicted labels or scores.
    references (list of int, of float for stsb): true labels or scores.

Returns, by task:
    accuracy: sst2, mnli, mnli_mismatched, mnli_matched, qnli, rte, wnli, hans
    accuracy and f1: mrpc, qqp
    pearson and spearmanr: stsb
    matthews_correlation: cola

Examples:
    >>> metric = evaluate.load("glue", "mrpc")
    >>> metric.compute(references=[0, 1], predictions=[0, 1])
    {'accuracy': 1.0, 'f1': 1.0}
"""

_CITATION = """
@inproceedings{wang2019glue,
  title={{GLUE}: A Multi-Task Benchmark and Analysis Platform for Natural Language Understanding},
  author={Wang, Alex and Singh, Amanpreet and Michael, Julian and Hill, Felix and Levy, Omer and
          Bowman, Samuel R.},
  booktitle={International Conference on Learning Representations},
  year={2019}
}
"""


def _accuracy(predictions, references):
    return {"accuracy": float(accuracy_score(references, predictions))}


def _accuracy_and_f1(predictions, references):
    return {
        **_accuracy(predictions, references),
        "f1": float(f1_score(references, predictions)),
    }


def _correlations(predictions, references):
    return {
        "pearson": float(pearsonr(predictions, references).statistic),
        "spearmanr": float(spearmanr(predictions, references).statistic),
    }


def _matthews(predictions, references):
    return {"matthews_correlation": float(matthews_corrcoef(references, predictions))}


TASKS = {
    "sst2": _accuracy,
    "mnli": _accuracy,
    "mnli_mismatched": _accuracy,
    "mnli_matched": _accuracy,
    "cola": _matthews,
    "stsb": _correlations,
    "mrpc": _accuracy_and_f1,
    "qqp": _accuracy_and_f1,
    "qnli": _accuracy,
    "rte": _accuracy,
    "wnli": _accuracy,
    "hans": _accuracy,
}


class Glue(evaluate.Metric):
    """The metric of the GLUE task that the configuration names."""

    def _info(self):
        if self.config_name not in TASKS:
            raise KeyError(
                f"evaluate.load('glue', TASK) needs one of the tasks {', '.join(TASKS)}; "
                f"got {self.config_name!r}."
            )
        value = datasets.Value("float32" if self.config_name == "stsb" else "int64")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": value, "references": value}),
            codebase_urls=["https://github.com/nyu-mll/GLUE-baselines"],
            reference_urls=["https://gluebenchmark.com"],
            format="numpy",
        )

    def _compute(self, predictions, references):
        return TASKS[self.config_name](predictions, references)
