"""Every stand-in that has an architecture of ours says what it says in PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.testing import assert_allclose

from course_lib.tf import models
from course_lib.tf.architectures import ARCHITECTURES
from course_lib.zoo.assembly import write_files
from course_lib.zoo.catalogue import ENTRIES

STAND_INS = {str(entry.repo_id.name): entry for entry in ENTRIES if entry.repo_id.kind == "model"}
TEXTS = ["The food was good, and the people were kind.", "We waited for an hour."]


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The files of one stand-in."""
    write_files(STAND_INS[request.param].files(), tmp_path)
    return tmp_path


@pytest.mark.parametrize("folder", STAND_INS, indirect=True)
def test_a_stand_in_answers_as_in_pytorch(folder):
    config = transformers.AutoConfig.from_pretrained(folder)
    if config.model_type not in ARCHITECTURES:
        pytest.skip(f"{config.model_type} is not one of ours")
    name = config.architectures[0]
    theirs = getattr(transformers, name).from_pretrained(folder).eval()
    mine = getattr(models, f"TF{name}").from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    batch = tokenizer(TEXTS, padding=True, return_tensors="np")
    inputs = {key: value for key, value in batch.items() if key in mine.input_names}
    if config.is_encoder_decoder:
        inputs["decoder_input_ids"] = inputs["input_ids"][:, :7]
    with torch.no_grad():
        want = theirs(
            **{key: torch.tensor(value) for key, value in inputs.items()}, return_dict=True
        )
    got, real = mine(inputs), inputs["attention_mask"].astype(bool)
    for key in set(want) & set(got) & {"logits", "start_logits", "end_logits", "last_hidden_state"}:
        expected, found = want[key].numpy(), np.asarray(got[key])
        if expected.shape[:2] == real.shape:
            expected, found = expected[real], found[real]
        assert_allclose(found, expected, atol=1e-4, rtol=1e-4, err_msg=key)
    assert mine.num_parameters() > 1000
