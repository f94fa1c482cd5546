"""transformers against the Hub that HF_ENDPOINT names, with a model of a few thousand numbers."""

import os
import tempfile
from pathlib import Path

import torch
from huggingface_hub import HfApi, hf_hub_download
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    pipeline,
)

REPO = f"learner/tiny-{os.getpid()}"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "a"]
api = HfApi()


def tiny_model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
        id2label={0: "NEGATIVE", 1: "POSITIVE"},
        label2id={"NEGATIVE": 0, "POSITIVE": 1},
    )
    return BertForSequenceClassification(config).eval()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def same(one, other) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def flow_push_and_load():
    model = tiny_model()
    model.push_to_hub(REPO)
    tiny_tokenizer().push_to_hub(REPO)
    assert same(AutoModelForSequenceClassification.from_pretrained(REPO), model)
    assert AutoTokenizer.from_pretrained(REPO)("good film").input_ids == [2, 4, 6, 3]
    info = api.model_info(REPO)
    assert info.pipeline_tag == "text-classification" and info.library_name == "transformers"


def flow_pipelines_with_and_without_a_task():
    one = pipeline("text-classification", model=REPO)("a good film")
    other = pipeline(model=REPO)("a good film")
    assert one == other and one[0]["label"] in ("NEGATIVE", "POSITIVE")


def flow_branches_and_pull_requests():
    model = tiny_model()
    with torch.no_grad():
        model.classifier.bias += 1
    model.push_to_hub(REPO, revision="dev")
    assert same(AutoModelForSequenceClassification.from_pretrained(REPO, revision="dev"), model)
    assert not same(AutoModelForSequenceClassification.from_pretrained(REPO), model)
    model.push_to_hub(REPO, create_pr=True)
    pull = AutoModelForSequenceClassification.from_pretrained(REPO, revision="refs/pr/1")
    assert same(pull, model)


def flow_pickled_weights_alone():
    """transformers looks for a pull request with safer ones: the Hub's list must be an error."""
    repo, model = REPO + "-bin", tiny_model()
    api.create_repo(repo)
    with tempfile.TemporaryDirectory() as folder:
        model.config.save_pretrained(folder)
        torch.save(model.state_dict(), Path(folder, "pytorch_model.bin"))
        api.upload_folder(repo_id=repo, folder_path=folder)
    assert same(AutoModelForSequenceClassification.from_pretrained(repo), model)


def flow_sharded_weights():
    repo, model = REPO + "-shards", tiny_model()
    model.push_to_hub(repo, max_shard_size="4KB")
    assert "model.safetensors.index.json" in api.list_repo_files(repo)
    assert same(AutoModelForSequenceClassification.from_pretrained(repo), model)


def flow_a_missing_model_is_named():
    try:
        AutoTokenizer.from_pretrained("learner/not-there")
    except OSError as error:
        assert "learner/not-there" in str(error)
    else:
        raise AssertionError("a tokenizer came from nowhere")


def flow_the_trainer_pushes_while_it_trains():
    repo, tokenizer = REPO + "-trained", tiny_tokenizer()
    rows = [{**tokenizer("a good film"), "labels": 1}, {**tokenizer("a bad film"), "labels": 0}] * 8
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=tiny_model(),
            args=TrainingArguments(
                output_dir=folder,
                push_to_hub=True,
                hub_model_id=repo,
                hub_strategy="every_save",
                hub_always_push=True,  # do not wait for the push before: several are in flight
                max_steps=6,
                save_steps=1,
                logging_steps=2,
                per_device_train_batch_size=4,
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            ),
            train_dataset=rows,
            processing_class=tokenizer,
        )
        trainer.train()
        trainer.push_to_hub(commit_message="The end")
        trained = trainer.model
    assert same(AutoModelForSequenceClassification.from_pretrained(repo), trained.cpu())
    titles = [commit.title for commit in api.list_repo_commits(repo)]
    assert titles[0] == "The end" and sum("step" in title for title in titles) >= 2, titles
    card = Path(hf_hub_download(repo, "README.md")).read_text()
    assert "generated_from_trainer" in card
