"""One candidate of keras_models.py in a process of its own: orders in, answers out, as JSON lines.

    python benchmarks/keras_workers.py '{"framework": "ours", "how": "xla", ...}'

Thread pools of PyTorch and TensorFlow disturb each other, and a peak of memory belongs to a
process: so nothing here imports two frameworks. The file runs in keras-hub's environment too, where
the course is not installed; it needs NumPy and one framework.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from keras_jobs import NEW_TOKENS, STYLES

RATE, DECAY = 2e-5, 0.01


class Candidate:
    """A framework, one way to run it, and the step that is measured now."""

    packages: tuple[str, ...] = ()

    def __init__(self, spec: dict[str, Any]) -> None:
        self.how, self.threads, self.folder = spec["how"], spec["threads"], Path(spec["folder"])
        self.batches = np.load(self.folder / "batches.npz")
        self.step: Callable[[], Any] = lambda: None
        began = time.perf_counter()
        self.load_framework()
        self.imported = time.perf_counter() - began

    def load_framework(self) -> None:
        """Import it and set its threads."""
        raise NotImplementedError

    def hello(self) -> dict[str, Any]:
        """What the import took, and what was imported."""
        versions = {name: importlib.metadata.version(name) for name in self.packages}
        versions |= {"tensorflow": self.tf.__version__} if isinstance(self, Keras) else {}
        return {"import": self.imported, "versions": versions}

    def begin(self, work: str, length: int | None = None) -> dict[str, Any]:
        """Load a model, take the first step of some work; the answer is for comparing."""
        name = work if length is None else str(length)
        batch = {key: self.batches[f"{name}/{key}"] for key in ("input_ids", "attention_mask")}
        labels = self.batches[f"{name}/labels"] if length else None
        answer = None
        if work == "infer":
            self.step = self.inference(batch)
        elif work == "train":
            answer, self.step = self.training(batch, labels)
        else:
            self.step = self.writing(batch, work)
        began = time.perf_counter()
        result = self.step()
        first = time.perf_counter() - began
        answer = result if answer is None else answer
        return {"first": first, "answer": np.asarray(answer).tolist()}

    def run(self, steps: int) -> dict[str, Any]:
        """Seconds for some steps."""
        began = time.perf_counter()
        for _ in range(steps):
            self.step()
        return {"seconds": time.perf_counter() - began}

    def memory(self) -> dict[str, Any]:
        """The most memory that the process has ever had, in MB."""
        try:
            status = Path("/proc/self/status").read_text()
            kilobytes = int(status.split("VmHWM:")[1].split()[0])
        except (OSError, IndexError):  # no Linux
            import resource

            unit = 1024 if sys.platform == "darwin" else 1
            kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
        return {"megabytes": kilobytes / 1024}


class Torch(Candidate):
    """transformers on PyTorch, as it comes ("eager") or through torch.compile ("compile")."""

    packages = ("torch", "transformers")

    def load_framework(self) -> None:
        import torch
        import transformers
        from transformers import AutoModelForSequenceClassification  # noqa: F401 - it is lazy

        torch.set_num_threads(self.threads)
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.torch, self.transformers = torch, transformers

    def classifier(self, batch: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
        auto = self.transformers.AutoModelForSequenceClassification
        model = auto.from_pretrained(self.folder / "bert").eval()
        call = self.torch.compile(model) if self.how == "compile" else model
        return model, call, {key: self.torch.tensor(value) for key, value in batch.items()}

    def inference(self, batch: dict[str, Any]) -> Callable[[], Any]:
        _, call, batch = self.classifier(batch)

        def step() -> Any:
            with self.torch.inference_mode():
                return call(**batch).logits.numpy()

        return step

    def training(self, batch: dict[str, Any], labels: Any) -> tuple[Any, Callable[[], Any]]:
        model, call, batch = self.classifier(batch)
        with self.torch.no_grad():
            before = model(**batch).logits.numpy()
        labels = self.torch.tensor(labels)
        model.train()
        optimizer = self.torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY)

        def step() -> float:
            loss = call(**batch, labels=labels).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return float(loss)

        return before, step

    def writing(self, batch: dict[str, Any], work: str) -> Callable[[], Any]:
        t, translate = self.transformers, work == "translate"
        auto = t.AutoModelForSeq2SeqLM if translate else t.AutoModelForCausalLM
        model = auto.from_pretrained(self.folder / ("marian" if translate else "gpt2")).eval()
        batch = {key: self.torch.tensor(value) for key, value in batch.items()}
        options = {"max_new_tokens": NEW_TOKENS, "do_sample": False, **STYLES[work]}
        return lambda: model.generate(**batch, **options).numpy()


class Keras(Candidate):
    """What our models and keras-hub's share: TensorFlow and its threads."""

    def load_tensorflow(self) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(self.threads)
        tf.config.threading.set_inter_op_parallelism_threads(self.threads)
        self.tf = tf

    @property
    def compiled(self) -> bool:
        return self.how == "xla"

    def forward(self, call: Callable[[Any], Any], batch: dict[str, Any]) -> Callable[[], Any]:
        """A forward pass, compiled once."""
        batch = {key: self.tf.constant(value, "int32") for key, value in batch.items()}
        function = self.tf.function(call, jit_compile=self.compiled, autograph=False)
        return lambda: function(batch).numpy()


