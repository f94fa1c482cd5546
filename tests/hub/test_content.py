"""Files over HTTP: headers that the client's cache relies on, ranges, absences."""

import asyncio
import hashlib

import pytest

BYTES = bytes(range(256)) * 20
WEIGHTS = b"weights" * 400_000  # several megabytes: longer than one read


@pytest.fixture
def files(hub):
    hub.push("ann/bert", {"config.json": BYTES, "data/model.bin": WEIGHTS, "empty.txt": b""})
    return hub


def test_a_small_file_has_gits_id_and_the_commit(files):
    answer = files.get("/ann/bert/resolve/main/config.json")
    sha = hashlib.sha1(b"blob %d\0" % len(BYTES) + BYTES).hexdigest()
    assert (answer.status, answer.body) == (200, BYTES)
    assert answer.headers["etag"] == f'"{sha}"'
    assert answer.headers["x-repo-commit"] == files.get("/api/models/ann/bert").json["sha"]
    assert answer.headers["content-length"] == str(len(BYTES))
    assert "x-linked-etag" not in answer.headers


def test_a_large_file_is_known_by_its_sha256(files):
    answer = files.get("/ann/bert/resolve/main/data/model.bin")
    sha = hashlib.sha256(WEIGHTS).hexdigest()
    assert answer.body == WEIGHTS
    assert answer.headers["etag"] == answer.headers["x-linked-etag"] == f'"{sha}"'
    assert answer.headers["x-linked-size"] == str(len(WEIGHTS))
    for name in ("location", "x-xet-hash", "link", "content-encoding"):
        assert name not in answer.headers


@pytest.mark.parametrize("path", ["config.json", "data/model.bin", "empty.txt"])
def test_head_says_what_get_says_without_a_body(files, path):
    head = files.ask("HEAD", f"/ann/bert/resolve/main/{path}")
    get = files.get(f"/ann/bert/resolve/main/{path}")
    assert (head.status, head.headers, head.body) == (200, get.headers, b"")


@pytest.mark.parametrize("path", ["config.json", "data/model.bin"])
@pytest.mark.parametrize(
    "asked, start, end",
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=5000-", 5000, None),
        ("bytes=-7", -7, None),
        ("bytes=-99999999999", 0, None),
        ("bytes=100-99999999999999999999999", 100, None),
    ],
)
def test_ranges(files, path, asked, start, end):
    whole = {"config.json": BYTES, "data/model.bin": WEIGHTS}[path]
    answer = files.get(f"/ann/bert/resolve/main/{path}", headers={"range": asked})
    part = whole[start:end]
    first = len(whole) + start if start < 0 else start
    assert (answer.status, answer.body) == (206, part)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
    assert answer.headers["content-length"] == str(len(part))


@pytest.mark.parametrize("asked", ["bytes=5120-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_outside_the_file_is_a_416(files, asked):
    answer = files.get("/ann/bert/resolve/main/config.json", headers={"range": asked})
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(BYTES)}"


@pytest.mark.parametrize("asked", ["", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "x"])
def test_what_is_no_single_range_gets_the_whole_file(files, asked):
    answer = files.get("/ann/bert/resolve/main/config.json", headers={"range": asked})
    assert (answer.status, answer.body) == (200, BYTES)


def test_a_part_of_a_file_that_has_changed_is_not_mixed_with_the_old_one(files):
    headers = {"range": "bytes=5-", "if-range": '"older"'}
    assert files.get("/ann/bert/resolve/main/config.json", headers=headers).body == BYTES


def test_an_absent_file_names_the_commit_that_lacks_it(files):
    answer = files.ask("HEAD", "/ann/bert/resolve/main/chat_template.jinja")
    assert answer.status == 404
    assert answer.headers["x-error-code"] == "EntryNotFound"
    assert answer.headers["x-repo-commit"] == files.get("/api/models/ann/bert").json["sha"]


def test_the_script_that_datasets_looks_for_is_absent(hub):
    # Were it there, `load_dataset` would refuse the data set.
    hub.push("ann/reviews", {"train.csv": "a\n1\n"}, kind="dataset")
    answer = hub.ask("HEAD", "/datasets/ann/reviews/resolve/main/reviews.py")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "EntryNotFound")


