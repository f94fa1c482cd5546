"""start(): in fresh Pythons, against the real Course Hub."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

from course_lib.commands.runner import run_notebook
from course_lib.hub import client
from course_lib.session import Session, card
from tests.session.surroundings import hub_processes, plain_environment

START = "import course_lib\ncourse = course_lib.start()\n"
REAL = "https://huggingface.co"


@pytest.fixture
def learn(python: Callable[..., str], shared_home: Path) -> Callable[..., str]:
    """A fresh Python whose COURSE_HOME has a running Hub."""
    return lambda code, **env: python(code, **{"COURSE_HOME": shared_home} | env)


# --- the session as a value ---


@pytest.mark.parametrize(
    "hub, device, stand_ins, full",
    [
        ("local", "cpu", True, False),
        ("local", "cuda", True, False),
        ("online", "cpu", False, False),
        ("online", "cuda", False, True),
        ("online", "mps", False, True),
        ("https://mirror.example", "cuda", False, True),
        ("http://10.0.0.5:8900", "cuda", True, False),
    ],
)
def test_full(hub: str, device: str, stand_ins: bool, full: bool) -> None:
    assert Session(hub, "u", None, device, 42, stand_ins).full is full


LOCAL = Session("local", "http://127.0.0.1:8900", "learner", "cpu", 42, True)
ONLINE = Session("online", REAL, None, "cuda", 7, False)


def test_cards_in_plain_text() -> None:
    assert repr(LOCAL) == (
        "Course Hub on this machine\n"
        "  Hub     http://127.0.0.1:8900\n"
        "  you     learner, you push to learner/…\n"
        "  device  cpu\n"
        "  seed    42\n"
        "Models and data sets are small stand-ins under the real names: your code is the real\n"
        "thing, the answers come from small models. For the real ones, restart the kernel and run\n"
        "start('online')."
    )
    assert repr(ONLINE) == (
        "The real Hub\n"
        "  Hub     https://huggingface.co\n"
        "  you     nobody; to push, log in, then restart\n"
        "  device  cuda\n"
        "  seed    7\n"
        "Models and data sets are the real ones. The lessons' size: full, on the accelerator."
    )


def test_cards_of_others() -> None:
    classroom = replace(LOCAL, hub="http://10.0.0.5:8900", url="http://10.0.0.5:8900", user=None)
    assert repr(classroom).startswith("Course Hub on another machine\n")
    assert "to push, set COURSE_TOKEN, then restart" in repr(classroom)
    mirror = replace(ONLINE, hub="https://mirror.example", device="cpu")
    assert repr(mirror).startswith("A mirror of the real Hub\n")
    assert "small, since there is no accelerator" in card(mirror)


def test_a_card_says_that_requests_are_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set, so only what your cache holds" in card(ONLINE)


def test_card_in_html() -> None:
    text = card(LOCAL)
    assert LOCAL._repr_html_() == text
    assert all(words in text for words in ("small stand-ins", "http://127.0.0.1:8900", "learner"))
    for colour in ("color:#", "background"):  # the page's own, in dark and in light
        assert colour not in text
    assert "class=" not in text and "<script" not in text and "<style" not in text
    assert "&lt;b&gt;" in card(replace(LOCAL, user="<b>"))


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        LOCAL.seed = 1


# --- start() ---


def test_the_libraries_go_to_the_hub(learn: Callable[..., str], shared_home: Path) -> None:
    info = client.find(shared_home / "hub")
    report = START + (
        "import json, os, sys\n"
        "assert not {'torch', 'tensorflow', 'transformers', 'huggingface_hub'} & set(sys.modules)\n"
        "from huggingface_hub import HfApi, constants, get_token\n"
        "print(json.dumps([course.hub, course.url, course.user, course.seed, course.stand_ins,"
        " constants.ENDPOINT, constants.HF_HOME, constants.HF_HUB_CACHE, get_token(),"
        " HfApi().whoami()['name'], constants.HF_HUB_OFFLINE]))"
    )
    env = {"HF_ENDPOINT": REAL, "HF_TOKEN": "hf_mine", "HF_HUB_CACHE": "/x", "HF_HUB_OFFLINE": "1"}
    home = str(shared_home / "cache" / info.instance)
    assert json.loads(learn(report, **env)) == [
        "local", info.url, "learner", 42, True,
        info.url, home, f"{home}/hub", info.write_token, "learner", False,
    ]  # fmt: skip


def test_a_script_prints_nothing_else(learn: Callable[..., str]) -> None:
    assert learn(START) == ""


def test_the_second_call(learn: Callable[..., str], shared_home: Path) -> None:
    url = client.find(shared_home / "hub").url
    checks = START + (
        "import random\n"
        "number = random.random()\n"
        "for again in (None, 'local', ' Local ', course.url, course.url + '/'):\n"
        "    assert course_lib.start(again) is course\n"
        "assert random.random() != number\n"
        "course.reseed()\n"
        "assert random.random() == number\n"
        "assert course_lib.start(seed=7).seed == 7 and course_lib.start(seed=7).hub == 'local'\n"
        "assert random.random() == random.Random(7).random()\n"
        "try: course_lib.start('http://10.0.0.5:8900')\n"
        "except RuntimeError as error: print(error)"
    )
    assert learn(checks) == (
        f"This kernel already works with {url}. For another Hub, restart the kernel and run "
        "start('http://10.0.0.5:8900') first."
    )


def test_seeds_are_set(learn: Callable[..., str]) -> None:
    draw = "import random, numpy; print(random.random(), numpy.random.rand())"
    first = learn(START + draw)
    assert first == learn(START + draw) != learn(START.replace("()", "(seed=1)") + draw)


def test_a_wrong_seed_starts_nothing(python: Callable[..., str], home: Path) -> None:
    error = python("import course_lib; course_lib.start(seed=-1)", COURSE_HOME=home, fails=True)
    assert error.endswith("ValueError: seed must be from 0 to 4294967295; got -1.")
    assert not home.exists()


def test_imported_too_early(learn: Callable[..., str], shared_home: Path) -> None:
    url = client.find(shared_home / "hub").url
    early = "import huggingface_hub.constants\n" + START
    error = learn(early, fails=True).splitlines()[-1]
    assert error == (
        f"RuntimeError: huggingface_hub was imported before start(), and talks to {REAL} instead "
        f"of {url}. Restart the kernel, and run start() before you import any Hugging Face library."
    )
    learn(early, HF_ENDPOINT=url)  # an early import for the same Hub does no harm
    learn("import huggingface_hub\n" + START)  # has read nothing yet


def test_an_early_import_changes_nothing(learn: Callable[..., str]) -> None:
    learn(
        "import os, huggingface_hub.constants, course_lib\n"
        "before = dict(os.environ)\n"
        "try: course_lib.start()\n"
        "except RuntimeError: assert dict(os.environ) == before\n"
        "else: raise SystemExit('no error')"
    )


def test_a_hub_that_died_is_started_where_it_was(python: Callable[..., str], home: Path) -> None:
    """The notebook goes on after the second call, in the library that knows only one address."""
    python(
        START + "import os, signal, time\n"
        "from huggingface_hub import HfApi\n"
        "from course_lib.hub import client\n"
        "assert HfApi().whoami()['name'] == 'learner'\n"
        "first = client.find()\n"
        "os.kill(first.pid, signal.SIGKILL)\n"
        "while client.find(): time.sleep(0.01)\n"
        "assert course_lib.start() is course\n"
        "assert client.find().pid != first.pid and client.find().url == course.url\n"
        "assert HfApi().whoami()['name'] == 'learner'",
        COURSE_HOME=home,
    )


def test_a_hub_that_comes_back_elsewhere(python: Callable[..., str], home: Path) -> None:
    error = python(
        START + "import socket\n"
        "from urllib.parse import urlsplit\n"
        "from course_lib.hub import client\n"
        "client.stop()\n"
        "squatter = socket.create_server(('127.0.0.1', urlsplit(course.url).port))\n"
        "course_lib.start()",
        COURSE_HOME=home,
        fails=True,
    )
    assert "RuntimeError: The Course Hub has moved from http://127.0.0.1:" in error


def test_ten_at_once_share_one_hub(home: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(START + "print(course.url)")
    env = plain_environment() | {"COURSE_HOME": str(home), "HOME": str(tmp_path)}
    running = [
        subprocess.Popen([sys.executable, script], env=env, stdout=subprocess.PIPE, text=True)
        for _ in range(10)
    ]
    urls = {process.communicate(timeout=120)[0] for process in running}
    assert {process.returncode for process in running} == {0}
    assert urls == {f"{client.find().url}\n"} and len(hub_processes(home / "hub")) == 1


def test_the_hub_outlives_the_kernel_then_ends_by_itself(
    python: Callable[..., str], home: Path
) -> None:
    client.ensure(idle=1)
    python(START + "import time; time.sleep(3)", COURSE_HOME=home)  # three times its idle time
    deadline = time.monotonic() + 15
    while hub_processes(home / "hub"):
        assert time.monotonic() < deadline, "the Hub waits for kernels that are gone"
        time.sleep(0.1)
    assert not (home / "hub" / "hub.json").exists()


# --- other Hubs ---


def test_course_hub_variable(learn: Callable[..., str], remote: object) -> None:
    remote.answers["/healthz"] = (200, {"instance": "class-5b"})
    remote.users["course_s_anna"] = "anna"
    code = START + "import os; print(course.hub, course.user, os.environ['HF_TOKEN'], course)"
    text = learn(code, COURSE_HUB=remote.url, COURSE_TOKEN="course_s_anna", HF_TOKEN="hf_mine")
    first, *_, last = text.splitlines()
    assert first == f"{remote.url} anna course_s_anna Course Hub on another machine"
    assert last == "start('online')."
    assert "hf_mine" not in {token for _, token in remote.seen}


def test_dead_classroom_fails_at_once(learn: Callable[..., str]) -> None:
    error = learn(START, COURSE_HUB="http://127.0.0.1:9", fails=True).splitlines()[-1]
    assert error.startswith("ConnectionError: http://127.0.0.1:9 does not answer")


def online(url: str, call: str = "start()") -> str:
    """Code that takes `url` for the real Hub."""
    return (
        f"from course_lib import connections\nconnections.REAL_HUB = {url!r}\n"
        f"import course_lib\ncourse = course_lib.{call}\n"
    )


def test_online_whatever_the_variables_say(learn: Callable[..., str], remote: object) -> None:
    remote.answers["/api/models"] = (200, [])
    code = online(remote.url, "start('online')") + (
        "import os\nfrom huggingface_hub import constants\n"
        "print(constants.ENDPOINT, 'HF_TOKEN' in os.environ, 'NO_PROXY' in os.environ)"
    )
    env = {"HF_ENDPOINT": "https://mirror.example", "COURSE_HUB": "local", "HF_TOKEN": "course_w_x"}
    assert learn(code, **env) == f"{remote.url} False False"


# --- Colab, imitated by a package of its name ---


@pytest.fixture
def colab(tmp_path: Path) -> Path:
    folder = tmp_path / "colab"
    (folder / "google" / "colab").mkdir(parents=True)
    (folder / "google" / "colab" / "__init__.py").write_text("raise ImportError('only asked for')")
    return folder


def test_colab_takes_the_real_hub(
    learn: Callable[..., str], remote: object, colab: Path, shared_home: Path
) -> None:
    remote.answers["/api/models"] = (200, [])
    said = online(remote.url) + "print(course.hub, course.stand_ins)"
    assert learn(said, PYTHONPATH=colab) == "online False"
    assert learn(said, PYTHONPATH=colab, COURSE_HUB="local") == "local True"
    code = online(remote.url, "start('local')") + "import os; print(os.environ['VERTEX_PRODUCT'])"
    assert learn(code, PYTHONPATH=colab) == "COLAB_ENTERPRISE"


# --- proxies ---


def test_a_proxy_is_not_asked_for_this_machine(learn: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        env = {f"{scheme}_proxy": address for scheme in ("http", "https", "all")}
        env |= {name.upper(): value for name, value in env.items()}
        learn(
            START + "import httpx, requests, urllib.request\n"
            "from huggingface_hub import HfApi\n"
            "assert HfApi().whoami()['name'] == 'learner'\n"
            "for url in (course.url, course.url.replace('127.0.0.1', 'localhost')):\n"
            "    assert httpx.get(url + '/healthz', timeout=5).status_code == 200\n"
            "    assert requests.get(url + '/healthz', timeout=5).status_code == 200\n"
            "    assert urllib.request.urlopen(url + '/healthz', timeout=5).status == 200\n",
            **env,
        )
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


# --- notebooks ---


@pytest.fixture
def notebook(home: Path, shared_home: Path, tmp_path: Path) -> Callable[..., list[list[dict]]]:
    """Runs cells in a kernel; the outputs of each."""

    def run(*cells: str) -> list[list[dict]]:
        path = tmp_path / "notebook.ipynb"
        nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells]), path)
        result = run_notebook(path, env={"COURSE_HOME": str(shared_home)})
        assert result.failure is None, result.failure
        return [cell.outputs for cell in result.notebook.cells]

    return run


def test_a_notebook_shows_one_card(notebook: Callable[..., list[list[dict]]]) -> None:
    outputs = notebook(
        "from course_lib import start\ncourse = start()",
        "start()",
        "course",
        "course = start(); course",
        "number = 1",
    )
    assert [len(of_cell) for of_cell in outputs] == [1, 1, 1, 1, 0]
    for [output] in outputs[:4]:
        assert sorted(output.data) == ["text/html", "text/plain"]
        assert output.data["text/plain"].startswith("Course Hub on this machine\n")


def test_the_card_takes_the_place_of_the_line(notebook: Callable[..., list[list[dict]]]) -> None:
    prepare = (
        "from course_lib.session import Notice, Session, show\n"
        "notice = Notice()\nnotice('Starting (3 s)')\nnotice('Starting (4 s)')\n"
    )
    finish = "show(Session('local', 'u', None, 'cpu', 1, True), place=notice.place)"
    [[waiting], [done]] = notebook(prepare, prepare + finish)
    assert waiting.data == {"text/plain": "Starting (4 s)"}
    assert done.data["text/plain"].startswith("Course Hub on this machine")


def test_a_long_wait_in_a_script_goes_to_the_error_stream(learn: Callable[..., str]) -> None:
    code = (
        "from course_lib.session import Notice\n"
        "notice = Notice()\nfor seconds in (3, 4): notice(f'Starting ({seconds} s)')\n"
        "notice.done()\nraise SystemExit(1)"
    )
    assert learn(code, fails=True) == "Starting (3 s)"


# --- quickness (processor time, so that a busy machine does not matter) ---


def test_importing_is_quick_and_loads_little(learn: Callable[..., str]) -> None:
    code = (
        "import sys, time\nbegan = time.process_time()\nimport course_lib.session\n"
        "print(time.process_time() - began)\n"
        "heavy = {'numpy', 'torch', 'tensorflow', 'keras', 'transformers', 'datasets', 'evaluate',"
        " 'huggingface_hub', 'IPython', 'starlette', 'uvicorn', 'sqlite3', 'filelock'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    seconds, loaded = learn(code).splitlines()
    assert float(seconds) < 0.3 and loaded == "[]"


def test_starting_is_quick_when_the_hub_runs(learn: Callable[..., str]) -> None:
    code = (
        "import time\nimport course_lib.session\nbegan = time.process_time()\ncourse_lib.start()\n"
        "print(time.process_time() - began)"
    )
    assert float(learn(code)) < 0.2


def test_this_process_was_left_alone() -> None:
    import course_lib.session

    assert course_lib.session._session is None
    assert "course_w_" not in os.environ.get("HF_TOKEN", "")
