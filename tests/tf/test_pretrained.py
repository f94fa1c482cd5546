"""Checkpoints in and out of whole models, against transformers; vocabularies that change."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from course_lib.hub import client
from course_lib.tf import models
from course_lib.tf.models import MODELS
from tests.tf.small import pair, reference, small_config, texts

ROOT = Path(__file__).parents[2]
EVERY = [pytest.param(made, id=made.__name__) for made in MODELS.values()]
GENERATIVE = [pytest.param(made, id=made.__name__) for (task, _), made in MODELS.items()
              if task in ("causal_lm", "seq2seq_lm", "masked_lm")]
KINDS = sorted({kind for _, kind in MODELS})


def torch_name(made):
    return made.__name__.removeprefix("TF")


def state_of(model):
    """Every tensor of a PyTorch model, buffers and tied copies too."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def assert_same_states(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.dtype == other[name].dtype, name
        assert torch.equal(tensor, other[name]), name


def read_by_torch(folder, kind):
    """What transformers loads, and that it found all it wanted and nothing else."""
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    assert {name: value for name, value in info.items() if value} == {}
    return model.eval()


def inputs_of(made, config):
    found = texts(config)
    if made.task == "multiple_choice":
        return {name: value[:, None] for name, value in found.items()}
    if made.model_type in ("bart", "marian", "t5", "mt5"):
        found["decoder_input_ids"] = found["input_ids"][:, :5]
    return found


def answer(model, inputs):
    """The scores or states of either library's model as an array."""
    if isinstance(model, torch.nn.Module):
        with torch.no_grad():
            return model(**{k: torch.tensor(v) for k, v in inputs.items()})[0].float().numpy()
    return np.asarray(model(inputs)[0], "float32")


# What is written


@pytest.mark.parametrize("made", EVERY)
def test_what_is_written_is_what_was_read(made, tmp_path):
    """Bit for bit, with no key too few or too many, through the Auto class of the task."""
    theirs, mine = pair(torch_name(made), made.model_type)
    mine.save_pretrained(tmp_path)
    auto = getattr(transformers, AUTO[made.task])
    back = read_by_torch(tmp_path, auto)
    assert type(back) is type(theirs)
    assert_same_states(state_of(theirs), state_of(back))
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["architectures"] == [torch_name(made)]
    assert written["model_type"] == made.model_type and written["dtype"] == "float32"
    theirs.save_pretrained(tmp_path / "theirs")
    keys = [set(load_file(tmp_path / folder / "model.safetensors")) for folder in ("", "theirs")]
    assert keys[0] == keys[1]


AUTO = {task: getattr(models, name).__name__.removeprefix("TF") for task, name in {
    "base": "TFAutoModel", "sequence_classification": "TFAutoModelForSequenceClassification",
    "token_classification": "TFAutoModelForTokenClassification",
    "question_answering": "TFAutoModelForQuestionAnswering",
    "masked_lm": "TFAutoModelForMaskedLM", "multiple_choice": "TFAutoModelForMultipleChoice",
    "causal_lm": "TFAutoModelForCausalLM", "seq2seq_lm": "TFAutoModelForSeq2SeqLM"}.items()}


@pytest.mark.parametrize("made", EVERY)
def test_parameters_are_counted_as_in_pytorch(made):
    theirs, mine = pair(torch_name(made), made.model_type)
    assert mine.num_parameters() == theirs.num_parameters()
    assert mine.num_parameters(True) == theirs.num_parameters(only_trainable=True)


