"""Perplexity: how many tokens, so to say, a language model still wavers between at each step."""

import datasets
import evaluate
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM
from transformers import AutoTokenizer

_DESCRIPTION = """
The perplexity of a text under a causal language model is e to the mean of the negative log
probabilities of its tokens. 1 is a model that knew every token before; a model that guesses among N
tokens has N.
"""

_INPUTS = """
Args:
    predictions (list of str): texts.
    model_id (str): a causal language model, on the Hub or in a folder.
    batch_size (int): texts at once. Default: 16.
    add_start_token (bool): put the model's start token before each text, so that its first token counts
        too. Default: True.
    device (str): 'cpu', 'cuda', 'gpu' (the same) ... Default: 'cuda' if there is one, else 'cpu'.
    max_length (int): tokens of a text that count, start token included. Default: as many as the model
        can take.

Returns:
    perplexities (list of float): one for each text.
    mean_perplexity (float): their mean.

Examples:
    >>> metric = evaluate.load("perplexity", module_type="metric")
    >>> list(metric.compute(predictions=["Happy birthday!"], model_id="gpt2"))
    ['perplexities', 'mean_perplexity']
"""

_CITATION = """
@article{jelinek1977perplexity,
  title={Perplexity---a measure of the difficulty of speech recognition tasks},
  author={Jelinek, Fred and Mercer, Robert L. and Bahl, Lalit R. and Baker, James K.},
  journal={The Journal of the Acoustical Society of America},
  volume={62}, number={S1}, pages={S63}, year={1977}
}
"""


def choose_device(name):
    """The device of that name; without one CUDA if there is some, else the CPU."""
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if name == "gpu" else name


class Perplexity(evaluate.Metric):
    """Perplexity of texts under a model of the Hub."""

    def _info(self):
        return evaluate.MetricInfo(
            module_type="metric",
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.Value("string")}),
            reference_urls=["https://huggingface.co/docs/transformers/perplexity"],
        )

    def _compute(
        self,
        predictions,
        model_id,
        batch_size=16,
        add_start_token=True,
        device=None,
        max_length=None,
    ):
        if len(predictions) == 0:
            raise ValueError("perplexity needs at least one text; got an empty list.")
        device = choose_device(device)
        tokenizer = AutoTokenizer.from_pretrained(model_id, padding_side="right")
        if add_start_token and tokenizer.bos_token_id is None:
            raise ValueError(
                f"{model_id} has no start token, so the first token of a text has no probability; "
                "use add_start_token=False."
            )
        model = AutoModelForCausalLM.from_pretrained(model_id).to(device).eval()
        longest = max_length or getattr(model.config, "max_position_embeddings", None)
        texts = tokenizer(
            list(predictions),
            add_special_tokens=False,
            truncation=longest is not None,
            max_length=None if longest is None else longest - add_start_token,
        )["input_ids"]
        start = [tokenizer.bos_token_id] if add_start_token else []
        texts = [start + ids for ids in texts]
        for number, ids in enumerate(texts):
            if len(ids) < 2:
                raise ValueError(
                    f"text {number} has {len(ids) - len(start)} tokens: perplexity needs at least "
                    f"{'one' if add_start_token else 'two, or add_start_token=True'}."
                )
        found = []
        for first in range(0, len(texts), batch_size):
            found += perplexities(model, texts[first : first + batch_size], device)
        return {"perplexities": found, "mean_perplexity": sum(found) / len(found)}


@torch.no_grad()
def perplexities(model, texts, device):
    """One perplexity for each of B lists of token ids; shorter ones are filled up and masked."""
    length = max(map(len, texts))
    mask = torch.tensor(
        [[1] * len(ids) + [0] * (length - len(ids)) for ids in texts], device=device
    )
    # What fills up is masked: any id will do.
    ids = torch.tensor([ids + [0] * (length - len(ids)) for ids in texts], device=device)
    logits = model(ids, attention_mask=mask).logits[:, :-1]  # (B, T-1, vocabulary)
    losses = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")  # (B, T-1)
    counted = mask[:, 1:]
    return torch.exp((losses * counted).sum(1) / counted.sum(1)).tolist()
