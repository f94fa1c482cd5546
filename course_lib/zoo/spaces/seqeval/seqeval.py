"""seqeval: precision, recall and F1 of whole entities, from one tag for each token."""

import datasets
import evaluate
import seqeval.scheme
from seqeval.metrics import accuracy_score
from seqeval.metrics import classification_report

_DESCRIPTION = """
seqeval judges a tagger (names, chunks) by entities: one counts as found only if its type, its first
and its last token are right. It reads the schemes IOB1, IOB2, IOE1, IOE2, IOBES and BILOU.
"""

_INPUTS = """
Args:
    predictions (list of list of str): predicted tags, such as 'B-PER', 'I-PER', 'O'.
    references (list of list of str): true tags, as many for each sentence.
    suffix (bool): the letter stands behind the type ('PER-B'). Default: False.
    scheme (str): 'IOB1', 'IOB2', 'IOE1', 'IOE2', 'IOBES' or 'BILOU', for `mode='strict'`. Default: None.
    mode (str): 'strict' counts only entities whose tags follow the scheme; None reads what can be read,
        as the conlleval script does. Default: None.
    sample_weight (list of int): a weight for each entity type. Default: None.
    zero_division (0, 1 or 'warn'): the value where there is nothing to divide by. Default: 'warn', 0
        with a warning.

Returns:
    for each type of entity: a dictionary with precision, recall, f1 and number, how often it is true.
    overall_precision, overall_recall, overall_f1 (float): of all entities together.
    overall_accuracy (float): the share of tokens with the right tag.

Examples:
    >>> metric = evaluate.load("seqeval")
    >>> found = metric.compute(predictions=[["B-PER", "O"]], references=[["B-PER", "I-PER"]])
    >>> found["overall_f1"], found["overall_accuracy"]
    (0.0, 0.5)
"""

_CITATION = """
@misc{seqeval,
  title={{seqeval}: A Python framework for sequence labeling evaluation},
  author={Hiroki Nakayama}, year={2018},
  url={https://github.com/chakki-works/seqeval}
}
@inproceedings{ramshaw-marcus-1995-text,
  title={Text Chunking using Transformation-Based Learning},
  author={Ramshaw, Lance and Marcus, Mitch},
  booktitle={Third Workshop on Very Large Corpora}, year={1995}
}
"""

SCHEMES = ("IOB1", "IOB2", "IOE1", "IOE2", "IOBES", "BILOU")


class Seqeval(evaluate.Metric):
    """Scores of entities as the library seqeval computes them."""

    def _info(self):
        tags = datasets.Sequence(datasets.Value("string"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": tags, "references": tags}),
            codebase_urls=["https://github.com/chakki-works/seqeval"],
            reference_urls=["https://github.com/chakki-works/seqeval"],
        )

    def _compute(
        self,
        predictions,
        references,
        suffix=False,
        scheme=None,
        mode=None,
        sample_weight=None,
        zero_division="warn",
    ):
        if len(predictions) == 0:
            raise ValueError("seqeval needs at least one sentence; got an empty list.")
        for number, (tags, truth) in enumerate(zip(predictions, references, strict=True)):
            if len(tags) != len(truth):
                raise ValueError(
                    "seqeval needs one predicted tag for each true one; sentence "
                    f"{number} has {len(tags)} and {len(truth)}."
                )
        if scheme is not None and scheme not in SCHEMES:
            raise ValueError(f"scheme is one of {', '.join(SCHEMES)}; got {scheme!r}.")
        report = classification_report(
            y_true=references,
            y_pred=predictions,
            suffix=suffix,
            output_dict=True,
            scheme=None if scheme is None else getattr(seqeval.scheme, scheme),
            mode=mode,
            sample_weight=sample_weight,
            zero_division=zero_division,
        )
        overall = report.pop("micro avg")
        del report["macro avg"], report["weighted avg"]
        scores = {
            name: {
                "precision": float(score["precision"]),
                "recall": float(score["recall"]),
                "f1": float(score["f1-score"]),
                "number": int(score["support"]),
            }
            for name, score in report.items()
        }
        return scores | {
            "overall_precision": float(overall["precision"]),
            "overall_recall": float(overall["recall"]),
            "overall_f1": float(overall["f1-score"]),
            "overall_accuracy": float(accuracy_score(references, predictions)),
        }
