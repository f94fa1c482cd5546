"""The names: which class there is for what, and what happens where there is none."""

import pytest
import transformers
from transformers.models.auto import modeling_auto

from course_lib.tf import models
from course_lib.tf.architectures import ARCHITECTURES
from course_lib.tf.models import CLASSES, MODELS, model_class
from tests.tf.small import CONFIGS, ours, reference, small_config

AUTO = {
    "base": "TFAutoModel",
    "sequence_classification": "TFAutoModelForSequenceClassification",
    "token_classification": "TFAutoModelForTokenClassification",
    "question_answering": "TFAutoModelForQuestionAnswering",
    "masked_lm": "TFAutoModelForMaskedLM",
    "multiple_choice": "TFAutoModelForMultipleChoice",
    "causal_lm": "TFAutoModelForCausalLM",
    "seq2seq_lm": "TFAutoModelForSeq2SeqLM",
}
MAPPINGS = {
    "base": "MODEL_MAPPING_NAMES",
    "sequence_classification": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "token_classification": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "question_answering": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "masked_lm": "MODEL_FOR_MASKED_LM_MAPPING_NAMES",
    "multiple_choice": "MODEL_FOR_MULTIPLE_CHOICE_MAPPING_NAMES",
    "causal_lm": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "seq2seq_lm": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
}


def test_a_class_has_the_name_of_its_counterpart_and_one_place():
    assert len(MODELS) == len(CLASSES) == len({model.__name__ for model in CLASSES})
    for (task, kind), model in MODELS.items():
        assert model.__name__ == f"TF{getattr(modeling_auto, MAPPINGS[task])[kind]}"
        assert model.__doc__ and issubclass(model, models.TFPreTrainedModel)
        assert getattr(models, model.__name__) is model


def test_every_task_that_an_architecture_names_has_a_class():
    for kind, architecture in ARCHITECTURES.items():
        assert {task for task, other in MODELS if other == kind} == {"base", *architecture.heads}


@pytest.mark.parametrize("task", AUTO)
def test_an_auto_class_finds_the_class(task):
    auto = getattr(models, AUTO[task])
    assert auto.__doc__
    for kind in CONFIGS:
        if (task, kind) in MODELS:
            assert model_class(task, kind) is MODELS[task, kind]
        else:
            with pytest.raises(ValueError, match="these have one: "):
                auto.from_config(small_config(kind))
    with pytest.raises(TypeError, match=f"{AUTO[task]}.from_pretrained"):
        auto()


def test_an_architecture_that_is_not_there_names_those_that_are(tmp_path):
    config = transformers.XLNetConfig()
    config.save_pretrained(tmp_path)
    text = "no Keras model for model_type 'xlnet'; supported are bart, bert, camembert, distilbert"
    for make in (
        models.TFAutoModel.from_config,
        models.TFAutoModelForMaskedLM.from_config,
        models.TFBertModel.from_config,
        models.TFBertModel,
    ):
        with pytest.raises(ValueError, match=text):
            make(config)
    with pytest.raises(ValueError, match=text):
        models.TFAutoModel.from_pretrained(tmp_path)


def test_a_class_of_another_architecture_says_so():
    with pytest.raises(ValueError, match="TFBertModel is a bert, the checkpoint a roberta"):
        models.TFBertModel.from_config(small_config("roberta"))


def test_an_auto_class_takes_fields_of_the_configuration(tmp_path):
    reference("BertForSequenceClassification", small_config("bert")).save_pretrained(tmp_path)
    auto = models.TFAutoModelForSequenceClassification
    model = auto.from_pretrained(tmp_path, id2label={0: "no", 1: "yes", 2: "perhaps"}, from_pt=True)
    assert type(model) is models.TFBertForSequenceClassification
    assert model.config.id2label[2] == "perhaps" and model.config.num_labels == 3
    with pytest.warns(UserWarning, match="classifier.weight"):
        model = auto.from_pretrained(tmp_path, num_labels=5, ignore_mismatched_sizes=True)
    assert model([[5, 6]]).logits.shape == (1, 5)
    with pytest.raises(TypeError, match="takes no num_lables"):
        auto.from_pretrained(tmp_path, num_lables=5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_dummy_inputs_and_names_of_parts(kind):
    task = "seq2seq_lm" if small_config(kind).is_encoder_decoder else "base"
    theirs = reference(MODELS[task, kind].__name__[2:], small_config(kind))
    mine = ours(theirs)
    assert mine(mine.dummy_inputs)[0].shape[0] == 1
    assert mine.base_model is getattr(mine, mine.base_model_prefix)
    assert (
        mine.get_input_embeddings().embeddings.shape == theirs.get_input_embeddings().weight.shape
    )
    if task != "base" and kind not in ("t5", "mt5"):
        assert mine.base_model_prefix == theirs.base_model_prefix