@pytest.mark.parametrize("kind", KINDS)
def test_shards(kind, tmp_path):
    made = MODELS["base", kind]
    theirs, mine = pair(torch_name(made), kind)
    mine.save_pretrained(tmp_path, max_shard_size="2KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_same_states(state_of(theirs), state_of(read_by_torch(tmp_path, type(theirs))))
    again = made.from_pretrained(tmp_path).state()
    assert all(np.array_equal(array, again[name]) for name, array in mine.state().items())
    mine.save_pretrained(tmp_path)       # over the shards
    assert [path.name for path in tmp_path.glob("model*")] == ["model.safetensors"]
    read_by_torch(tmp_path, type(theirs))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name, kind", [("GPT2LMHeadModel", "gpt2"), ("T5Model", "t5")])
def test_half_precision(dtype, old, name, kind, tmp_path):
    theirs, _ = pair(name, kind)
    theirs = type(theirs)(theirs.config).to(getattr(torch, dtype))
    theirs.save_pretrained(tmp_path)
    if old:
        torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    made = getattr(models, f"TF{name}")
    full, auto = made.from_pretrained(tmp_path), made.from_pretrained(tmp_path, dtype="auto")
    assert full.token_table.embeddings.dtype == "float32"
    assert {v.dtype for v, _ in auto.slots()} == {dtype}
    for (variable, _), (other, _) in zip(full.slots(), auto.slots(), strict=True):
        assert np.array_equal(np.asarray(variable, "float32"), np.asarray(other, "float32"))
    auto.save_pretrained(tmp_path / "again")
    back = type(theirs).from_pretrained(tmp_path / "again", dtype="auto")
    for key, tensor in state_of(theirs).items():    # T5 upcasts some of float16 when it loads
        assert torch.equal(tensor, back.state_dict()[key].to(tensor.dtype)), key


@pytest.mark.parametrize("asked, expected", [
    (None, "float32"), ("float16", "float16"), (torch.bfloat16, "bfloat16"),
    (tf.float16, "float16"), (np.float16, "float16"), ("auto", "float32"),
    ("mixed_bfloat16", "float32")])
def test_dtypes_that_can_be_asked_for(asked, expected, tmp_path):
    pair("BertModel", "bert")[1].save_pretrained(tmp_path)
    before = keras.config.dtype_policy()
    model = models.TFBertModel.from_pretrained(tmp_path, dtype=asked)
    assert model.token_table.embeddings.dtype == expected
    assert keras.config.dtype_policy() == before
    if asked == "mixed_bfloat16":
        assert model(np.array([[3]])).last_hidden_state.dtype == "bfloat16"


@pytest.mark.parametrize("dtype", ["int8", "float31", 7])
def test_dtypes_that_cannot(dtype, tmp_path):
    pair("BertModel", "bert")[1].save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="dtype"):
        models.TFBertModel.from_pretrained(tmp_path, dtype=dtype)


