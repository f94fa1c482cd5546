"""A tiny checkpoint and a task that it learns in a second."""

import random
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from course_lib.data.classification import TrainingSettings

QUICK = TrainingSettings(num_epochs=4, learning_rate=1e-2, batch_size=8)
GOOD, BAD = ("fine", "lovely", "warm"), ("dull", "cold", "awful")
OTHER = ("film", "day", "it", "was")


def sentences(count: int, seed: int) -> Dataset:
    """Texts of three to eight words; one of them decides."""
    chance = random.Random(seed)
    texts, labels = [], []
    for number in range(count):
        words = chance.choices(OTHER, k=chance.randrange(2, 8))
        words.insert(chance.randrange(len(words) + 1), chance.choice((BAD, GOOD)[number % 2]))
        texts.append(" ".join(words))
        labels.append(number % 2)
    return Dataset.from_dict({"text": texts, "label": labels}, features=Features(
        {"text": Value("string"), "label": ClassLabel(names=["bad", "good"])}))


def data() -> DatasetDict:
    """Splits with 64 and 20 rows."""
    return DatasetDict(train=sentences(64, 1), validation=sentences(20, 2))


def tiny_checkpoint(folder: Path, words: int = 0) -> str:
    """The folder of a BERT with random weights and its tokenizer; `words` more than are needed."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *GOOD, *BAD, *OTHER,
             *(f"word{number}" for number in range(words))]
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(known), hidden_size=32, num_hidden_layers=2,
                        num_attention_heads=2, intermediate_size=32, max_position_embeddings=32,
                        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
                        initializer_range=0.1)
    BertModel(config).save_pretrained(folder)
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(known)}, model_max_length=32)
    tokenizer.save_pretrained(folder)
    return str(folder)