class Ours(Keras):
    """course_lib.tf, as a graph ("graph"), through XLA ("xla") or step by step ("eager")."""

    packages = ("keras", "transformers")

    def load_framework(self) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
        self.load_tensorflow()
        from course_lib.tf import models
        from course_lib.tf.optimization import create_optimizer

        self.models, self.create_optimizer = models, create_optimizer

    def classifier(self) -> Any:
        auto = self.models.TFAutoModelForSequenceClassification
        return auto.from_pretrained(str(self.folder / "bert"))

    def inference(self, batch: dict[str, Any]) -> Callable[[], Any]:
        model = self.classifier()
        return self.forward(lambda inputs: model(inputs, training=False)["logits"], batch)

    def training(self, batch: dict[str, Any], labels: Any) -> tuple[Any, Callable[[], Any]]:
        model = self.classifier()
        before = model(batch)["logits"].numpy()
        # Everything decays, as in torch.optim.AdamW without groups.
        optimizer, _ = self.create_optimizer(
            RATE, 10**6, weight_decay_rate=DECAY, exclude_from_weight_decay=()
        )
        model.compile(optimizer, jit_compile=self.compiled)
        return before, lambda: float(model.train_on_batch(batch, labels))

    def writing(self, batch: dict[str, Any], work: str) -> Callable[[], Any]:
        translate = work == "translate"
        auto = self.models.TFAutoModelForCausalLM
        auto = self.models.TFAutoModelForSeq2SeqLM if translate else auto
        model = auto.from_pretrained(str(self.folder / ("marian" if translate else "gpt2")))
        options = {"max_new_tokens": NEW_TOKENS, "jit_compile": self.compiled, **STYLES[work]}
        options["pad_to_multiple_of"] = None  # the widths as they are, as the others have them
        return lambda: model.generate(**batch, **options)


class KerasHub(Keras):
    """keras-hub with the same weights: it reads the same checkpoints."""

    packages = ("keras", "keras-hub")

    def load_framework(self) -> None:
        self.load_tensorflow()
        import keras
        import keras_hub

        self.keras, self.hub = keras, keras_hub

    def classifier(self) -> Any:
        from safetensors.numpy import load_file

        backbone = self.hub.models.BertBackbone.from_preset(str(self.folder / "bert"))
        model = self.hub.models.BertTextClassifier(
            backbone, num_classes=2, preprocessor=None, dropout=0.1)  # fmt: skip
        weights = load_file(self.folder / "bert" / "model.safetensors")
        head = [weights["classifier.weight"].T, weights["classifier.bias"]]
        model.get_layer("logits").set_weights(head)
        return model

    def named(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch by the names that keras-hub has."""
        ids, mask = batch["input_ids"].astype("int32"), batch["attention_mask"].astype("int32")
        return {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}

    def inference(self, batch: dict[str, Any]) -> Callable[[], Any]:
        model = self.classifier()
        return self.forward(lambda inputs: model(inputs, training=False), self.named(batch))

    def training(self, batch: dict[str, Any], labels: Any) -> tuple[Any, Callable[[], Any]]:
        model, batch = self.classifier(), self.named(batch)
        before = np.asarray(model(batch))
        model.compile(
            self.keras.optimizers.AdamW(RATE, weight_decay=DECAY, epsilon=1e-8),
            self.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=self.compiled, metrics=[])  # fmt: skip
        return before, lambda: float(model.train_on_batch(batch, labels))

    def writing(self, batch: dict[str, Any], work: str) -> Callable[[], Any]:
        backbone = self.hub.models.GPT2Backbone.from_preset(str(self.folder / "gpt2"))
        model = self.hub.models.GPT2CausalLM(backbone, preprocessor=None)
        samplers = self.hub.samplers
        sampler = {"greedy": samplers.GreedySampler(), "beams": samplers.BeamSampler(num_beams=4),
                   "sample": samplers.TopKSampler(k=50)}[work]  # fmt: skip
        model.compile(sampler=sampler, jit_compile=self.compiled)
        room = ((0, 0), (0, NEW_TOKENS))
        batch = {key: np.pad(value, room) for key, value in self.named(batch).items()}
        del batch["segment_ids"]
        return lambda: np.asarray(model.generate(batch, stop_token_ids=None)["token_ids"])


FRAMEWORKS = {"torch": Torch, "ours": Ours, "hub": KerasHub}


def serve(spec: dict[str, Any]) -> None:
    """Obey orders such as {"do": "run", "steps": 3} until there are no more."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print is no answer
    candidate = FRAMEWORKS[spec["framework"]](spec)
    print(json.dumps(candidate.hello()), file=answers)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = getattr(candidate, order.pop("do"))(**order)
        except Exception as error:  # what does not work is part of the result
            answer = {"error": f"{type(error).__name__}: {str(error).strip()[:300]}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
