"""The recorder and the clock, and the two callbacks in real trainings."""

import math

import pytest

from course_lib.widgets.dashboard import (
    Dashboard,
    History,
    Progress,
    duration,
    smooth,
    steps_per_second,
    thin,
    time_left,
)  # fmt: skip


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("speed", [0.25, 3.0, 1000.0])
def test_an_even_speed_is_found(speed):
    marks = [(step, 7 + step / speed) for step in range(1, 50)]
    assert steps_per_second(marks) == pytest.approx(speed)
    assert time_left(marks, 149) == pytest.approx(100 / speed)


def test_a_slow_start_and_old_pauses_are_forgotten():
    marks = [(0, 0.0), (1, 60.0)] + [(step, 60 + step) for step in range(2, 31)]
    assert time_left(marks, 40) == pytest.approx(10)


def test_a_slower_second_half_counts():
    marks = [(step, float(step)) for step in range(11)] + [
        (10 + step, 10 + 4.0 * step) for step in range(1, 11)]  # fmt: skip
    assert time_left(marks, 30) == pytest.approx(40)


@pytest.mark.parametrize("marks", [[], [(3, 1.0)], [(3, 1.0), (4, 1.0)]])
def test_too_little_is_known(marks):
    assert steps_per_second(marks) is None and time_left(marks, 10) is None


def test_more_steps_than_expected_leave_nothing():
    assert time_left([(0, 0.0), (20, 10.0)], 10) == 0


def test_durations():
    assert [duration(s) for s in (0, 59.6, 3599.4, 3600)] == [
        "0 s", "1 min 00 s", "59 min 59 s", "1 h 00 min"]  # fmt: skip


def test_marks_stay_few_and_keep_the_speed():
    clock = Clock()
    progress = Progress(100_000, 4, clock)
    for step in range(20_000):
        progress.mark(step)
        clock.now += 0.01
    assert len(progress.marks) <= 1001
    assert "100 steps/s, 400 samples/s, about 13 min 20 s left" in str(progress)


def test_smoothing_and_thinning():
    assert smooth([1.0, 1.0, 1.0], 0.9) == pytest.approx([1, 1, 1])
    assert smooth([0.0, 1.0], 0.5) == pytest.approx([0, 2 / 3])
    assert smooth([3.0, 1.0], 0) == [3.0, 1.0]
    points = [(n, float(n)) for n in range(1001)]
    assert len(thin(points)) <= 301 and thin(points)[-1] == points[-1] and thin([]) == []


def test_no_number_no_record():
    history = History()
    with pytest.raises(ValueError, match="accuracy is a number; got str"):
        history.add(1, {"loss": 1.0, "accuracy": "high"})
    with pytest.raises(ValueError, match="a step is a whole number"):
        history.add(1.5, {"loss": 1.0})
    with pytest.raises(ValueError, match="a step is a whole number"):
        history.add(-1, {"loss": 1.0})
    assert history.points == {}


def test_names_are_never_markup():
    board = Dashboard(2, title="<b>")
    board.log(1, **{"<script>": 1.0})
    board.log(2, **{"<script>": math.nan})
    from course_lib.widgets.dashboard import dashboard_html

    html = board.static() + dashboard_html(board, live=True)
    assert "<script" not in html and "&lt;script&gt; was nan at step 2" in html


def test_the_live_view_is_drawn_now_and_then_and_at_the_end():
    clock = Clock()
    board = Dashboard(1000, clock=clock)
    page, slider = board.view.children[1:3]
    drawn = []
    page.observe(lambda change: drawn.append(clock.now), names="value")
    for step in range(1, 1001):
        clock.now += 0.01
        board.log(step, loss=1 / step)
    assert 10 <= len(drawn) <= 21  # ten seconds, twice a second
    board.finish()
    assert "step 1,000 of 1,000 (100%)" in page.value and "finished" in page.value
    before = page.value
    slider.value = 0.9
    assert page.value != before


class Line:
    """Made late, since it needs torch."""

    def __new__(cls):
        import torch

        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.line = torch.nn.Linear(1, 1)

            def forward(self, x, labels):
                out = self.line(x)
                return {"loss": torch.nn.functional.mse_loss(out, labels), "logits": out}

        torch.manual_seed(0)
        return Model()


def test_with_the_trainer_resumed_and_stopped(tmp_path):
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from course_lib.widgets.dashboard import trainer_callback

    rows = [{"x": x, "labels": 2 * x} for x in torch.linspace(-1, 1, 40)[:, None]]

    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 8

    def train(board, resume, *callbacks):
        arguments = TrainingArguments(
            str(tmp_path), max_steps=12, per_device_train_batch_size=4, logging_steps=1,
            gradient_accumulation_steps=2, eval_strategy="steps", eval_steps=4, save_steps=4,
            report_to="none", use_cpu=True, disable_tqdm=True, seed=1,
        )  # fmt: skip
        trainer = Trainer(Line(), arguments, train_dataset=rows, eval_dataset=rows[:8],
                          callbacks=[trainer_callback(board), *callbacks])  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
        return trainer.state

    first = Dashboard()
    state = train(first, False, Stop())
    assert str(first.progress).startswith("step 8 of 12 (67%)")
    assert str(first.progress).endswith("stopped early")
    assert first.progress.samples_per_step == 8
    logged = [(log["step"], log["loss"]) for log in state.log_history if "loss" in log]
    assert first.history.points["loss"] == logged
    assert [step for step, _ in first.history.points["eval_loss"]] == [4, 8]
    assert "train_loss" not in first.history.points
    second = Dashboard()
    train(second, True)
    assert second.progress.marks[0][0] == 8 and str(second.progress).endswith("finished")
    assert [step for step, _ in second.history.points["loss"]] == [9, 10, 11, 12]


def test_with_keras_when_the_length_is_unknown():
    import keras
    import numpy as np

    from course_lib.widgets.dashboard import keras_callback

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True)
    model.compile(keras.optimizers.SGD(rate), "mse")
    x = np.linspace(-1, 1, 12)[:, None]
    board = Dashboard(samples_per_step=4)
    totals = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            totals.append(board.progress.total)

    seen = model.fit(x, 2 * x, batch_size=4, epochs=5, initial_epoch=2, validation_data=(x, 2 * x),
                     verbose=0, callbacks=[keras_callback(board), Watch()])  # fmt: skip
    assert totals == [9, 9, 9] and str(board.progress).startswith("step 9 of 9 (100%)")
    points = board.history.points
    assert [step for step, _ in points["val_loss"]] == [3, 6, 9]
    assert [v for _, v in points["val_loss"]] == pytest.approx(seen.history["val_loss"])
    assert [v for _, v in points["learning_rate"]] == pytest.approx([0.05, 0.025, 0.0125])
    assert len(points["loss"]) == 9


def test_keras_early_stopping_is_said():
    import keras
    import numpy as np

    from course_lib.widgets.dashboard import keras_callback

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    board = Dashboard()
    stop = keras.callbacks.EarlyStopping(monitor="loss", min_delta=1e9)
    model.fit(np.ones((8, 1)), np.ones((8, 1)), batch_size=4, epochs=9, verbose=0,
              callbacks=[keras_callback(board), stop])  # fmt: skip
    assert str(board.progress).endswith("stopped early") and board.progress.total == 18
