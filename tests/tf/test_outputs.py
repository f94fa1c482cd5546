"""What goes into a model, in every form, and what comes out."""

import copy
import pickle
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
import transformers
from numpy.testing import assert_allclose
from transformers import BatchEncoding

from course_lib.tf.outputs import OUTPUTS, ModelOutput, gather_inputs
from tests.tf.small import VOCABULARY, ours, pair, texts


@pytest.fixture(scope="module")
def bert():
    return pair("BertForSequenceClassification", "bert")[1]


@pytest.fixture(scope="module")
def bart():
    return pair("BartForConditionalGeneration", "bart")[1]


@pytest.fixture(scope="module")
def inputs(bert):
    return texts(bert.config, "right")


# -- forms of inputs -------------------------------------------------------------------------------

FORMS = {
    "numpy": lambda x: x,
    "int32": lambda x: x.astype("int32"),
    "lists": lambda x: x.tolist(),
    "tensorflow": tf.constant,
    "torch": torch.tensor,
    "keras": keras.ops.convert_to_tensor,
    "booleans": lambda x: x.astype(bool) if x.max() == 1 else x,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "wrap", [dict, BatchEncoding, "keywords"], ids=["dict", "BatchEncoding", "keywords"]
)
def test_every_form_of_inputs(bert, inputs, form, wrap):
    given = {name: FORMS[form](value) for name, value in inputs.items()}
    output = bert(**given) if wrap == "keywords" else bert(wrap(given))
    assert_allclose(output.logits, bert(inputs).logits, atol=1e-6)


def test_ids_alone_and_keywords_beside_a_dictionary(bert, inputs):
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    want = bert(inputs).logits
    assert_allclose(bert(ids, attention_mask=mask).logits, want, atol=1e-6)
    assert_allclose(bert({"input_ids": ids}, attention_mask=mask).logits, want, atol=1e-6)
    assert_allclose(bert({**inputs, "attention_mask": None}).logits, bert(ids).logits, atol=1e-6)
    assert_allclose(bert(inputs, attention_mask=None).logits, bert(ids).logits, atol=1e-6)


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 2],
        (0, 1, 2),
        np.array([0, 1, 2]),
        torch.tensor([0, 1, 2]),
        tf.constant([0, 1, 2], tf.int64),
    ],
    ids=str,
)
def test_labels_in_every_form_give_the_loss(bert, inputs, labels):
    assert_allclose(bert(**inputs, labels=labels).loss, bert(**inputs, labels=np.arange(3)).loss)


# -- bad inputs ------------------------------------------------------------------------------------


def changed(**changes: Any) -> Any:
    return lambda x: {**x, **changes}


