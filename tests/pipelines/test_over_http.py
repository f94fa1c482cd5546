"""Default models at their pinned revisions, and tasks that the Hub knows, over HTTP."""

import json
import os
import subprocess
import sys

import pytest

from course_lib.hub.background import BackgroundHub
from course_lib.pipelines.tasks import DEFAULTS

SMALL = {"google-t5/t5-base": "t5", "sshleifer/distilbart-cnn-12-6": "bart"}
SMALL["distilbert/distilbert-base-cased-distilled-squad"] = "distilbert"
SCRIPT = """
import json, sys
from course_lib.pipelines import pipeline
found = {}
for task in json.loads(sys.argv[1]):
    made = pipeline(task, device="cpu")
    text = {"question": "Who?", "context": "Ada lived in London."}
    made(**text) if task == "question-answering" else made("Good morning.", max_new_tokens=4)
    found[task] = [made.model.name_or_path, made.model.config.note]
inferred = pipeline(model="sshleifer/distilbart-cnn-12-6", device="cpu")
found["inferred"] = [inferred.task, inferred.model.config.note]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def hub(folders, tmp_path_factory):
    """A Hub with small models under the ids of the defaults; the tag is behind the branch."""
    from huggingface_hub import HfApi

    with BackgroundHub(tmp_path_factory.mktemp("hub")) as hub:
        api = HfApi(hub.url, hub.token)
        for model, revision in set(DEFAULTS.values()):
            api.create_repo(model)
            config = json.loads((folders / SMALL[model] / "config.json").read_text())
            api.upload_folder(repo_id=model, folder_path=folders / SMALL[model])
            for note in ("tagged", "newer"):
                content = json.dumps({**config, "note": note}).encode()
                api.upload_file(repo_id=model, path_in_repo="config.json", path_or_fileobj=content)
                if note == "tagged":
                    api.create_tag(model, tag=revision)
        card = b"---\npipeline_tag: summarization\nlibrary_name: transformers\n---\n"
        name = "sshleifer/distilbart-cnn-12-6"
        api.upload_file(repo_id=name, path_in_repo="README.md", path_or_fileobj=card)
        yield hub


def test_defaults_come_at_their_pinned_revision(hub, tmp_path):
    names = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(list(DEFAULTS))],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("inferred") == ["summarization", "newer"]
    assert found == {task: [model, "tagged"] for task, (model, _) in DEFAULTS.items()}
    for model, revision in DEFAULTS.values():
        assert f"this is {model} at revision {revision}" in done.stderr
