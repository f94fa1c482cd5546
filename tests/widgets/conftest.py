"""Small tokenizers and models for the widgets, and a JupyterLab to use them in."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

from course_lib.commands.cleaning import KERNEL

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "on", "mat", "dog",
         "##s", "<", ">", "script", "'", '"', "a", "##b", "##c", "b", "c", "."]  # fmt: skip


@pytest.fixture(scope="session")
def wordpiece():
    """A fast tokenizer of transformers with a few words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordPiece({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip


@pytest.fixture(scope="session")
def bytewise():
    """A `tokenizers.Tokenizer` of single bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({sign: n for n, sign in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


@pytest.fixture(scope="module")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable]:
    """`lab(source, ...)`: the page of a new notebook in JupyterLab with these cells, run."""
    from course_lib.commands import lab as commands_lab
    from tools.jupyter import lab_page, open_notebook, run_all

    folder: Path = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setattr(commands_lab, "START_SECONDS", 180)  # a busy machine may take its time
        page, base = stack.enter_context(lab_page(folder, chromium))
        page.set_default_timeout(60_000)
        count = 0

        def show(*sources: str):
            nonlocal count
            count += 1
            cells = [nbformat.v4.new_code_cell(source) for source in sources]
            path = folder / f"widget{count}.ipynb"
            notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
            path.write_text(json.dumps(notebook), encoding="utf-8")
            open_notebook(page, base, path.name)
            outputs = [output for cell in run_all(page, path) for output in cell["outputs"]]
            assert [o for o in outputs if o["output_type"] == "error"] == []
            return page.locator(".jp-NotebookPanel:visible"), path

        yield show
