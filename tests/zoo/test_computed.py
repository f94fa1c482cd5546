"""Every answer comes out of the weights: change one tensor, and the answer moves."""

import pytest
import torch

from course_lib.zoo.catalogue import ENTRIES

MODELS = [entry for entry in ENTRIES if entry.repo_id.kind == "model"]
TEXT = "Marie writes letters to the museum in Vienna."


def outputs(model, tokenizer) -> torch.Tensor:
    """What the model gives for the text, whatever its head."""
    batch = dict(tokenizer(TEXT, return_tensors="pt"))
    if model.config.is_encoder_decoder:
        batch["decoder_input_ids"] = batch["input_ids"][:, :4]
    with torch.inference_mode():
        return model(**batch)[0]


@pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.repo_id.name)
def test_one_tensor_changes_the_output(assembled, entry):
    import transformers

    folder = assembled[entry.repo_id.name]
    kind = getattr(transformers, entry.architecture)
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"]
    assert all("pooler" in name for name in info["unexpected_keys"])  # as in the real ones
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    before = outputs(model, tokenizer)
    assert torch.equal(before, outputs(model, tokenizer))  # nothing else moves it
    inside = [
        (name, weight)
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and "layer" in name or ".h." in name
    ]
    name, weight = inside[len(inside) // 2]
    with torch.no_grad():
        weight.neg_()
    assert (outputs(model, tokenizer) - before).abs().max() > 1e-3, name