def test_auto_without_a_dtype_in_the_configuration(tmp_path):
    models.TFBertModel.from_config(small_config("bert"), dtype="float16").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["dtype"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = models.TFBertModel.from_pretrained(tmp_path, dtype="auto")
    assert found.token_table.embeddings.dtype == "float16"


# From one kind of model to another


def loaded(made, folder, **options):
    """A model and the one warning that it gave, if any."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = made.from_pretrained(folder, **options)
    texts_ = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    assert len(texts_) <= 1
    return model, texts_[0] if texts_ else ""


@pytest.mark.parametrize("made", EVERY)
def test_a_head_on_a_base_model(made, tmp_path):
    """Silent for the base, a warning that names the head for the others."""
    base, _ = pair(torch_name(MODELS["base", made.model_type]), made.model_type)
    base.save_pretrained(tmp_path)
    options = {"num_labels": 2} if made.task == "question_answering" else {}
    _, info = getattr(transformers, torch_name(made)).from_pretrained(
        tmp_path, output_loading_info=True, **options)
    model, message = loaded(made, tmp_path, **options)
    missing = {name for name in info["missing_keys"] if not name.endswith(
        ("final_logits_bias", "embed_positions.weight", "decoder.bias"))}    # constants and copies
    named = set(re.findall(r"[\w.]+\.(?:weight|bias)\b", message.split(" did not come")[0]))
    assert named == missing
    if missing:
        assert "from a random generator" in message
        assert all(float(keras.ops.std(v)) > 0 for v, slot in model.slots()
                   if set(slot.names) & missing and slot.path.endswith("kernel"))
    prefix = model.base_model_prefix + "."
    inside = base.state_dict()
    for name, array in model.state().items():
        if name.removeprefix(prefix) in inside and name not in missing:
            assert np.array_equal(array, inside[name.removeprefix(prefix)].numpy()), name


@pytest.mark.parametrize("made", EVERY)
def test_a_base_model_from_under_a_head(made, tmp_path):
    """Silent, but for BERT's pooler, which most heads do without."""
    theirs, _ = pair(torch_name(made), made.model_type)
    theirs.save_pretrained(tmp_path)
    _, message = loaded(MODELS["base", made.model_type], tmp_path)
    named = re.findall(r"\S+\.(?:weight|bias)\b", message.split(" did not come")[0])
    poolers = ["pooler.dense.weight", "pooler.dense.bias"]
    lacks = made.model_type in ("bert", "roberta", "camembert", "xlm-roberta") and not any(
        "pooler" in name for name in theirs.state_dict())
    assert sorted(named) == (sorted(poolers) if lacks else [])


@pytest.mark.parametrize("kind", ["bert", *(pytest.param(kind, marks=pytest.mark.long)
                                            for kind in ("distilbert", "roberta", "gpt2", "bart"))])
def test_every_head_to_every_other(kind, tmp_path):
    """Each loads; what is named is the new head, and never a part of the backbone."""
    made = [other for (_, model_type), other in MODELS.items() if model_type == kind]
    for source in made:
        pair(torch_name(source), kind)[1].save_pretrained(tmp_path / source.__name__)
    for source in made:
        for target in made:
            model, message = loaded(target, tmp_path / source.__name__,
                                    ignore_mismatched_sizes=True)   # one label, two, or three
            inside = {name for _, slot in model.slots() for name in slot.names
                      if not slot.head and not name.startswith("pooler")}
            assert not any(name in message.split(" did not")[0].split(", ") for name in inside)
            assert source is not target or message == ""


def test_a_masked_language_model_becomes_a_classifier(tmp_path):
    pair("BertForMaskedLM", "bert")[0].save_pretrained(tmp_path)
    _, message = loaded(models.TFBertForSequenceClassification, tmp_path)
    assert message.startswith("pooler.dense.weight, pooler.dense.bias, classifier.weight, "
                              "classifier.bias did not come from ")


# Old files


def test_an_old_file_of_bert(tmp_path):
    """gamma and beta, position_ids, a decoder's copies, the sentence head."""
    theirs = reference("BertForPreTraining", small_config("bert"))
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"): tensor for name, tensor in state_of(theirs).items()}
    old["bert.embeddings.position_ids"] = torch.arange(20)[None]
    assert "cls.predictions.decoder.weight" in old and "cls.seq_relationship.weight" in old
    theirs.config.save_pretrained(tmp_path)
    torch.save(old, tmp_path / "pytorch_model.bin")
    for made in (models.TFBertForMaskedLM, models.TFBertModel):
        model, message = loaded(made, tmp_path)
        assert message == ""
        state = {f"{'bert.' if made is models.TFBertModel else ''}{name}": array
                 for name, array in model.state().items()}
        for name, array in state.items():
            assert np.array_equal(array, theirs.state_dict()[name].numpy()), name


def test_an_old_file_of_gpt2(tmp_path):
    """The base's names, with the buffers of masks, as the very first ones were saved."""
    theirs, _ = pair("GPT2Model", "gpt2")
    old = state_of(theirs)
    for i in range(2):
        old[f"h.{i}.attn.bias"] = torch.ones(1, 1, 20, 20, dtype=torch.uint8)
        old[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    theirs.config.save_pretrained(tmp_path)
    save_file(old, tmp_path / "model.safetensors", {"format": "pt"})
    model, message = loaded(models.TFGPT2LMHeadModel, tmp_path)
    assert message == ""
    inputs = {"input_ids": np.array([[3, 5]])}
    head = answer(model, inputs)
    states = answer(theirs, inputs)
    np.testing.assert_allclose(head, states @ old["wte.weight"].numpy().T, atol=1e-4)


@pytest.mark.parametrize("name, kind", [("BartForConditionalGeneration", "bart"),
                                        ("MarianMTModel", "marian"),
                                        ("T5ForConditionalGeneration", "t5")])
def test_an_old_file_with_every_copy(name, kind, tmp_path):
    theirs, mine = pair(name, kind)
    old = state_of(theirs)
    assert any("embed_tokens" in key for key in old) and "lm_head.weight" in old
    theirs.config.save_pretrained(tmp_path)
    torch.save(old, tmp_path / "pytorch_model.bin")
    model, message = loaded(getattr(models, f"TF{name}"), tmp_path)
    assert message == ""
    for key, array in mine.state().items():
        assert np.array_equal(array, model.state()[key])


@pytest.mark.parametrize("name, kind", [("BartForConditionalGeneration", "bart"),
                                        ("MarianMTModel", "marian")])
def test_an_old_file_without_the_constants(name, kind, tmp_path):
    theirs, _ = pair(name, kind)
    old = {key: tensor for key, tensor in state_of(theirs).items() if key != "final_logits_bias"}
    theirs.config.save_pretrained(tmp_path)
    torch.save(old, tmp_path / "pytorch_model.bin")
    model, message = loaded(getattr(models, f"TF{name}"), tmp_path)
    assert message == "" and not np.any(model.final_logits_bias.constant)


# Two tables


UNTIED = [("GPT2LMHeadModel", "gpt2", {"tie_word_embeddings": False}),
          ("GPT2LMHeadModel", "gpt2", {}),
          ("T5ForConditionalGeneration", "t5", {"tie_word_embeddings": False}),
          ("T5ForConditionalGeneration", "t5", {}), ("MT5ForConditionalGeneration", "mt5", {}),
          ("BartForConditionalGeneration", "bart", {"tie_word_embeddings": False})]


def whole_state(model):
    """Every copy of the token table too; an encoder and a decoder read the same one."""
    shared = model.get_input_embeddings().weight
    return {name: (shared if "embed_tokens" in name else tensor).detach().clone()
            for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("name, kind, changes", UNTIED)
def test_an_output_with_a_table_of_its_own(name, kind, changes, tmp_path):
    """The file decides, as in transformers; both ways and back, with T5's scale as it was."""
    theirs = reference(name, small_config(kind, **changes))
    theirs.lm_head.weight = torch.nn.Parameter(torch.randn_like(theirs.lm_head.weight))
    theirs.config.save_pretrained(tmp_path)
    save_file(whole_state(theirs), tmp_path / "model.safetensors", {"format": "pt"})
    theirs = type(theirs).from_pretrained(tmp_path).eval()
    made = getattr(models, f"TF{name}")
    model, message = loaded(made, tmp_path)
    assert message == "" and not model.tied
    inputs = inputs_of(made, theirs.config)
    np.testing.assert_allclose(answer(model, inputs), answer(theirs, inputs), atol=1e-4)
    copies = 2 * theirs.get_input_embeddings().weight.numel() if kind == "bart" else 0
    # an untied BART of PyTorch reads by tables of their own; ours shares one and counts it once
    assert model.num_parameters() + copies == theirs.num_parameters()
    model.save_pretrained(tmp_path / "again")
    back = type(theirs).from_pretrained(tmp_path / "again").eval()
    assert_same_states(state_of(theirs), state_of(back))
    np.testing.assert_array_equal(answer(back, inputs), answer(theirs, inputs))
    again = made.from_pretrained(tmp_path / "again")
    np.testing.assert_array_equal(answer(again, inputs), answer(model, inputs))


@pytest.mark.parametrize("name, kind, changes", UNTIED)
def test_two_tables_that_are_the_same(name, kind, changes, tmp_path):
    """One where the configuration ties them, two where it does not."""
    theirs = reference(name, small_config(kind, **changes))
    if "lm_head.weight" in theirs.state_dict():
        theirs.lm_head.weight.data = theirs.get_input_embeddings().weight.data.clone()
    theirs.config.save_pretrained(tmp_path)
    save_file(whole_state(theirs), tmp_path / "model.safetensors", {"format": "pt"})
    theirs = type(theirs).from_pretrained(tmp_path).eval()
    made = getattr(models, f"TF{name}")
    model, message = loaded(made, tmp_path)
    assert message == "" and model.tied == theirs.config.tie_word_embeddings
    inputs = inputs_of(made, theirs.config)
    np.testing.assert_allclose(answer(model, inputs), answer(theirs, inputs), atol=1e-4)
    model.save_pretrained(tmp_path / "again")
    back = read_by_torch(tmp_path / "again", type(theirs))
    np.testing.assert_array_equal(answer(back, inputs), answer(theirs, inputs))


# What cannot be loaded


@pytest.fixture
def bert(tmp_path):
    """A folder with a small BERT."""
    folder = tmp_path / "bert"
    pair("BertModel", "bert")[1].save_pretrained(folder)
    return folder


def change_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


WORD = "embeddings.word_embeddings.weight"
BROKEN = {
    "missing": (lambda t: t.pop("encoder.layer.1.output.dense.bias"),
                r"lacks encoder\.layer\.1\.output\.dense\.bias: it is not a checkpoint of this"),
    "one of three": (lambda t: t.pop("encoder.layer.0.attention.self.key.bias"),
                     "lacks .*self.key.bias"),
    "unexpected": (lambda t: t.update({"encoder.layer.7.strange": torch.ones(1)}),
                   r"holds encoder\.layer\.7\.strange, for which this model has no place"),
    "of another shape": (lambda t: t.update({WORD: torch.ones(3, 16)}),
                         r"word_embeddings\.weight is \(3, 16\) instead of \(40, 16\); for a new"),
    "of integers": (lambda t: t.update({WORD: torch.ones(40, 16, dtype=torch.int8)}),
                    "is int8: this checkpoint is quantized"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_weights_that_do_not_fit(bert, what):
    change, message = BROKEN[what]
    change_weights(bert, change)
    for made in (models.TFBertModel, models.TFBertForSequenceClassification):
        with pytest.raises(ValueError, match=message):
            made.from_pretrained(bert, ignore_mismatched_sizes=True)


def test_other_labels(tmp_path):
    theirs, mine = pair("BertForSequenceClassification", "bert")
    mine.save_pretrained(tmp_path)
    made = models.TFBertForSequenceClassification
    with pytest.raises(ValueError, match=r"classifier.weight is \(3, 16\) instead of \(5, 16\)"):
        made.from_pretrained(tmp_path, num_labels=5)
    names = {0: "no", 1: "yes"}
    with pytest.warns(UserWarning, match="classifier.weight, classifier.bias did not come") as seen:
        model = made.from_pretrained(tmp_path, id2label=names, ignore_mismatched_sizes=True,
                                     label2id={"no": 0, "yes": 1})
    assert seen[0].filename == __file__
    assert model.config.num_labels == 2 and model.config.id2label == names
    assert np.array_equal(model.state()["bert." + WORD], theirs.state_dict()["bert." + WORD])


ERRORS = [
    ("no folder", "./nowhere-at-all", {}, OSError, "there is no folder ./nowhere-at-all"),
    ("no field", None, {"num_lables": 3}, TypeError, "takes no num_lables, and a bert config"),
    ("old name", None, {"torch_dtype": "auto"}, TypeError, "torch_dtype is called dtype now"),
    ("beside", None, {"config": small_config("bert"), "num_labels": 3}, TypeError,
     "num_labels beside config: change the fields of the config itself"),
    ("other", None, {"config": small_config("gpt2")}, ValueError,
     "TFBertModel is a bert, the checkpoint a gpt2; an Auto class finds the right one"),
]


@pytest.mark.parametrize("name, options, kind, message", [e[1:] for e in ERRORS],
                         ids=[e[0] for e in ERRORS])
def test_what_cannot_be_asked_for(bert, name, options, kind, message):
    with pytest.raises(kind, match=message):
        models.TFBertModel.from_pretrained(name or bert, **options)


@pytest.mark.parametrize("content, kind, message", [
    (None, OSError, "has no config.json; is it a folder that save_pretrained wrote"),
    ("{", OSError, "config.json"),
    ("{}", OSError, "has no config.json"),
    ('{"hidden_size": 3}', ValueError, "no Keras model for model_type None; supported are bart, b"),
    ('{"model_type": "llama"}', ValueError, "model_type 'llama'; supported are bart, bert, camem"),
])
def test_configurations_that_cannot_be(bert, content, kind, message):
    (bert / "config.json").unlink()
    if content is not None:
        (bert / "config.json").write_text(content)
    for made in (models.TFBertModel, models.TFAutoModel):
        with pytest.raises(kind, match=message):
            made.from_pretrained(bert)


def test_a_folder_without_weights(bert):
    (bert / "model.safetensors").unlink()
    with pytest.raises(OSError, match="has no weights: none of model.safetensors"):
        models.TFAutoModel.from_pretrained(bert)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_truncated_file_is_refused_before_anything_is_built(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    pair("BertModel", "bert")[1].save_pretrained(folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(OSError, match="no whole safetensors file"):
        models.TFBertModel.from_pretrained(folder)


def test_from_pt_means_nothing(bert):
    one = models.TFBertModel.from_pretrained(bert, from_pt=True).state()
    assert all(np.array_equal(v, one[k]) for k, v in pair("BertModel", "bert")[1].state().items())


def test_the_callers_configuration_stays_as_it_is(bert):
    config = transformers.AutoConfig.from_pretrained(bert)
    before = config.to_dict()
    model = models.TFBertModel.from_pretrained(bert, config=config)
    model.resize_token_embeddings(50)
    assert config.to_dict() == before


def test_a_quantized_layer_has_no_name(tmp_path):
    model = models.TFBertModel.from_config(small_config("bert"))
    model.base_model.blocks[0].attention.qkv.quantize("int8")
    with pytest.raises(ValueError, match="quantized layers can be kept in a .keras file"):
        model.save_pretrained(tmp_path / "new")
    assert not (tmp_path / "new").exists()


# Low-rank adapters


def test_adapters_are_written_merged(tmp_path):
    model = models.TFBertForMaskedLM.from_config(small_config("bert"))
    for block in model.bert.blocks:
        block.attention.qkv.enable_lora(2)
    model.token_table.enable_lora(3)
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    inputs = texts(model.config)
    frozen = model.bert.blocks[0].attention.qkv._kernel.numpy()
    model.fit({**inputs, "labels": inputs["input_ids"]}, epochs=3, verbose=0)
    assert np.array_equal(frozen, model.bert.blocks[0].attention.qkv._kernel.numpy())
    assert np.any(model.bert.blocks[0].attention.qkv.lora_kernel_b)
    model.save_pretrained(tmp_path)
    back = read_by_torch(tmp_path, transformers.BertForMaskedLM)
    np.testing.assert_allclose(answer(back, inputs), answer(model, inputs), atol=1e-5)
    assert model.num_parameters() == back.num_parameters()
    again = models.TFBertForMaskedLM.from_pretrained(tmp_path)
    np.testing.assert_allclose(answer(again, inputs), answer(model, inputs), atol=1e-5)


def test_weights_are_read_into_a_model_with_adapters():
    source = models.TFGPT2LMHeadModel.from_config(small_config("gpt2"))
    model = models.TFGPT2LMHeadModel.from_config(small_config("gpt2"))
    model.base_model.blocks[0].attention.qkv.enable_lora(2)
    model.base_model.blocks[0].attention.qkv.lora_kernel_b.assign(np.ones((2, 48)))
    state = {k.removeprefix("transformer."): v for k, v in source.state().items()}
    model.load_state(state, "source")
    inputs = texts(model.config)
    np.testing.assert_allclose(answer(model, inputs), answer(source, inputs), atol=1e-6)


# More tokens


@pytest.mark.parametrize("made", GENERATIVE)
@pytest.mark.parametrize("size", [53, pytest.param(30, marks=pytest.mark.long)])
def test_resizing_as_transformers_does(made, size, tmp_path):
    """Old rows stay, and what hangs on the table follows; transformers reads it bit for bit."""
    theirs, mine = pair(torch_name(made), made.model_type)
    mine.save_pretrained(tmp_path)
    model = made.from_pretrained(tmp_path)
    layer = model.resize_token_embeddings(size)
    assert layer is model.get_input_embeddings() and layer.input_dim == size
    assert model.config.vocab_size == size and model.tied == mine.tied
    few = min(size, 40)
    answer(model, {key: np.full_like(value, size - 1)
                   for key, value in inputs_of(made, model.config).items()})    # it is known
    ids = {key: value % few for key, value in inputs_of(made, model.config).items()}
    scores = answer(model, ids)
    assert scores.shape[-1] == size
    np.testing.assert_allclose(scores[..., :few], answer(mine, ids)[..., :few], atol=1e-5)
    model.save_pretrained(tmp_path / "again")
    back = read_by_torch(tmp_path / "again", type(theirs))
    np.testing.assert_allclose(answer(back, ids), scores, atol=1e-4)
    assert model.num_parameters() == back.num_parameters()
    again = made.from_pretrained(tmp_path / "again")
    np.testing.assert_array_equal(answer(again, ids), scores)
    theirs = type(theirs).from_pretrained(tmp_path)
    theirs.resize_token_embeddings(size)
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    assert shapes == {name: tuple(tensor.shape) for name, tensor in back.state_dict().items()}


@pytest.mark.parametrize("name, kind, changes", [UNTIED[0], UNTIED[5]])
def test_resizing_two_tables(name, kind, changes, tmp_path):
    model = getattr(models, f"TF{name}").from_config(small_config(kind, **changes))
    before = model.lm_head.kernel.numpy()
    model.resize_token_embeddings(41, pad_to_multiple_of=8)
    kernel = model.lm_head.kernel.numpy()
    assert kernel.shape == (16, 48) and model.lm_head.units == 48
    assert np.array_equal(kernel[:, :40], before)
    mean = before.mean(1, keepdims=True).repeat(8, 1)
    np.testing.assert_allclose(kernel[:, 40:], mean, atol=1e-4)
    model.save_pretrained(tmp_path)
    back = read_by_torch(tmp_path, getattr(transformers, name))
    inputs = inputs_of(type(model), model.config)
    np.testing.assert_allclose(answer(back, inputs), answer(model, inputs), atol=1e-4)


def test_new_rows():
    """Near the mean of the old, or drawn as at the beginning."""
    def table(**options):
        model = models.TFBertForMaskedLM.from_config(small_config("bert"))
        old = model.token_table.embeddings.numpy()
        model.lm_head.bias.assign(np.arange(40.0))
        model.resize_token_embeddings(1040, **options)
        return old, model.token_table.embeddings.numpy(), model.lm_head.bias.numpy()

    old, new, bias = table()
    np.testing.assert_allclose(new[40:], np.broadcast_to(old.mean(0), (1000, 16)), atol=1e-4)
    assert np.array_equal(bias[:40], np.arange(40)) and np.allclose(bias[40:], 19.5, atol=1e-2)
    old, new, bias = table(mean_resizing=False)
    assert 0.019 < new[40:].std() < 0.021 and abs(new[40:].mean()) < 0.001
    assert not bias[40:].any()


def test_sizes():
    model = models.TFGPT2Model.from_config(small_config("gpt2"))
    table = model.get_input_embeddings()
    assert model.resize_token_embeddings() is table and table.input_dim == 40
    model.resize_token_embeddings(40)
    model.resize_token_embeddings(pad_to_multiple_of=16)
    assert table.embeddings.shape == (48, 16)
    for wrong in (0, -1, 2.5, "50"):
        with pytest.raises(ValueError, match="new_num_tokens is a whole number, 1 or more; got"):
            model.resize_token_embeddings(wrong)
        with pytest.raises(ValueError, match="pad_to_multiple_of is a whole number"):
            model.resize_token_embeddings(50, pad_to_multiple_of=wrong)


def test_resizing_between_two_rounds_of_training():
    """A built optimizer is an error that costs nothing."""
    model = models.TFGPT2LMHeadModel.from_config(small_config("gpt2", n_layer=1))
    model.compile("sgd", run_eagerly=True)
    ids = texts(model.config)["input_ids"]
    model.resize_token_embeddings(44)
    model.fit({"input_ids": ids + 2, "labels": ids + 2}, verbose=0)
    before = model.state()
    with pytest.raises(ValueError, match="new optimizer, then resize"):
        model.resize_token_embeddings(50)
    assert all(np.array_equal(v, model.state()[k]) for k, v in before.items())
    model.compile("sgd", run_eagerly=True)
    model.resize_token_embeddings(50)
    rows = model.token_table.embeddings.numpy()
    model.fit({"input_ids": ids + 8, "labels": ids + 8}, verbose=0)
    assert np.any(model.token_table.embeddings.numpy()[44:] != rows[44:])


def test_compiled_functions_forget_the_old_table():
    model = models.TFGPT2LMHeadModel.from_config(small_config("gpt2", n_layer=1))
    model.compile(jit_compile=False)
    ids = texts(model.config)["input_ids"]
    assert model.predict(ids, verbose=0)["logits"].shape[-1] == 40
    model.resize_token_embeddings(44)
    assert model.predict(ids + 4, verbose=0)["logits"].shape[-1] == 44


def test_frozen_tables_stay_frozen_and_adapters_come_later():
    model = models.TFBertModel.from_config(small_config("bert"))
    model.token_table.trainable = False
    model.resize_token_embeddings(50)
    assert not model.token_table.embeddings.trainable
    model.token_table.enable_lora(2)
    with pytest.raises(ValueError, match="resize first, then enable_lora"):
        model.resize_token_embeddings(60)


def test_a_resized_model_in_a_keras_file(tmp_path):
    model = models.TFBertForMaskedLM.from_config(small_config("bert"))
    model.resize_token_embeddings(50)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    inputs = texts(model.config)
    np.testing.assert_array_equal(answer(again, inputs), answer(model, inputs))


# What the initial weights cost


def test_nothing_is_drawn_that_will_be_overwritten(bert, monkeypatch):
    drawn = []
    normal = keras.initializers.RandomNormal.__call__
    monkeypatch.setattr(keras.initializers.RandomNormal, "__call__", lambda self, shape, **kwargs: (
        drawn.append(tuple(shape)), normal(self, shape, **kwargs))[1])
    models.TFBertModel.from_pretrained(bert)
    assert drawn == []
    with pytest.warns(UserWarning, match="classifier"):
        model = models.TFBertForSequenceClassification.from_pretrained(bert)
    assert drawn == [(16, 3)]
    assert isinstance(model.token_table.embeddings_initializer, keras.initializers.RandomNormal)
    models.TFBertModel.from_config(small_config("bert"))
    assert len(drawn) > 10


# Without PyTorch, and on a Hub

WITHOUT_TORCH = """
import importlib.machinery, importlib.util
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = staticmethod(
    lambda name, *more: None if name.partition(".")[0] == "torch" else find(name, *more))
assert importlib.util.find_spec("torch") is None
import numpy as np
from course_lib.tf.models import TFAutoModelForSequenceClassification, TFAutoModelForSeq2SeqLM
for made, name in ((TFAutoModelForSequenceClassification, "bert"), (TFAutoModelForSeq2SeqLM, "t5")):
    model = made.from_pretrained(name, dtype="auto")
    ids = np.array([[3, 5, 2]])
    inputs = {"input_ids": ids, "labels": np.array([1]) if name == "bert" else ids}
    outputs = model(inputs)
    assert np.isfinite(float(outputs.loss)) and model.num_parameters() > 0
    model.resize_token_embeddings(48)
    model.save_pretrained(f"{name}-again", max_shard_size="3KB")
    again = made.from_pretrained(f"{name}-again")
    assert np.allclose(again(inputs).logits[..., :3], model(inputs).logits[..., :3], atol=1e-5)
    made.from_config(model.config)
    model.compile("sgd", run_eagerly=True)
    model.fit(inputs, verbose=0)
try:
    made.from_pretrained("old")
except ImportError as error:
    assert "PyTorch is not installed" in str(error)
else:
    raise AssertionError("an old file was read without PyTorch")
"""


def run(code, folder, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "COURSE_"))}
    path = {"PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "hf"), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
                          env=kept | path | environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_without_torch(tmp_path):
    pair("BertForSequenceClassification", "bert")[0].save_pretrained(tmp_path / "bert")
    theirs, _ = pair("T5ForConditionalGeneration", "t5")
    theirs.save_pretrained(tmp_path / "t5", max_shard_size="5KB")
    theirs.config.save_pretrained(tmp_path / "old")
    torch.save(theirs.state_dict(), tmp_path / "old" / "pytorch_model.bin")
    run(WITHOUT_TORCH, tmp_path, HF_HUB_OFFLINE="1")


ON_A_HUB = """
import numpy as np
from course_lib.tf.models import TFAutoModelForMaskedLM, TFBertForMaskedLM
from huggingface_hub import HfApi
api = HfApi()
user = api.whoami()["name"]
model = TFBertForMaskedLM.from_pretrained("bert")
first = model.push_to_hub("filler", commit_message="The first", private=True)
model.resize_token_embeddings(48)
second = model.push_to_hub(f"{user}/filler", max_shard_size="5KB")
assert first.repo_url.repo_id == f"{user}/filler" and first.oid != second.oid
old = TFAutoModelForMaskedLM.from_pretrained(f"{user}/filler", revision=first.oid)
new = TFAutoModelForMaskedLM.from_pretrained(f"{user}/filler")
assert (old.config.vocab_size, new.config.vocab_size) == (40, 48)
for name, array in model.state().items():
    assert np.array_equal(array, new.state()[name]), name
titles = [commit.title for commit in api.list_repo_commits(f"{user}/filler")]
assert titles[:2] == ["Upload model", "The first"]
assert "model.safetensors" not in api.list_repo_files(f"{user}/filler")     # there are shards now
model.save_pretrained("saved", push_to_hub=True, repo_id="other", commit_message="Saved")
assert api.list_repo_commits(f"{user}/other")[0].title == "Saved"
TFAutoModelForMaskedLM.from_pretrained(f"{user}/other", cache_dir="elsewhere")
for wrong, options in (("nobody/nothing", {}), (f"{user}/filler", {"revision": "no-such"})):
    try:
        TFAutoModelForMaskedLM.from_pretrained(wrong, **options)
    except OSError as error:
        print(type(error).__name__, str(error)[:90].replace("\\n", " "))
    else:
        raise AssertionError(wrong)
"""


def test_on_a_hub(tmp_path):
    """The real client against a Course Hub: pushed twice, read back at both revisions."""
    hub = client.ensure(tmp_path / "hub", idle=120)
    try:
        pair("BertForMaskedLM", "bert")[0].save_pretrained(tmp_path / "bert")
        said = run(ON_A_HUB, tmp_path, HF_ENDPOINT=hub.url, HF_TOKEN=hub.write_token,
                   HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_UPDATE_CHECK="1")
    finally:
        client.stop(tmp_path / "hub")
    assert len(said.splitlines()) == 2 and "nobody/nothing" in said and "no-such" in said
