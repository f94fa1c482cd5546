"""Weight files: read whole or refused, written so that a killed process leaves no mixture."""

import inspect
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file
from safetensors.torch import save_file as torch_save_file

from course_lib.tf import checkpoints
from course_lib.tf.checkpoints import CONFIG, SHARDED, SINGLE, locate, read, shards, staged, write

DTYPES = ("float32", "float16", ml_dtypes.bfloat16, "float64", "int64", "bool")
SHAPES = st.lists(st.integers(0, 5), max_size=3).map(tuple)


def tensors_of(value, count=4):
    return {f"h.{i}.weight": np.full((4, 4), value, "float32") for i in range(count)}


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abc.", min_size=1), st.tuples(SHAPES, st.sampled_from(DTYPES))),
       st.sampled_from(["50GB", 1, 100]))
def test_what_is_written_comes_back_here_and_in_pytorch(plan, size):
    rng = np.random.default_rng(0)
    tensors = {name: rng.normal(size=shape).astype(dtype).T
               for name, (shape, dtype) in plan.items()}
    with tempfile.TemporaryDirectory() as folder:
        files = write(tensors, folder, size)
        assert {file.name for file in files} | {SHARDED} >= set(os.listdir(folder))
        if not tensors:
            return
        back = read(locate(folder))
        theirs = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert back.keys() == tensors.keys() == theirs.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype
        assert np.array_equal(back[name], tensor)
        assert str(theirs[name].dtype) == f"torch.{tensor.dtype}"
        assert np.array_equal(theirs[name].float().numpy(), tensor.astype("float32"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("shard", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_files_of_pytorch(tmp_path, dtype, shard, old):
    """safetensors and pickles, in one file and in two with an index."""
    torch.manual_seed(0)
    tensors = {"a.weight": torch.randn(3, 2).to(dtype),
               "b": torch.nn.Parameter(torch.ones(2, dtype=dtype))}
    stem, suffix = ("pytorch_model", ".bin") if old else ("model", ".safetensors")
    save = torch.save if old else torch_save_file
    if shard:
        names = {name: f"{stem}-0000{i}-of-00002{suffix}" for i, name in enumerate(tensors, 1)}
        for name, file in names.items():
            save({name: tensors[name]}, tmp_path / file)
        index = {"metadata": {}, "weight_map": names}
        (tmp_path / f"{stem}{suffix}.index.json").write_text(json.dumps(index))
    else:
        save(tensors, tmp_path / f"{stem}{suffix}")
    found = read(locate(tmp_path))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert np.array_equal(found[name].astype("float32"), tensor.detach().float().numpy())


def test_safetensors_are_preferred(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert read(locate(tmp_path))["a"] == 0
    write({"a": np.ones(1)}, tmp_path)
    assert read(locate(tmp_path))["a"] == 1


def test_the_header_says_pt(tmp_path):
    """Older versions of transformers refuse a file that does not name its framework."""
    write(tensors_of(1), tmp_path)
    with safe_open(tmp_path / SINGLE, "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_pickle_cannot_run_anything(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was-here"),)

    torch.save({"a": Attack()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="no whole file of PyTorch weights"):
        read(locate(tmp_path))
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize("content", [[1, 2], {"a": 3}, None])
def test_a_pickle_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(OSError, match="no whole file"):
        read(locate(tmp_path))


# Broken files


@pytest.fixture(scope="module")
def good():
    """The bytes of whole files, by name."""
    with tempfile.TemporaryDirectory() as folder:
        write(tensors_of(1), folder)
        torch.save({"a": torch.ones(3)}, Path(folder) / "pytorch_model.bin")
        return {name: (Path(folder) / name).read_bytes() for name in (SINGLE, "pytorch_model.bin")}


def refused(name, data):
    """Read a file with these bytes; whether it was refused as it should be."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        try:
            read(locate(folder))
        except (OSError, ValueError) as error:
            assert name in str(error) and len(str(error)) < 1000
            return True
    return False


@pytest.mark.parametrize("name", [SINGLE, "pytorch_model.bin"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_truncated_files(good, name, data):
    whole = good[name]
    assert refused(name, whole[:data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("name", [SINGLE, SHARDED, "pytorch_model.bin",
                                  "pytorch_model.bin.index.json"])
@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=200))
def test_random_bytes(name, data):
    assert refused(name, data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_one_byte_of_the_header_changed(good, data):
    whole = bytearray(good[SINGLE])
    length = 8 + int.from_bytes(whole[:8], "little")
    whole[data.draw(st.integers(0, length - 1))] = data.draw(st.integers(0, 255))
    refused(SINGLE, bytes(whole))       # or read: a name may have changed


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "C64", "U16", "F4", "X"])
def test_types_that_numpy_may_lack(kind):
    size = 8 if kind == "C64" else 2 if kind == "U16" else 1
    tensor = {"dtype": kind, "shape": [2], "data_offsets": [0, 2 * size]}
    header = json.dumps({"a": tensor}).encode()
    refused(SINGLE, len(header).to_bytes(8, "little") + header + bytes(2 * size))


JSON = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(
    inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=8)


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_an_index_of_any_json(places):
    for content in (places, {"weight_map": places}):
        assert refused(SHARDED, json.dumps(content).encode())


def test_an_index_nested_beyond_reason():
    assert refused(SHARDED, b"[" * 200_000)


@pytest.mark.parametrize("part", [
    "../secret.safetensors", "/etc/secret.safetensors", "..", "", ".hidden.safetensors",
    "a/b.safetensors", "a\\b.safetensors", "config.json", "x\0.safetensors"])
def test_an_index_leads_nowhere_else(tmp_path, part):
    folder = tmp_path / "inner"
    folder.mkdir()
    write(tensors_of(1), tmp_path)
    (tmp_path / SINGLE).rename(tmp_path / "secret.safetensors")
    (folder / SHARDED).write_text(json.dumps({"weight_map": {"h.0.weight": part}}))
    with pytest.raises(OSError, match="it names"):
        locate(folder)


def test_a_missing_shard_is_named(tmp_path):
    files = write(tensors_of(1), tmp_path, 64)
    files[2].unlink()
    with pytest.raises(OSError, match="model-00003-of-00004.safetensors"):
        locate(tmp_path)


def test_a_shard_of_another_checkpoint(tmp_path):
    files = write(tensors_of(1), tmp_path, 64)
    assert [len(names) for names in shards(tmp_path / SHARDED).values()] == [1] * 4
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(OSError, match="the index promises h.0.weight in it"):
        read(locate(tmp_path))


def test_without_pytorch_the_old_format_says_so(tmp_path, monkeypatch):
    torch.save({"a": torch.ones(3)}, tmp_path / "pytorch_model.bin")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="PyTorch is not installed; install it, or take"):
        read({tmp_path / "pytorch_model.bin": []})


# Writing over an older checkpoint


def save(folder, value, size, config):
    """A checkpoint whose numbers are all `value`, and so is the number in a file that changes."""
    with staged(folder) as place:
        (place / CONFIG).write_text(json.dumps({"value": value if config else None}))
        write(tensors_of(value), place, size)


def value_of(folder):
    """The value in a checkpoint, None if it does not load; a mixture fails."""
    if not (folder / CONFIG).exists():
        return None
    try:
        tensors = read(locate(folder))
    except OSError:
        return None
    values = {float(v) for tensor in tensors.values() for v in tensor.flat}
    config = json.loads((folder / CONFIG).read_text())["value"]
    assert len(tensors) == 4 and len(values | ({config} - {None})) == 1
    return values.pop()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("sizes", list(product(["50GB", 64, 128], repeat=2)))
@pytest.mark.parametrize("config", [False, True])
def test_killed_at_every_step(tmp_path, monkeypatch, sizes, config):
    """Each change to the folder in turn is the last."""
    loads = set()
    for last in range(40):
        folder = tmp_path / str(last)
        save(folder, 1, sizes[0], config)
        left = iter(range(last))

        def or_die(method, left=left):
            def call(*args, **kwargs):
                if next(left, None) is None:
                    raise Killed
                return method(*args, **kwargs)
            return call

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink"):
                patch.setattr(Path, name, or_die(getattr(Path, name)))
            try:
                save(folder, 2, sizes[1], config)
            except Killed:
                pass
            else:
                break
        loads.add(value_of(folder))
    else:
        pytest.fail("no save ended")
    assert value_of(folder) == 2
    assert 1 in loads                           # killed early
    if sizes[1] == "50GB" and not config:
        assert loads == {1, 2}                  # one file is replaced in one step


CHILD = """
import json, sys
import numpy as np
from pathlib import Path
from course_lib.tf.checkpoints import CONFIG, staged, write
folder = Path(sys.argv[1])
print("ready", flush=True)
for value in range(2, 100000):
    save(folder, value, ["50GB", 64, 128][value % 3], value % 2 == 0)
"""


def kill_while_saving(folder, rng):
    """Start a process that saves again and again, and kill it."""
    save(folder, 1, 64, False)
    code = inspect.getsource(tensors_of) + inspect.getsource(save) + CHILD
    child = subprocess.Popen([sys.executable, "-c", code, folder], cwd=Path(__file__).parents[2],
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"ready\n"
    time.sleep(rng.uniform(0, 0.1))
    child.kill()
    child.wait()
    child.stdout.close()
    return value_of(folder)


def test_killed_for_real(tmp_path):
    rng = random.Random(0)
    assert any([kill_while_saving(tmp_path / str(i), rng) for i in range(3)])


@pytest.mark.long
def test_killed_for_real_many_times(tmp_path):
    rng = random.Random(1)
    values = [kill_while_saving(tmp_path / str(i), rng) for i in range(60)]
    assert sum(value is not None for value in values) > 10


def test_a_save_that_fails_leaves_the_old_one(tmp_path):
    save(tmp_path, 1, 64, True)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(ZeroDivisionError), staged(tmp_path) as place:
        write(tensors_of(2), place)
        raise ZeroDivisionError
    assert value_of(tmp_path) == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_nothing_of_an_older_save_is_left(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "model-card.safetensors").write_text("mine too")
    for value, size in enumerate([64, "50GB", 128, 64, "50GB"]):
        save(tmp_path, value, size, True)
        assert value_of(tmp_path) == value
    assert sorted(os.listdir(tmp_path)) == ["README.md", CONFIG, "model-card.safetensors", SINGLE]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file; a checkpoint needs a folder"), \
            staged(tmp_path / "file"):
        pass


def test_nothing_heavy_is_imported():
    """Reading and writing take NumPy alone."""
    code = ("import sys; sys.modules['torch'] = sys.modules['tensorflow'] = None; "
            f"import {checkpoints.__name__}; assert 'keras' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
