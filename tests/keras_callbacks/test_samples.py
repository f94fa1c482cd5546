"""SampleTextCallback: the right texts at the right epochs, shown where they can be read."""

import keras
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, PreTrainedTokenizerFast, T5Config

from course_lib.keras_callbacks import SampleTextCallback, TrainingDashboard
from course_lib.keras_callbacks.samples import Sample, Samples
from course_lib.tf.models import TFGPT2LMHeadModel, TFT5ForConditionalGeneration

GREEDY = {"max_new_tokens": 3, "do_sample": False, "jit_compile": False}
PROMPTS = ["w5", "w6 w7 w8"]


@pytest.fixture(scope="module")
def tokenizer():
    words = {"[PAD]": 0, "[UNK]": 1, "[EOS]": 2} | {f"w{i}": i for i in range(3, 40)}
    core = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", eos_token="[EOS]",
                                   unk_token="[UNK]")


@pytest.fixture(scope="module")
def gpt2():
    return TFGPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=40,
                                        n_positions=30, pad_token_id=0, bos_token_id=1,
                                        eos_token_id=39, initializer_range=0.5))


@pytest.fixture(scope="module")
def t5():
    return TFT5ForConditionalGeneration(T5Config(
        d_model=8, d_kv=4, num_layers=1, num_heads=2, d_ff=8, vocab_size=40,
        decoder_start_token_id=0, eos_token_id=39))


class Writes(keras.Model):
    """A model that writes how often it was trained; two texts for a prompt if asked."""

    is_encoder_decoder = True

    def __init__(self):
        super().__init__()
        self.dense, self.asked = keras.layers.Dense(1), 0

    def call(self, x):
        return self.dense(x)

    def generate(self, ids, attention_mask=None, max_new_tokens=2, num_return_sequences=1):
        self.asked += 1
        return np.full((len(ids) * num_return_sequences, max_new_tokens), 4 + self.asked)


def trained(callback, epochs=4, verbose=0, **options):
    model = Writes()
    model.compile("sgd", "mse", run_eagerly=True)
    callbacks = [callback, *options.pop("others", [])]
    model.fit(np.ones((2, 1)), np.ones((2, 1)), epochs=epochs, verbose=verbose,
              callbacks=callbacks, **options)
    return callback


@pytest.mark.parametrize("options, epochs", [
    ({}, [0, 1, 2, 3, 4]),
    ({"before": False}, [1, 2, 3, 4]),
    ({"every": 2}, [0, 2, 4]),
    ({"every": 3}, [0, 3, 4]),
    ({"every": 9, "before": False}, [4]),
])
def test_samples_before_at_each_nth_epoch_and_at_the_end(tokenizer, options, epochs):
    samples = trained(SampleTextCallback(tokenizer, "w5", **options)).samples
    assert [s.epoch for s in samples] == epochs and samples[0].text.startswith("w5 w5")


def test_a_training_that_goes_on_counts_from_where_it_was(tokenizer):
    callback = trained(SampleTextCallback(tokenizer, "w5"), initial_epoch=2)
    assert [s.epoch for s in callback.samples] == [2, 3, 4]


def test_a_training_that_ends_early_has_a_last_sample(tokenizer):
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 1))
    callback = trained(SampleTextCallback(tokenizer, "w5", every=10), epochs=9, others=[stop])
    assert [s.epoch for s in callback.samples] == [0, 2]


def test_each_training_begins_a_new_table(tokenizer):
    callback = SampleTextCallback(tokenizer, PROMPTS)
    assert len(trained(callback, 1).samples) == len(trained(callback, 1).samples) == 4


def test_several_texts_for_each_prompt(tokenizer):
    options = {"num_return_sequences": 2, "max_new_tokens": 1}
    found = trained(SampleTextCallback(tokenizer, PROMPTS, generate_kwargs=options), 1).samples
    assert [s.prompt for s in found[:4]] == ["w5", "w5", "w6 w7 w8", "w6 w7 w8"]
    assert found._repr_html_().count("<br>") == 4


