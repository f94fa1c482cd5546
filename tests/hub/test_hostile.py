"""Whatever stands in an address or an id: a clear refusal, never a 500, nothing left behind."""

import re
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from course_lib.hub.errors import HubError
from course_lib.hub.names import check_path, check_ref, parse_repo_id

RELAXED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PIECES = [
    "api", "models", "datasets", "spaces", "ann", "bert", "main", "resolve", "raw", "tree",
    "revision", "refs", "commits", "branch", "tag", "discussions", "refs%2Fpr%2F1", "..", ".",
    "%2e%2e", "%00", "%0a", "%2F", "%5C", "%ff", "%", "%zz", "", " ", "é", "\x7f", "README.md",
    "a" * 300, "0" * 40, "e" * 7, "-", "--", ".git", "gpt2", "static", "device", "healthz", "_cas",
    "info", "lfs", "objects", "bert.git", "auth-check", "settings", "paths-info", "$(id)", "'", '"',
]  # fmt: skip
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
paths = st.lists(st.sampled_from(PIECES) | st.text(st.characters(codec="latin-1"), max_size=5))
bodies = st.sampled_from(
    [b"", b"{}", b"[]", b"null", b"{", b"\xff\xfe", b'{"name": "../x"}', b'{"paths": [null]}',
     b'{"name": "a/b", "type": "x", "fromRepo": "", "toRepo": "", "tag": "\\ud800", "title": 1}',
     b'{"tag": "v1", "title": "\\ud800", "pullRequest": true, "startingPoint": "\\ud800"}',
     b"paths=..&paths=%2e%2e%00&paths=&expand=true", b"[" * 20_000]
)  # fmt: skip
queries = st.sampled_from(
    ["", "?", "?limit=0", "?limit=-1", "?cursor=99999999999999", "?expand=x&recursive=true", "?&=&",
     "?expand=true&recursive=1&limit=2", "?search=%ff&filter=%00&author=..", "?sort=%00"]
)  # fmt: skip


@pytest.fixture
def busy(hub):
    """A Hub with one repository of each kind, and a way to see that it did not change."""
    for kind in ("model", "dataset", "space"):
        repo = hub.push("ann/bert", {"README.md": "---\ntags: [x]\n---\n", "d/a.txt": "a"}, kind)
        hub.store.create_pull(repo, "t", "d", "ann")
    return hub


def contents(hub):
    """Everything that the store keeps: repositories, refs, and the names of all files on disk."""
    refs = {repo.id: hub.store.refs(repo) for repo in hub.store.repos()}
    files = {p for p in hub.store.root.rglob("*") if not p.name.startswith("hub.db")}
    return refs, files


@RELAXED
@given(st.sampled_from(METHODS), paths, queries, bodies, st.booleans())
def test_strangers_get_answers_and_change_nothing(busy, method, pieces, query, body, as_json):
    target = "/" + "/".join(pieces).replace("?", "%3F") + query
    check_refused(busy, method, target, body, as_json)


@RELAXED
@given(st.data(), queries, bodies, st.booleans())
def test_no_field_of_any_address_does_harm(busy, data, query, body, as_json):
    """As before, along the addresses that there are."""
    route = data.draw(st.sampled_from(busy.app.router.routes))
    known = {"kinds": "models", "prefix": "", "id": "ann/bert", "rev": "main"}

    def fill(field):
        usual = st.just(known.get(field[1], "1"))
        return data.draw(usual | usual | st.sampled_from(PIECES))

    target = re.sub(r"\{(\w+)\}", fill, route.template)
    check_refused(busy, route.method, target + query, body, as_json)


def check_refused(hub, method, target, body, as_json):
    before = contents(hub)
    headers = {"content-type": "application/json"} if as_json else {}
    answer = hub.as_user(None).ask(method, target, body=body, headers=headers)
    assert answer.status < 500 or answer.status == 501, (target, answer.status, answer.body)
    if answer.status >= 400 and "x-error-message" in answer.headers:
        message = answer.headers["x-error-message"]
        assert message.isprintable() and len(message) <= 6000
    assert contents(hub) == before


WRITES = [
    ("POST", "/api/repos/create"), ("DELETE", "/api/repos/delete"), ("POST", "/api/repos/move"),
    ("PUT", "/api/models/{id}/settings"), ("POST", "/api/models/{id}/branch/{rev}"),
    ("DELETE", "/api/models/{id}/branch/{rev}"), ("POST", "/api/models/{id}/tag/{rev}"),
    ("POST", "/api/models/{id}/discussions"), ("POST", "/api/models/{id}/paths-info/{rev}"),
    ("POST", "/api/validate-yaml"), ("POST", "/_course/kernels"),
]  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
fields = st.sampled_from(
    "name type organization sdk private visibility gated fromRepo toRepo startingPoint tag message "
    "title description pullRequest paths expand content repoType pid".split()
)


@RELAXED
@given(
    st.sampled_from(WRITES),
    st.sampled_from(
        ["ann/bert", "gpt2", "ann%2Fbert", "../..", "ann/..", "a" * 200, "ann/bert.git"]
    ),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.dictionaries(fields, values, max_size=5),
)
def test_the_owner_gets_no_500_whatever_the_fields_hold(busy, write, name, revision, data):
    method, template = write
    target = template.format(id=name, rev=quote(revision, safe=""))
    answer = busy.ask(method, target, json_body=data)
    assert answer.status < 500 or answer.status == 501, (target, data, answer.body)
    for repo in busy.store.repos():  # what was made has a proper name
        assert parse_repo_id(repo.id.kind, repo.id.full) == repo.id
        for ref in busy.store.refs(repo):
            if ref.startswith(("refs/heads/", "refs/tags/")):
                check_ref(ref.split("/", 2)[2])


@RELAXED
@given(st.text(max_size=60), st.sampled_from(["", "ann/bert/", "x/"]))
def test_paths_are_plain_or_refused(text, start):
    try:
        path = check_path(start + text)
    except HubError as error:
        assert error.status == 400 and error.message.isprintable()
        return
    parts = path.split("/")
    assert not {"", ".", "..", ".git"} & set(parts)
    assert all(len(part.encode()) <= 255 for part in parts)
    assert path.isprintable() or not any(ord(c) < 32 or ord(c) == 127 for c in path)


@RELAXED
@given(st.text(max_size=120) | st.from_regex(r"[a-z.\-/]{1,20}", fullmatch=True))
def test_ids_are_owner_and_name_or_refused(text):
    try:
        repo = parse_repo_id("model", text)
    except HubError as error:
        assert error.status == 400 and error.message.isprintable()
        return
    assert repo.full == text and text.isascii() and ".." not in text and text.count("/") <= 1


@RELAXED
@given(st.binary(max_size=40))
def test_no_bytes_of_a_header_do_harm(busy, data):
    text = data.decode("latin-1")
    for name in ("range", "authorization", "if-none-match", "if-range", "content-type", "accept"):
        answer = busy.as_user(None).ask(
            "GET", "/ann/bert/resolve/main/README.md", headers={name: text}
        )
        assert answer.status in (200, 206, 304, 401, 416)
