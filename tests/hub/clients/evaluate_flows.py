"""evaluate against the Hub that HF_ENDPOINT names."""

import evaluate
from huggingface_hub import HfApi

SCRIPT = """
import datasets
import evaluate


class {name}(evaluate.Metric):
    def _info(self):
        features = {{"predictions": datasets.Value("int32"), "references": datasets.Value("int32")}}
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features(features),
        )

    def _compute(self, predictions, references):
        hits = [p == r for p, r in zip(predictions, references)]
        return {{"{key}": {value}}}
"""
CARD = b"---\nsdk: static\ntags: [evaluate, metric]\n---\n"
api = HfApi()


def make(repo: str, key: str, value: str) -> None:
    name = repo.partition("/")[2]
    script = SCRIPT.format(name=name.capitalize(), key=key, value=value)
    api.create_repo(repo, repo_type="space", space_sdk="static", exist_ok=True)
    for path, content in (("README.md", CARD), (f"{name}.py", script.encode())):
        api.upload_file(path_or_fileobj=content, path_in_repo=path, repo_id=repo, repo_type="space")


def flow_load():
    make("evaluate-metric/hits", "hits", "sum(hits) / len(hits)")
    api.create_tag("evaluate-metric/hits", tag="v" + evaluate.__version__, repo_type="space")
    metric = evaluate.load("hits")
    assert metric.compute(predictions=[1, 0, 1], references=[1, 1, 1]) == {"hits": 2 / 3}


def flow_load_a_community_metric():
    make("learner/misses", "misses", "len(hits) - sum(hits)")
    metric = evaluate.load("learner/misses")
    assert metric.compute(predictions=[1, 0], references=[1, 1]) == {"misses": 1}


def flow_combine():
    both = evaluate.combine(["hits", "learner/misses"])
    both.add_batch(predictions=[1, 0], references=[1, 1])
    assert both.compute() == {"hits": 0.5, "misses": 1}


def flow_list():
    found = evaluate.list_evaluation_modules("metric", include_community=True)
    assert {"hits", "learner/misses"} <= set(found)


def flow_a_missing_metric_is_named():
    try:
        evaluate.load("not-there")
    except FileNotFoundError as error:
        assert "not-there" in str(error)
    else:
        raise AssertionError("a metric came from nowhere")
