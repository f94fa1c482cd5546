"""Metrics of labels give scikit-learn's and SciPy's numbers, through `evaluate`."""

import warnings

import evaluate
import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as sk

from course_lib.metrics import compute_metrics_for, metric_script

TRIALS = range(6)
ACCURACY_TASKS = "sst2 mnli mnli_mismatched mnli_matched qnli rte wnli hans".split()


def sample(seed: int, classes: int = 2):
    rng = np.random.default_rng(seed)
    predictions, references = rng.integers(0, classes, (2, int(rng.integers(2, 60))))
    return {"predictions": predictions, "references": references}


@pytest.mark.parametrize("seed", TRIALS)
def test_accuracy(seed, load):
    rng, data = np.random.default_rng(seed), sample(seed, classes=4)
    weights = rng.random(len(data["references"]))
    truth, guess = data["references"], data["predictions"]
    metric = load("accuracy")
    assert metric.compute(**data) == {"accuracy": sk.accuracy_score(truth, guess)}
    count = metric.compute(**data, normalize=False)["accuracy"]
    assert count == sk.accuracy_score(truth, guess, normalize=False)
    weighted = metric.compute(**data, sample_weight=weights.tolist())["accuracy"]
    assert weighted == pytest.approx(sk.accuracy_score(truth, guess, sample_weight=weights))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("seed", TRIALS)
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
def test_f1_of_several_classes(seed, average, load):
    data = sample(seed, classes=4)
    expected = sk.f1_score(data["references"], data["predictions"], average=average)
    assert load("f1").compute(**data, average=average)["f1"] == pytest.approx(expected)
    some = sk.f1_score(data["references"], data["predictions"], average=average, labels=[0, 2])
    assert load("f1").compute(**data, average=average, labels=[0, 2])["f1"] == pytest.approx(some)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("seed", TRIALS)
def test_f1_of_two_classes(seed, load):
    data, rng = sample(seed), np.random.default_rng(seed)
    weights = rng.random(len(data["references"]))
    for options in ({}, {"pos_label": 0}, {"sample_weight": weights.tolist()}):
        expected = sk.f1_score(data["references"], data["predictions"], **options)
        assert load("f1").compute(**data, **options)["f1"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["accuracy", "f1"])
def test_lists_of_labels(name, load):
    truth, guess = [[0, 1], [1, 1], [1, 0]], [[0, 1], [1, 0], [1, 0]]
    options = {"average": "macro"} if name == "f1" else {}
    expected = (
        sk.f1_score(truth, guess, average="macro")
        if name == "f1"
        else sk.accuracy_score(np.array(truth), np.array(guess))
    )
    found = load(name, "multilabel").compute(predictions=guess, references=truth, **options)
    assert found[name] == pytest.approx(expected)


@pytest.mark.parametrize("task", ACCURACY_TASKS)
def test_glue_by_accuracy(task, load):
    data = sample(3, classes=3)
    expected = sk.accuracy_score(data["references"], data["predictions"])
    assert load("glue", task).compute(**data) == {"accuracy": expected}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("seed", TRIALS)
def test_glue_by_its_own_numbers(seed, load):
    data, rng = sample(seed), np.random.default_rng(seed)
    truth, guess = data["references"], data["predictions"]
    for task in ("mrpc", "qqp"):
        found = load("glue", task).compute(**data)
        assert found == pytest.approx(
            {"accuracy": sk.accuracy_score(truth, guess), "f1": sk.f1_score(truth, guess)}
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matthews = sk.matthews_corrcoef(truth, guess)
        found = load("glue", "cola").compute(**data)
    assert found == pytest.approx({"matthews_correlation": matthews})
    size = int(rng.integers(3, 60))
    scores, grades = rng.normal(size=size), rng.random(size) * 5
    found = load("glue", "stsb").compute(predictions=scores, references=grades)
    # The metric holds float32.
    assert found["pearson"] == pytest.approx(pearsonr(scores, grades).statistic, abs=1e-5)
    assert found["spearmanr"] == pytest.approx(spearmanr(scores, grades).statistic, abs=1e-5)


@pytest.mark.parametrize("config", [None, "squad"])
def test_glue_without_a_task(config):
    with pytest.raises(KeyError, match="needs one of the tasks sst2, mnli"):
        evaluate.load(metric_script("glue"), config)


def test_compute_metrics_for_a_trainer():
    compute = compute_metrics_for("mrpc", metric_script("glue"))
    logits = np.array([[3.0, 1.0], [0.0, 2.0], [1.0, 5.0]])
    assert compute((logits, np.array([0, 1, 0])))["accuracy"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="the course has the metrics"):
        metric_script("meteor")