def test_a_decoder_goes_on_from_padded_prompts_as_from_single_ones(tokenizer, gpt2):
    callback = SampleTextCallback(tokenizer, PROMPTS, generate_kwargs=GREEDY)
    callback.set_model(gpt2)
    texts = callback.write()
    for prompt, text in zip(PROMPTS, texts, strict=True):
        ids = tokenizer([prompt], return_tensors="np")["input_ids"]
        alone = gpt2.generate(ids, **GREEDY)[0, ids.shape[1]:]
        assert text == tokenizer.decode(alone, skip_special_tokens=True) != ""


def test_an_encoder_decoder_answers(tokenizer, t5):
    callback = SampleTextCallback(tokenizer, PROMPTS, generate_kwargs=GREEDY)
    callback.set_model(t5)
    inputs = tokenizer(PROMPTS, padding=True, return_tensors="np")
    ids = t5.generate(inputs["input_ids"], attention_mask=inputs["attention_mask"], **GREEDY)
    assert callback.write() == tokenizer.batch_decode(ids, skip_special_tokens=True)


def test_a_decoder_in_a_training(tokenizer, gpt2):
    gpt2.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    ids = np.full((4, 5), 7)
    callback = SampleTextCallback(tokenizer, PROMPTS, generate_kwargs=GREEDY)
    gpt2.fit({"input_ids": ids, "labels": ids}, epochs=2, verbose=0, callbacks=[callback])
    frame = callback.samples.frame()
    assert list(frame.columns) == ["epoch", "prompt", "text"]
    assert frame["epoch"].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("verbose", [0, 2])
def test_lines_are_printed_unless_fit_is_silent(tokenizer, verbose, capsys):
    trained(SampleTextCallback(tokenizer, "w5", generate_kwargs={"max_new_tokens": 1}), 1, verbose)
    assert ("epoch 1  'w5' → 'w6'" in capsys.readouterr().out) == (verbose == 2)


def test_the_table_has_a_row_for_each_epoch_and_no_markup_of_texts():
    samples = Samples([Sample(0, "<i>", "a"), Sample(0, "b", "c"), Sample(1, "b", "<script>")])
    html = samples._repr_html_()
    assert html.count("<tr>") == 3 and "<script>" not in html and "<i>" not in html


@pytest.mark.parametrize("options, text", [
    ({"prompts": []}, "prompts are texts, one or more"),
    ({"prompts": ["a", ""]}, "none empty"),
    ({"prompts": [3]}, "prompts are texts"),
    ({"every": 0}, "every is a whole number of epochs, 1 or more; got 0"),
    ({"every": True}, "got True"),
])
def test_wrong_arguments(tokenizer, options, text):
    with pytest.raises(ValueError, match=text):
        SampleTextCallback(tokenizer, **{"prompts": "w5", **options})


def test_what_does_not_fit_is_said_before_training(tokenizer):
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="has no generate"):
        model.fit(np.ones((2, 1)), np.ones((2, 1)), verbose=0,
                  callbacks=[SampleTextCallback(tokenizer, "w5")])
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="[EOS]")
    with pytest.raises(ValueError, match="no pad_token: set tokenizer.pad_token"):
        trained(SampleTextCallback(bare, PROMPTS))
    assert len(trained(SampleTextCallback(bare, "w5"), 1).samples) == 2


def test_the_dashboard_draws_what_others_log():
    class Late(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = float(epoch)

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    board = TrainingDashboard("Title")
    model.fit(np.ones((8, 1)), np.ones((8, 1)), epochs=3, batch_size=4, verbose=0,
              callbacks=[Late(), board], validation_data=(np.ones((2, 1)), np.ones((2, 1))))
    points = board.board.history.points
    assert points["score"] == [(2, 0.0), (4, 1.0), (6, 2.0)]
    assert len(points["loss"]) == 6 and len(points["val_loss"]) == len(points["learning_rate"]) == 3
    assert "Title" in board.board.static() and "score" in board.board.static()
