"""Which Hub is chosen, how it is reached, and what the environment becomes."""

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from course_lib import connections
from course_lib.connections import Connection, check_url, choose_hub, connect, settings
from course_lib.hub import client

URL = "http://10.0.0.5:8900"


# --- choosing ---


@pytest.mark.parametrize("argument", [None, "local", "online", URL, f" {URL}/ "])
@pytest.mark.parametrize("variable", [None, "", "  ", "local", "online", f"{URL}/"])
@pytest.mark.parametrize("colab", [False, True])
def test_the_table(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    argument: str | None,
    variable: str | None,
    colab: bool,
) -> None:
    """The argument wins, then COURSE_HUB, then the place."""
    if variable is not None:
        monkeypatch.setenv("COURSE_HUB", variable)
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    wish = argument or (variable or "").strip() or ("online" if colab else "local")
    assert choose_hub(argument) == wish.strip().rstrip("/")


@pytest.mark.parametrize(
    "url", ["https://huggingface.co", "https://huggingface.co/", "https://hf.co"]
)
def test_the_real_hub_by_its_address(url: str) -> None:
    assert choose_hub(url) == "online"


def test_capital_letters() -> None:
    assert choose_hub("Local") == "local" and choose_hub(" ONLINE ") == "online"


@pytest.mark.parametrize("hub", ["", "offline", "hf", 5, True, b"local"])
def test_wishes_that_are_none(hub: object) -> None:
    with pytest.raises(ValueError, match="hub must be 'local', 'online' or the address") as caught:
        choose_hub(hub)
    assert repr(hub) in str(caught.value) and "\n" not in str(caught.value)


def test_the_variable_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_HUB", "of course")
    with pytest.raises(ValueError, match="COURSE_HUB must be .* got 'of course'"):
        choose_hub()


@pytest.mark.parametrize(
    "url, text",
    [
        ("http://10.0.0.5:8900/", URL),
        ("HTTP://Hub.example", "HTTP://Hub.example"),
        ("https://mirror.example/api/hf", "https://mirror.example/api/hf"),
        ("http://[fd00::5]:8900", "http://[fd00::5]:8900"),
    ],
)
def test_addresses(url: str, text: str) -> None:
    assert check_url(url) == text


