"""Repositories over HTTP: made, renamed, changed, deleted, and who may."""

import pytest


@pytest.fixture
def ann(hub):
    """A student, who writes in the namespace `ann` only."""
    return hub.as_user(hub.app.hub.tokens.create("ann", "student", "test"))


@pytest.fixture
def reader(hub):
    return hub.as_user(hub.app.hub.tokens.create("learner", "read", "test"))


@pytest.fixture
def stranger(hub):
    return hub.as_user(None)


def create(client, name, **more):
    return client.post("/api/repos/create", {"name": name, "organization": None, **more})


def test_a_new_repository_has_main_and_gitattributes(hub):
    answer = create(hub, "bert")
    assert answer.status == 200
    assert answer.json["url"] == "http://hub.test/learner/bert"
    assert answer.json["name"] == "learner/bert"
    assert [e["path"] for e in hub.get("/api/models/learner/bert/tree/main").json] == [
        ".gitattributes"
    ]


@pytest.mark.parametrize("kind, prefix", [("dataset", "datasets/"), ("space", "spaces/")])
def test_each_kind_has_its_address(hub, kind, prefix):
    answer = create(hub, "one", organization="ann", type=kind, sdk="gradio")
    assert answer.json["url"] == f"http://hub.test/{prefix}ann/one"
    assert hub.get(f"/api/{prefix}ann/one").json["id"] == "ann/one"


def test_a_taken_id_is_a_conflict_that_carries_the_address(hub):
    create(hub, "bert")
    answer = create(hub, "bert")
    assert answer.status == 409
    assert answer.json["url"] == "http://hub.test/learner/bert"
    assert "another conflicting operation" not in answer.json["error"]


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "..", "a..b", "a--b", "x" * 97, "tree", "bert.git", "ü", "a b", "-a"]
)
def test_bad_names_are_refused(hub, name):
    answer = create(hub, name)
    assert (answer.status, "x-error-code" in answer.headers) == (400, False)


@pytest.mark.parametrize("body", [{}, {"name": 5}, {"name": "a", "organization": []}])
def test_bad_requests_say_which_field(hub, body):
    answer = hub.post("/api/repos/create", body)
    assert answer.status == 400
    assert "Field" in answer.json["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"name": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_object_is_refused(hub, body):
    assert hub.ask("POST", "/api/repos/create", body=body).status == 400


def test_a_surrogate_in_a_title_does_no_harm(hub):
    hub.push("learner/bert", {"a": "b"})
    body = b'{"title": "half \\ud800", "pullRequest": true}'
    answer = hub.ask("POST", "/api/models/learner/bert/discussions", body=body)
    assert (answer.status, answer.json["num"]) == (200, 1)
    assert hub.get("/api/models/learner/bert/discussions/1").json["title"] == "half ?"


def test_deleting(hub):
    create(hub, "bert")
    assert hub.ask("DELETE", "/api/repos/delete", json_body={"name": "bert"}).status == 200
    answer = hub.ask("DELETE", "/api/repos/delete", json_body={"name": "bert"})
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound")


def test_the_old_id_of_a_renamed_repository_works(hub):
    hub.push("learner/old", {"a.txt": "a"})
    body = {"fromRepo": "learner/old", "toRepo": "learner/new", "type": "model"}
    assert hub.post("/api/repos/move", body).status == 200
    assert hub.get("/learner/old/resolve/main/a.txt").body == b"a"
    assert hub.get("/api/models/learner/old").json["id"] == "learner/new"
    assert create(hub, "old").json["url"] == "http://hub.test/learner/new"
    back = {"fromRepo": "learner/old", "toRepo": "learner/old", "type": "model"}
    assert hub.post("/api/repos/move", back).status == 200
    assert hub.get("/api/models/learner/new").json["id"] == "learner/old"


def test_renaming_to_a_taken_id_is_a_conflict(hub):
    hub.push("learner/one", {}), hub.push("learner/two", {})
    body = {"fromRepo": "learner/one", "toRepo": "learner/two", "type": "model"}
    assert hub.post("/api/repos/move", body).status == 409


def test_settings(hub):
    hub.push("learner/bert", {})
    put = {"visibility": "private", "gated": "auto"}
    assert hub.ask("PUT", "/api/models/learner/bert/settings", json_body=put).status == 200
    assert hub.get("/api/models/learner/bert").json["private"] is True
    assert hub.get("/api/models/learner/bert").json["gated"] == "auto"
    hub.ask("PUT", "/api/models/learner/bert/settings", json_body={"gated": False})
    assert hub.get("/api/models/learner/bert").json["gated"] is False
    for bad in ({"visibility": "secret"}, {"gated": "maybe"}, {"private": "yes"}):
        answer = hub.ask("PUT", "/api/models/learner/bert/settings", json_body=bad)
        assert answer.status == 400


# -- who may ---------------------------------------------------------------------------------------


def test_writing_needs_a_token_and_the_right_one(hub, ann, reader, stranger):
    hub.push("learner/bert", {"a.txt": "a"})
    branch = "/api/models/learner/bert/branch/x"
    assert stranger.post(branch, {}).status == 401
    assert reader.post(branch, {}).status == 403
    assert ann.post(branch, {}).status == 403
    assert hub.post(branch, {}).status == 200
    assert stranger.get("/learner/bert/resolve/main/a.txt").status == 200


def test_students_write_in_their_own_namespace(ann):
    assert create(ann, "bert").json["name"] == "ann/bert"
    assert create(ann, "bert", organization="bob").status == 403
    body = {"fromRepo": "ann/bert", "toRepo": "bob/bert", "type": "model"}
    assert ann.post("/api/repos/move", body).status == 403
    assert ann.get("/api/models/ann/bert/auth-check/write").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/models/bob/secret",
        "/api/models/bob/secret/tree/main",
        "/api/models/bob/secret/refs",
        "/api/models/bob/secret/commits/main",
        "/api/models/bob/secret/auth-check",
        "/api/models/bob/secret/discussions",
        "/bob/secret/resolve/main/a.txt",
    ],
)
def test_a_private_repository_does_not_exist_for_others(hub, ann, stranger, path):
    hub.push("bob/secret", {"a.txt": "a"})
    hub.ask("PUT", "/api/models/bob/secret/settings", json_body={"visibility": "private"})
    bob = hub.as_user(hub.app.hub.tokens.create("bob", "student", "test"))
    missing = stranger.get(path.replace("secret", "missing"))
    for other in (ann, stranger):
        answer = other.get(path)
        assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound")
        assert answer.body == missing.body.replace(b"missing", b"secret")
    assert bob.get(path).status == hub.get(path).status != 404


def test_private_repositories_are_listed_for_their_owner_only(hub, ann, reader, stranger):
    create(ann, "mine", private=True), hub.push("bob/open", {})
    ids = [[item["id"] for item in who.get("/api/models").json] for who in (ann, reader, stranger)]
    assert ids == [["bob/open", "ann/mine"], ["bob/open", "ann/mine"], ["bob/open"]]


@pytest.mark.parametrize("path", ["/api/models", "/api/whoami-v2", "/a/b/resolve/main/c"])
@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic YTpi", "x"])
def test_an_unknown_token_is_told_so_everywhere(hub, path, header):
    answer = hub.get(path, headers={"authorization": header})
    assert answer.status == 401
    assert answer.headers["x-error-message"] == "Invalid credentials in Authorization header"
