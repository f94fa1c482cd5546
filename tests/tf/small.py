"""Small models of every architecture: PyTorch's, and ours with the same weights."""

import tempfile
from functools import cache
from typing import Any

import numpy as np
import torch
import transformers
from transformers import PretrainedConfig

from course_lib.tf import models

VOCABULARY, LENGTH, EOS = 40, 9, 2
ENCODER = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
               vocab_size=VOCABULARY, max_position_embeddings=20, num_labels=3)
ROBERTA = {**ENCODER, "type_vocab_size": 2}
BOTH = dict(d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
            decoder_attention_heads=4, encoder_ffn_dim=24, decoder_ffn_dim=24,
            vocab_size=VOCABULARY, max_position_embeddings=20, num_labels=3)
T5 = dict(d_model=16, d_kv=4, num_layers=2, num_heads=4, d_ff=24, vocab_size=VOCABULARY,
          decoder_start_token_id=0)
CONFIGS: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "bert": (transformers.BertConfig, ENCODER),
    "distilbert": (transformers.DistilBertConfig,
                   dict(dim=16, n_layers=2, n_heads=4, hidden_dim=24, vocab_size=VOCABULARY,
                        max_position_embeddings=20, num_labels=3)),
    "roberta": (transformers.RobertaConfig, ROBERTA),
    "camembert": (transformers.CamembertConfig, ROBERTA),
    "xlm-roberta": (transformers.XLMRobertaConfig, ROBERTA),
    "gpt2": (transformers.GPT2Config,
             dict(n_embd=16, n_layer=2, n_head=4, vocab_size=VOCABULARY, n_positions=20,
                  pad_token_id=1, bos_token_id=EOS, eos_token_id=EOS, num_labels=3)),
    "bart": (transformers.BartConfig, BOTH),
    "marian": (transformers.MarianConfig,
               {**BOTH, "pad_token_id": 1, "eos_token_id": EOS, "decoder_start_token_id": 1,
                "forced_eos_token_id": EOS}),
    "t5": (transformers.T5Config, T5),
    "mt5": (transformers.MT5Config, T5),
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert-gelu_new": ("bert", dict(hidden_act="gelu_new")),
    "bert-relu": ("bert", dict(hidden_act="relu")),
    "bert-five-types": ("bert", dict(type_vocab_size=5)),
    "bert-large-epsilon": ("bert", dict(layer_norm_eps=0.1)),
    "bert-one-head": ("bert", dict(num_attention_heads=1)),
    "distilbert-relu": ("distilbert", dict(activation="relu")),
    "distilbert-sines": ("distilbert", dict(sinusoidal_pos_embds=True)),
    "roberta-padding-of-5": ("roberta", dict(pad_token_id=5)),
    "gpt2-gelu": ("gpt2", dict(activation_function="gelu")),
    "gpt2-scaled-by-layer": ("gpt2", dict(scale_attn_by_inverse_layer_idx=True)),
    "gpt2-unscaled": ("gpt2", dict(scale_attn_weights=False)),
    "gpt2-reordered": ("gpt2", dict(reorder_and_upcast_attn=True)),
    "gpt2-reordered-by-layer": ("gpt2", dict(reorder_and_upcast_attn=True,
                                             scale_attn_by_inverse_layer_idx=True)),
    "gpt2-inner": ("gpt2", dict(n_inner=20)),
    "gpt2-untied": ("gpt2", dict(tie_word_embeddings=False)),
    "bart-scaled": ("bart", dict(scale_embedding=True)),
    "bart-relu": ("bart", dict(activation_function="relu")),
    "bart-unequal": ("bart", dict(encoder_layers=1, decoder_layers=3, decoder_attention_heads=2,
                                  decoder_ffn_dim=20)),

    "marian-scaled": ("marian", dict(scale_embedding=True)),
    "marian-swish": ("marian", dict(activation_function="swish")),
    "t5-gated-gelu": ("t5", dict(feed_forward_proj="gated-gelu")),
    "t5-gated-silu": ("t5", dict(feed_forward_proj="gated-silu")),
    "t5-unscaled": ("t5", dict(tie_word_embeddings=False)),
    "t5-unequal": ("t5", dict(num_layers=1, num_decoder_layers=3)),
    "t5-narrow-heads": ("t5", dict(d_kv=3)),
    "t5-few-buckets": ("t5", dict(relative_attention_num_buckets=8,
                                  relative_attention_max_distance=12)),
    "mt5-plain": ("mt5", dict(feed_forward_proj="relu")),
    "mt5-narrow-heads": ("mt5", dict(d_kv=3)),
}


def small_config(kind: str, **changes: Any) -> PretrainedConfig:
    """A configuration of two narrow layers."""
    make, fields = CONFIGS[kind]
    return make(**{**fields, **changes})


def reference(name: str, config: PretrainedConfig, seed: int = 0) -> Any:
    """PyTorch's model, with weights large enough that a mistake anywhere shows in the answers."""
    torch.manual_seed(seed)
    model = getattr(transformers, name)(config).eval()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for label, weight in model.named_parameters():
            if weight.dim() == 1:
                weight += 0.2 * torch.randn_like(weight)
            elif config.model_type != "marian" or "embed_positions" not in label:
                weight.normal_(std=0.35)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias += 0.2 * torch.randn_like(model.final_logits_bias)
    return model


def ours(model: Any) -> Any:
    """Our model with the weights of one of PyTorch's, by way of a folder."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return getattr(models, f"TF{type(model).__name__}").from_pretrained(folder)


@cache
def pair(name: str, variant: str) -> tuple[Any, Any]:
    """The same weights twice: `variant` is an architecture or a key of VARIANTS."""
    kind, changes = VARIANTS.get(variant, (variant, {}))
    if name.endswith("QuestionAnswering"):
        changes = {**changes, "num_labels": 2}
    found = reference(name, small_config(kind, **changes))
    return found, ours(found)


def texts(config: PretrainedConfig, padding: str = "none", rows: int = 3, seed: int = 0,
          ) -> dict[str, np.ndarray]:
    """Ids that end in EOS and, with padding "left" or "right", their mask; int64."""
    rng = np.random.default_rng(seed)
    ids = np.full((rows, LENGTH), config.pad_token_id)
    for row, text in enumerate(rng.integers(6, VOCABULARY, (rows, LENGTH))):
        real = LENGTH if padding == "none" else LENGTH - 3 * row % LENGTH
        text[-1] = EOS
        place = slice(LENGTH - real, None) if padding == "left" else slice(real)
        ids[row, place] = text[-real:]
    if padding == "none":
        return {"input_ids": ids}
    return {"input_ids": ids, "attention_mask": (ids != config.pad_token_id).astype("int64")}