@pytest.mark.parametrize(
    "url",
    ["10.0.0.5:8900", "localhost:8900", "ftp://x", "http://", "http://:80", "http://a:99999",
     "http://a:b", "http://[::1", "http://a b", "http://a/\nb", "http://" + "a" * 70, "//a", "a/b"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="looks like http://192.168.1.20:8900; got") as caught:
        check_url(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://anna:geheim@h", "http://geheim@h", "http://h?t=geheim"])
def test_addresses_hold_no_secret(url: str) -> None:
    with pytest.raises(ValueError, match="COURSE_TOKEN") as caught:
        check_url(url)
    assert "geheim" not in str(caught.value)


def test_colab_by_its_package(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connections.in_colab() is False
    (tmp_path / "google" / "colab").mkdir(parents=True)
    (tmp_path / "google" / "colab" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n == "google" or n.startswith("google.")]:
        monkeypatch.delitem(sys.modules, name)
    assert connections.in_colab() is True
    assert "google.colab" not in sys.modules


# --- reaching: the local Hub ---


def test_local(fake_hub: Path, home: Path) -> None:
    to = connect("local")
    info = client.find()
    assert to == Connection(
        "local", info.url, "course_w_fake", "learner", home / "cache" / "fake", True
    )
    assert (fake_hub / "kernels.txt").read_text() == f"/_course/kernels {os.getpid()}\n"
    assert connect(info.url) == to  # its own address is no other Hub


def test_local_that_stops_between_two_calls(
    fake_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = client.ensure()
    client.stop()
    answers = iter([gone])  # found a moment before its idle time was up
    ensure = client.ensure
    monkeypatch.setattr(client, "ensure", lambda **wish: next(answers, None) or ensure(**wish))
    assert connect("local").url == client.find().url


# --- reaching: another Hub ---


def course_hub(remote: object, instance: str = "class-5b") -> str:
    remote.answers["/healthz"] = (200, {"status": "ok", "instance": instance})
    remote.users["course_s_anna"] = "anna"
    return remote.url


def mirror(remote: object) -> str:
    remote.answers["/api/models"] = (200, [{"id": "gpt2"}])
    remote.users["hf_mine"] = "me"
    return remote.url


def test_classroom_anonymous(home: Path, remote: object) -> None:
    url = course_hub(remote)
    assert connect(url) == Connection(url, url, None, None, home / "cache" / "class-5b", True)


def test_classroom_with_a_token(
    home: Path, remote: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_TOKEN", "course_s_anna")
    to = connect(course_hub(remote))
    assert (to.user, to.token) == ("anna", "course_s_anna")


def test_classroom_does_not_know_the_token(
    home: Path, remote: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_TOKEN", "course_s_anan")
    with pytest.raises(
        PermissionError, match="not accept your token: set the variable COURSE_TOKEN"
    ):
        connect(course_hub(remote))


def test_your_own_token_goes_to_the_real_hub_only(
    home: Path, remote: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    (home.parent / ".cache" / "huggingface").mkdir(parents=True)
    (home.parent / ".cache" / "huggingface" / "token").write_text("hf_saved")
    for make in (course_hub, mirror):
        assert connect(make(remote)).token is None
    assert {token for _, token in remote.seen} == {None}
    assert settings(connect(remote.url))["HF_TOKEN"] is None  # nor from the environment


def test_a_token_exported_with_its_address(
    home: Path, remote: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = mirror(remote)
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    monkeypatch.setenv("HF_ENDPOINT", f"{url}/")
    to = connect(url)
    assert (to.user, to.token, to.stand_ins) == ("me", "hf_mine", False)


def test_a_login_with_that_hub(home: Path, remote: object) -> None:
    url = course_hub(remote)
    (home / "cache" / "class-5b").mkdir(parents=True)
    (home / "cache" / "class-5b" / "token").write_text("course_s_anna\n")
    to = connect(url)
    assert to.user == "anna"
    assert to.token is None  # the library reads the file itself, also after the next login


def test_mirror_has_a_cache_by_its_host(home: Path, remote: object) -> None:
    to = connect(mirror(remote))
    port = remote.url.rpartition(":")[2]
    assert to.home == home / "cache" / f"127.0.0.1_{port}"
    assert not to.stand_ins


@pytest.mark.parametrize("instance", ["../../etc", "/etc", "a" * 65, "..", "a/b", "C:\\x"])
def test_a_name_from_outside_stays_in_the_cache(home: Path, remote: object, instance: str) -> None:
    to = connect(course_hub(remote, instance))
    assert to.home.parent == home / "cache" and to.home.name.startswith("127.0.0.1_")


def test_dead_classroom(home: Path) -> None:
    with pytest.raises(ConnectionError) as caught:
        connect("http://127.0.0.1:9")
    message = str(caught.value)
    assert "http://127.0.0.1:9 does not answer" in message and "refused" in message
    assert "start('local')" in message and "\n" not in message


@pytest.mark.parametrize(
    "answers, text",
    [
        ({}, r"answers \(status 404\), but not as a Hub does"),
        ({"/api/models": (200, {"not": "a list"})}, "not as a Hub does"),
        ({"/api/models": (302, "http://elsewhere")}, r"\(status 302\)"),
        ({"/healthz": (503, None)}, r"in trouble \(status 503\).*start\('local'\)"),
    ],
)
def test_something_else_answers(home: Path, remote: object, answers: dict, text: str) -> None:
    remote.answers.update(answers)
    with pytest.raises(ConnectionError, match=text):
        connect(remote.url)


@pytest.mark.parametrize("switch", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_offline_switch_and_an_address(
    home: Path, remote: object, monkeypatch: pytest.MonkeyPatch, switch: str
) -> None:
    monkeypatch.setenv(switch, "yes")
    with pytest.raises(RuntimeError, match=f"{switch} forbids to ask"):
        connect(course_hub(remote))
    assert remote.seen == []


# --- reaching: the real Hub ---


@pytest.fixture
def real_hub(home: Path, remote: object, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(connections, "REAL_HUB", mirror(remote))
    return remote


def test_online_anonymous(real_hub: object) -> None:
    assert connect("online") == Connection("online", real_hub.url, None, None, None, False)


def test_online_with_a_token(real_hub: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "hf_mine")
    assert connect("online").user == "me"
    monkeypatch.setenv("HF_TOKEN", "hf_void")
    with pytest.raises(PermissionError, match="hf auth login"):
        connect("online")


def test_online_with_a_login(real_hub: object, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home.parent / ".cache" / "huggingface"
    folder.mkdir(parents=True)
    (folder / "token").write_text("hf_mine\n")
    assert connect("online").user == "me"
    monkeypatch.setenv("HF_HOME", str(home / "cache" / "x"))  # left by `course hub env`
    assert connect("online").user == "me"
    monkeypatch.setenv("HF_TOKEN", "course_w_left_too")
    assert connect("online").user == "me"
    monkeypatch.setenv("HF_HOME", "~/elsewhere")
    assert connect("online").user is None
    monkeypatch.setenv("HF_TOKEN_PATH", str(folder / "token"))
    assert connect("online").user == "me"


def test_online_without_internet(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REAL_HUB", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"Check the internet .*start\('local'\)"):
        connect("online")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert connect("online").user is None  # the cache is all that is wanted


# --- the environment ---


def plain(to: Connection) -> dict[str, str]:
    return {name: value for name, value in settings(to).items() if value is not None}


LOCAL = Connection("local", "http://127.0.0.1:8900", "course_w_1", "learner", Path("/c/i"), True)
ONLINE = Connection("online", "https://huggingface.co", None, None, None, False)


def test_settings_of_a_course_hub(home: Path) -> None:
    assert plain(LOCAL) == {
        "HF_ENDPOINT": "http://127.0.0.1:8900",
        "HF_TOKEN": "course_w_1",
        "HF_HOME": str(Path("/c/i")),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "DISABLE_SAFETENSORS_CONVERSION": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


@pytest.mark.parametrize(
    "name",
    ["HF_HUB_CACHE", "HF_DATASETS_CACHE", "HF_EVALUATE_CACHE", "HF_MODULES_CACHE", "HF_XET_CACHE",
     "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
     "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "HUGGINGFACE_CO_STAGING", "HF_OIDC_RESOURCE"],
)  # fmt: skip
def test_what_would_lead_past_the_hub_goes(home: Path, name: str) -> None:
    changes = settings(LOCAL)
    assert name in changes and changes[name] is None


def test_no_proxy_is_extended(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet, 127.0.0.1")
    monkeypatch.setenv("no_proxy", ".school.example,intranet")
    assert connections.without_proxy(URL) == (
        "intranet,127.0.0.1,.school.example,localhost,10.0.0.5"
    )
    # A mirror in the internet may need the proxy.
    assert "mirror" not in connections.without_proxy("https://mirror.example")


def test_online_leaves_your_own_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "~/mine")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert settings(ONLINE) == {
        "HF_ENDPOINT": "https://huggingface.co",
        "HUGGINGFACE_CO_STAGING": None,
    }


def test_online_takes_back_ours(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "course_w_1")
    monkeypatch.setenv("HF_HOME", str(home / "cache" / "i"))
    changes = settings(ONLINE)
    assert changes["HF_TOKEN"] is changes["HF_HOME"] is None


def test_colab_secrets_are_not_asked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    assert settings(LOCAL)["VERTEX_PRODUCT"] == "COLAB_ENTERPRISE"
    assert "VERTEX_PRODUCT" not in settings(ONLINE)


# --- imported too early ---

EARLY = {
    "huggingface_hub.constants": "ENDPOINT",
    "datasets.config": "HF_ENDPOINT",
    "evaluate.config": "HF_ENDPOINT",
}


@pytest.fixture(autouse=True)
def nothing_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may have imported the libraries."""
    for module in EARLY:
        monkeypatch.delitem(sys.modules, module, raising=False)


@pytest.mark.parametrize("module, variable", EARLY.items())
def test_imported_too_early(monkeypatch: pytest.MonkeyPatch, module: str, variable: str) -> None:
    early = SimpleNamespace(**{variable: "https://huggingface.co/"})
    monkeypatch.setitem(sys.modules, module, early)
    connections.check_imports(ONLINE)
    library = module.partition(".")[0]
    with pytest.raises(RuntimeError, match=f"^{library} was imported .*Restart the kernel"):
        connections.check_imports(LOCAL)


def test_imported_while_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    early = SimpleNamespace(ENDPOINT=LOCAL.url, HF_HUB_OFFLINE=True)
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", early)
    with pytest.raises(RuntimeError, match="HF_HUB_OFFLINE forbade every request. Restart"):
        connections.check_imports(LOCAL)
    early.HF_HUB_OFFLINE = False
    connections.check_imports(LOCAL)