BAD = {
    "ids that the table lacks": (changed(input_ids=[[VOCABULARY] * 9] * 3), "knows 0 … 39"),
    "negative ids": (changed(input_ids=[[-1] * 9] * 3), "holds -1"),
    "types that the table lacks": (changed(token_type_ids=[[2] * 9] * 3), "token_type_ids holds 2"),
    "positions that the table lacks": (
        changed(position_ids=[[20] * 9] * 3),
        "position_ids holds 20",
    ),
    "a text too long": (
        lambda x: {"input_ids": np.ones((1, 21), int)},
        "21 tokens a text, the model takes 20",
    ),
    "vectors too long": (
        lambda x: {"inputs_embeds": np.ones((1, 21, 16), "float32")},
        "the model takes 20",
    ),
    "ragged lists": (lambda x: {"input_ids": [[5, 6], [7]]}, "padding=True"),
    "a ragged tensor": (
        lambda x: {"input_ids": tf.ragged.constant([[5, 6], [7]])},
        "fill its rows up",
    ),
    "no ids": (lambda x: {"attention_mask": x["attention_mask"]}, "neither of input_ids"),
    "nothing": (lambda x: {}, "neither of input_ids"),
    "ids twice": (changed(inputs_embeds=np.ones((3, 9, 16), "float32")), "both of input_ids"),
    "a wrong name": (changed(attention_masks=1), "did you mean attention_mask?"),
    "a strange name": (changed(temperature=1), "it takes input_ids, attention_mask"),
    "a text without its batch": (lambda x: {"input_ids": [5, 6, 7]}, "a batch of one"),
    "ids of three axes": (lambda x: {"input_ids": [[[5, 6, 7]]]}, "(texts, tokens)"),
    "floats": (lambda x: {"input_ids": [[5.0, 6.0]]}, "ids are whole numbers"),
    "a text": (lambda x: {"input_ids": ["a text"]}, "tokenizer first"),
    "a short mask": (
        changed(attention_mask=np.ones((3, 8), int)),
        "attention_mask has the shape (3, 8)",
    ),
    "a mask of one": (
        changed(attention_mask=np.ones((3, 1), int)),
        "attention_mask has the shape (3, 1)",
    ),
    "a mask for others": (
        changed(attention_mask=np.ones((2, 9), int)),
        "attention_mask has the shape (2, 9)",
    ),
    "a mask of four axes": (changed(attention_mask=np.ones((3, 1, 9, 9), int)), "(texts, tokens)"),
    "short types": (changed(token_type_ids=np.ones((3, 4), int)), "token_type_ids has the shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_inputs_are_named_in_a_sentence(bert, inputs, case):
    change, text = BAD[case]
    with pytest.raises(ValueError) as caught:
        bert(change(inputs))
    message = str(caught.value)
    assert text in message and "\n" not in message and len(message) < 320


def test_bad_inputs_of_a_decoder(bart):
    ids = texts(bart.config)["input_ids"]
    with pytest.raises(ValueError, match="decoder_input_ids holds 40"):
        bart(ids, decoder_input_ids=[[40]] * 3)
    with pytest.raises(ValueError, match="decoder_attention_mask has the shape"):
        bart(ids, decoder_input_ids=ids, decoder_attention_mask=[[1]] * 3)
    with pytest.raises(ValueError, match="both of decoder_input_ids"):
        bart(ids, decoder_input_ids=ids, decoder_inputs_embeds=np.ones((3, 9, 16), "float32"))
    with pytest.raises(ValueError, match="neither of input_ids"):
        bart(decoder_input_ids=ids)
    marian = pair("MarianMTModel", "marian")[1]
    with pytest.raises(ValueError, match="the decoder has nothing to read"):
        marian(ids)


def test_a_cache_counts_towards_the_length():
    gpt2 = pair("GPT2LMHeadModel", "gpt2")[1]
    past = gpt2(np.full((1, 18), 7), use_cache=True).past_key_values
    with pytest.raises(ValueError, match="21 tokens a text, the model takes 20"):
        gpt2(np.full((1, 3), 7), past_key_values=past)
    with pytest.raises(ValueError, match="those in the cache included"):
        gpt2(np.full((1, 2), 7), past_key_values=past, attention_mask=[[1, 1]])


def test_a_classifier_at_the_end_of_a_text_wants_ids():
    model = pair("BartForSequenceClassification", "bart")[1]
    vectors = np.ones((1, 4, 16), "float32")
    with pytest.raises(ValueError, match="which only input_ids"):
        model(inputs_embeds=vectors, decoder_inputs_embeds=vectors)


# -- options and outputs ---------------------------------------------------------------------------


def test_an_output_by_attribute_key_index_and_slice(bert, inputs):
    output = bert(**inputs, labels=[0, 1, 2])
    assert output.loss is output["loss"] is output[0] is output[:1][0]
    loss, logits = output.to_tuple()
    assert loss is output.loss and logits is output.logits
    assert list(output) == list(output.keys()) == ["loss", "logits"] and "logits" in output
    assert output.hidden_states is None and "hidden_states" not in output
    with pytest.raises(AttributeError, match="it has loss, logits"):
        output.logit  # noqa: B018
    with pytest.raises(KeyError):
        output["hidden_states"]


def test_options_and_tuples(bert, inputs):
    named = bert(inputs, output_hidden_states=True, output_attentions=True)
    assert list(named) == ["logits", "hidden_states", "attentions"]
    assert len(named.hidden_states) == 3 and len(named.attentions) == 2
    found = bert(inputs, output_hidden_states=True, output_attentions=True, return_dict=False)
    assert isinstance(found, tuple) and len(found) == 3
    assert list(bert(inputs, use_cache=True)) == ["logits"]  # an encoder has no use for one


def test_a_configuration_can_ask_for_everything(bert, inputs):
    config = copy.deepcopy(bert.config)
    config.output_hidden_states = True
    model = type(bert)(config)
    assert list(model(inputs)) == ["logits", "hidden_states"]
    assert list(model(inputs, output_hidden_states=False)) == ["logits"]


def test_training_drops_out_and_inference_does_not(bert, inputs):
    assert_allclose(bert(inputs).logits, bert(inputs, training=False).logits, atol=0)
    keras.utils.set_random_seed(1)
    once = bert(inputs, training=True).logits
    assert np.abs(once - bert(inputs, training=True).logits).max() > 1e-3


def test_names_and_their_order_are_those_of_transformers():
    order = list(OUTPUTS)
    for name in (
        "SequenceClassifierOutput",
        "QuestionAnsweringModelOutput",
        "MaskedLMOutput",
        "Seq2SeqLMOutput",
        "CausalLMOutputWithPast",
        "Seq2SeqModelOutput",
        "BaseModelOutputWithPooling",
        "Seq2SeqQuestionAnsweringModelOutput",
        "BaseModelOutputWithPast",
    ):
        fields = list(getattr(transformers.modeling_outputs, name).__dataclass_fields__)
        fields = [field for field in fields if field in order]
        assert sorted(fields, key=order.index) == fields, name


def test_copies_pickles_trees_and_compiled_functions():
    output = ModelOutput(loss=np.ones(()), logits=np.ones((2, 3)))
    for twin in (
        copy.copy(output),
        copy.deepcopy(output),
        output.copy(),
        pickle.loads(pickle.dumps(output)),
        keras.tree.map_structure(lambda x: x + 0, output),
        tf.nest.map_structure(lambda x: x + 0, output),
        tf.function(lambda x: ModelOutput({k: v + 0 for k, v in x.items()}))(output),
    ):
        assert isinstance(twin, ModelOutput) and list(twin) == ["loss", "logits"]
        assert_allclose(twin.logits, 1.0)
    output.loss = 3.0
    assert output["loss"] == 3.0


def test_gathering_keeps_what_was_given_and_its_order():
    given = {"input_ids": [[1]], "attention_mask": [[1]]}
    gathered = gather_inputs(given, {}, ("input_ids", "attention_mask"))
    assert list(gathered) == list(given) and given["input_ids"] == [[1]]
    assert all(value.dtype == tf.int32 for value in gathered.values())


# -- in Keras --------------------------------------------------------------------------------------


def test_predict_returns_arrays_by_name(bert, inputs):
    found = bert.predict(inputs, batch_size=2, verbose=0)
    assert isinstance(found, ModelOutput) and isinstance(found.logits, np.ndarray)
    assert_allclose(found.logits, bert(inputs).logits, atol=1e-5)
    alone = bert.predict(inputs["input_ids"], verbose=0)
    assert_allclose(alone.logits, bert(inputs["input_ids"]).logits, atol=1e-5)


def test_a_model_inside_a_functional_one(inputs, tmp_path):
    base = ours(pair("BertModel", "bert")[0])  # one of its own, since it is trained
    ids, mask = (
        keras.Input((None,), dtype="int32", name=name) for name in ("input_ids", "attention_mask")
    )
    vectors = base({"input_ids": ids, "attention_mask": mask}).last_hidden_state
    model = keras.Model({"input_ids": ids, "attention_mask": mask}, keras.layers.Dense(2)(vectors))
    want = model(inputs)
    assert want.shape == (3, 9, 2)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(model.train_on_batch(inputs, np.zeros((3, 9), int)))
    want = model(inputs)
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    assert_allclose(back(inputs), want, atol=1e-6)


def test_keras_inputs_have_to_be_whole_numbers():
    base = pair("BertModel", "bert")[1]
    with pytest.raises(ValueError, match='unless dtype="int32"'):
        base(keras.Input((None,)))
