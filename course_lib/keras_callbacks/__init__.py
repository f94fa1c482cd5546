"""Callbacks for any Keras 3 model: metrics of your own, samples of text, curves, uploads.

    from course_lib.keras_callbacks import KerasMetricCallback

    model.fit(train, callbacks=[KerasMetricCallback(metric_fn, eval_dataset=validation)])
"""

import importlib
from typing import Any

# Looked up on first use: Keras and its backend are loaded when a callback is asked for.
_HOMES = {
    "KerasMetricCallback": "metrics",
    "PushToHubCallback": "pushing",
    "SampleTextCallback": "samples",
    "TrainingDashboard": "dashboard",
    "resume_from_hub": "checkpoints",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