@pytest.mark.parametrize("path", ["data", "data/", "/config.json", "../config.json", "data%00"])
def test_what_is_not_a_file_is_absent(files, path):
    answer = files.get(f"/ann/bert/resolve/main/{path}")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "EntryNotFound")


def test_revisions_and_paths_arrive_quoted(hub):
    repo = hub.push("ann/bert", {"dir/a b+c%.txt": "odd", "ü.txt": "umlaut"})
    hub.store.create_branch(repo, "feature/x")
    quoted = "/ann/bert/resolve/feature%2Fx"
    assert hub.get(f"{quoted}/dir/a%20b%2Bc%25.txt").body == b"odd"
    assert hub.get(f"{quoted}/%C3%BC.txt").body == b"umlaut"
    # Unquoted, `feature` alone would be the revision.
    assert hub.get("/ann/bert/resolve/feature/x/%C3%BC.txt").headers["x-error-code"] == (
        "RevisionNotFound"
    )


@pytest.mark.parametrize("kind, prefix", [("dataset", "datasets/"), ("space", "spaces/")])
def test_kinds_have_addresses_of_their_own(hub, kind, prefix):
    hub.push("ann/one", {"a.txt": kind}, kind=kind)
    assert hub.get(f"/{prefix}ann/one/resolve/main/a.txt").body == kind.encode()
    assert hub.get("/ann/one/resolve/main/a.txt").headers["x-error-code"] == "RepoNotFound"


def test_one_part_ids_work(hub):
    hub.push("gpt2", {"a.txt": "legacy"})
    assert hub.get("/gpt2/resolve/main/a.txt").body == b"legacy"
    assert hub.get("/gpt2/raw/main/a.txt").body == b"legacy"


def test_pushed_pages_cannot_act_in_the_hubs_name(hub):
    hub.push("ann/site", {"page.html": "<script>alert(1)</script>", "a.svg": "<svg/>"})
    for path, kind in [("page.html", "text/plain; charset=utf-8"), ("a.svg", "image/svg+xml")]:
        headers = hub.get(f"/ann/site/resolve/main/{path}").headers
        assert headers["content-type"] == kind
        assert headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in headers["content-security-policy"]


def test_a_download_is_named_as_the_file(hub):
    hub.push("ann/site", {"sub/ü.txt": "x"})
    answer = hub.get("/ann/site/resolve/main/sub/%C3%BC.txt?download=true")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC.txt"


def test_a_browser_that_has_the_file_is_told_so(files):
    first = files.get("/ann/bert/resolve/main/config.json")
    headers = {"if-none-match": first.headers["etag"]}
    again = files.get("/ann/bert/resolve/main/config.json", headers=headers)
    assert (again.status, again.body) == (304, b"")


def test_lost_content_is_said_plainly(files):
    sha = hashlib.sha256(BYTES).hexdigest()
    files.store.blobs.path(sha).unlink()
    answer = files.get("/ann/bert/resolve/main/config.json")
    assert answer.status == 410
    assert "course hub check" in answer.json["error"]


def test_a_client_that_went_away_is_not_read_for(files):
    """The rest of a large file is not fetched from the disk for nobody."""
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)
        await asyncio.sleep(0.01)

    path = "/ann/bert/resolve/main/data/model.bin"
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
             "query_string": b"", "headers": []}  # fmt: skip
    asyncio.run(files.app(scope, receive, send))
    assert 0 < sum(len(m.get("body", b"")) for m in sent) < len(WEIGHTS)
    assert files.app.hub.active == 0
