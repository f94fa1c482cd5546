"""What the API says of repositories: info, lists, folders, refs, history; and what it does not."""

import pytest

CARD = """---
language: en
license: mit
tags: [demo, course]
datasets: [ann/reviews]
---
# Bert
"""
CONFIG = '{"architectures": ["BertForMaskedLM"], "model_type": "bert", "hidden_size": 64}'


@pytest.fixture
def bert(hub):
    files = {"README.md": CARD, "config.json": CONFIG, "model.safetensors": b"w" * 100}
    hub.push("ann/bert", files)
    return hub


def ids(answer):
    return [item["id"] for item in answer.json]


# -- info ------------------------------------------------------------------------------------------


def test_info_comes_from_card_and_config(bert):
    info = bert.get("/api/models/ann/bert").json
    assert info["pipeline_tag"] == "fill-mask"
    assert info["library_name"] == "transformers"
    assert info["config"] == {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
    assert {"demo", "course", "en", "license:mit", "dataset:ann/reviews"} <= set(info["tags"])
    assert info["cardData"]["license"] == "mit"
    assert [s["rfilename"] for s in info["siblings"]] == [
        ".gitattributes", "README.md", "config.json", "model.safetensors",
    ]  # fmt: skip
    assert info["createdAt"].endswith("Z") and len(info["sha"]) == 40


def test_info_with_blobs_has_sizes_and_ids(bert):
    siblings = bert.get("/api/models/ann/bert?blobs=true").json["siblings"]
    large = next(s for s in siblings if s["rfilename"] == "model.safetensors")
    small = next(s for s in siblings if s["rfilename"] == "config.json")
    assert large["lfs"]["size"] == large["size"] == 100
    assert len(large["lfs"]["sha256"]) == 64 and large["lfs"]["pointerSize"] > 100
    assert small["size"] == len(CONFIG) and "lfs" not in small


def test_info_of_a_revision(bert):
    old = bert.get("/api/models/ann/bert/commits/main").json[-1]["id"]
    info = bert.get(f"/api/models/ann/bert/revision/{old}").json
    assert (info["sha"], len(info["siblings"])) == (old, 1)
    # A prefix of a commit's id will do, as for `git`.
    assert bert.get(f"/api/models/ann/bert/revision/{old[:7]}").json["sha"] == old
    answer = bert.get("/api/models/ann/bert/revision/gone")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound")


def test_expand_answers_what_was_named_and_the_ids(bert):
    info = bert.get("/api/models/ann/bert?expand=tags&expand=siblings").json
    assert info.keys() == {"_id", "id", "tags", "siblings"}
    assert bert.get("/api/models/ann/bert?expand=nonsense").status == 400


def test_spaces_say_their_sdk(hub):
    hub.push("ann/app", {"README.md": "---\nsdk: gradio\ntags: [metric]\n---\n"}, kind="space")
    assert hub.get("/api/spaces/ann/app").json["sdk"] == "gradio"
    assert ids(hub.get("/api/spaces?filter=metric")) == ["ann/app"]


@pytest.mark.parametrize(
    "card",
    [
        "---\n*alias\n---\n",
        "---\na: &x [1]\nb: *x\n---\n",
        "---\n" + "[" * 5000 + "\n---\n",
        "---\n- list\n---\n",
        "---\nx: 2001-99-99\n---\n",
        "---\nx: 0x" + "f" * 6000 + "\n---\n",
        "---\nx: .nan\ny: .inf\nz: 2001-01-01\nb: !!binary aGk=\n---\n",
        '---\ntags: ["\\ud800"]\n---\n',
        "---\n? [a]\n: b\n---\n",
        "---\n!!python/object:os.system {}\n---\n",
        "---\ntags: {a: 1}\nlanguage: [1, null, en]\n---\n",
    ],
)
def test_no_card_breaks_anything(hub, card):
    hub.push("ann/odd", {"README.md": card, "config.json": '{"architectures": [NaN, "\\ud800"]}'})
    assert hub.get("/api/models/ann/odd").status == 200
    assert hub.get("/api/models?full=true").status == 200


# -- lists -----------------------------------------------------------------------------------------


def test_lists_search_filter_and_sort(bert):
    bert.push("bob/gpt", {"README.md": "---\npipeline_tag: text-generation\ntags: [demo]\n---\n"})
    assert ids(bert.get("/api/models")) == ["bob/gpt", "ann/bert"]
    assert ids(bert.get("/api/models?author=ann")) == ["ann/bert"]
    assert ids(bert.get("/api/models?search=BER")) == ["ann/bert"]
    assert ids(bert.get("/api/models?search=bert&search=bob")) == []
    assert ids(bert.get("/api/models?filter=demo")) == ["bob/gpt", "ann/bert"]
    assert ids(bert.get("/api/models?filter=demo&filter=license:mit")) == ["ann/bert"]
    assert ids(bert.get("/api/models?pipeline_tag=text-generation")) == ["bob/gpt"]
    assert ids(bert.get("/api/models?sort=createdAt&limit=1")) == ["bob/gpt"]
    assert ids(bert.get("/api/datasets")) == []
    assert bert.get("/api/models?sort=loudness").status == 400
    assert bert.get("/api/models?apps=ollama").status == 501


def test_data_sets_are_found_by_language(hub):
    hub.push("ann/reviews", {"README.md": "---\nlanguage: [en, de]\n---\n"}, kind="dataset")
    assert ids(hub.get("/api/datasets?filter=language:de")) == ["ann/reviews"]


def test_lists_hold_back_what_was_not_asked_for(bert):
    plain, full = (bert.get(f"/api/models{more}").json[0] for more in ("", "?full=true"))
    assert not {"cardData", "config", "siblings"} & plain.keys()
    assert {"cardData", "siblings", "sha", "lastModified"} <= full.keys()
    assert bert.get("/api/models?config=true").json[0]["config"]["model_type"] == "bert"
    named = bert.get("/api/models?expand=cardData").json[0]
    assert named.keys() == {"_id", "id", "cardData"}


def test_pages_lead_to_the_next_with_all_that_was_asked(hub):
    for number in range(5):
        hub.push(f"ann/bert-{number}", {})
    target, seen = "/api/models?limit=2&search=bert&sort=createdAt", []
    while target:
        answer = hub.get(target)
        seen += ids(answer)
        link = answer.headers.get("link", "")
        assert not link or link.endswith('>; rel="next"')
        target = link.partition("<http://hub.test")[2].partition(">")[0]
        assert not target or "search=bert" in target and "sort=createdAt" in target
    assert seen == [f"ann/bert-{number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "1e3", "", "9" * 30, "²"])
def test_bad_limits_are_refused(hub, limit):
    from urllib.parse import quote

    assert hub.get(f"/api/models?limit={quote(limit)}").status == 400


def test_tags_by_type(bert):
    groups = bert.get("/api/models-tags-by-type").json
    assert groups["license"] == [{"id": "license:mit", "label": "mit", "type": "license"}]


# -- folders and files -----------------------------------------------------------------------------


@pytest.fixture
def tree(hub):
    files = {"a.txt": "a", "data/train/0.parquet": b"p" * 50, "data/info.json": "{}"}
    hub.push("ann/reviews", files, kind="dataset")
    return hub


def test_tree_lists_a_folder(tree):
    rows = tree.get("/api/datasets/ann/reviews/tree/main").json
    assert [(r["type"], r["path"]) for r in rows] == [
        ("file", ".gitattributes"), ("file", "a.txt"), ("directory", "data"),
    ]  # fmt: skip
    assert all(len(r["oid"]) == 40 for r in rows)


def test_tree_lists_below_a_quoted_folder_and_recursively(tree):
    rows = tree.get("/api/datasets/ann/reviews/tree/main/data%2Ftrain").json
    assert [r["path"] for r in rows] == ["data/train/0.parquet"]
    assert rows[0]["lfs"]["size"] == rows[0]["size"] == 50 and "xetHash" not in rows[0]
    rows = tree.get("/api/datasets/ann/reviews/tree/main/data?recursive=true").json
    assert [r["path"] for r in rows] == ["data/info.json", "data/train", "data/train/0.parquet"]


def test_tree_comes_in_pages(tree):
    first = tree.get("/api/datasets/ann/reviews/tree/main?recursive=true&limit=4")
    assert len(first.json) == 4 and "cursor=4" in first.headers["link"]
    rest = tree.get("/api/datasets/ann/reviews/tree/main?recursive=true&limit=4&cursor=4")
    assert [r["path"] for r in rest.json] == ["data/train", "data/train/0.parquet"]
    assert "link" not in rest.headers


@pytest.mark.parametrize("path", ["gone", "a.txt", "data%2Fgone", "..%2Fx", "data%2F%2Ftrain"])
def test_tree_of_what_is_no_folder_is_absent(tree, path):
    answer = tree.get(f"/api/datasets/ann/reviews/tree/main/{path}")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "EntryNotFound")
    assert len(answer.headers["x-repo-commit"]) == 40


def test_expanded_rows_name_the_commit_that_changed_them(tree):
    tree.push("ann/reviews", {"a.txt": "new"}, kind="dataset")
    commits = tree.get("/api/datasets/ann/reviews/commits/main").json
    rows = tree.get("/api/datasets/ann/reviews/tree/main?expand=true").json
    last = {row["path"]: row["lastCommit"]["id"] for row in rows}
    assert last["a.txt"] == commits[0]["id"]
    assert last["data"] == commits[1]["id"]
    assert last[".gitattributes"] == commits[2]["id"]


FORM = {"content-type": "application/x-www-form-urlencoded"}


def test_paths_info_reads_a_form_and_json(tree):
    address = "/api/datasets/ann/reviews/paths-info/main"
    body = b"paths=data%2Finfo.json&paths=gone&paths=data&expand=false"
    form = tree.as_user(None).ask("POST", address, body=body, headers=FORM)
    assert [r["path"] for r in form.json] == ["data/info.json", "data"]
    as_json = tree.post(address, {"paths": ["data/info.json", "gone", "data"]})
    assert as_json.json == form.json
    assert "lastCommit" in tree.post(address, {"paths": "a.txt", "expand": True}).json[0]


def test_bad_paths_info(tree):
    address = "/api/datasets/ann/reviews/paths-info/main"
    assert tree.post(address, {"paths": 5}).status == 400
    assert tree.post(address, {"paths": ["a"] * 10_001}).status == 400
    assert tree.ask("POST", address, body=b"paths=%ff", headers=FORM).status == 400
    assert tree.ask("POST", address, body=b"a" * 5_000_000, headers=FORM).status == 413


# -- refs, history, pull requests ------------------------------------------------------------------


def test_branches_and_tags(bert):
    api = "/api/models/ann/bert"
    assert bert.post(f"{api}/branch/feature%2Fx", {}).status == 200
    assert bert.post(f"{api}/branch/feature%2Fx", {}).status == 409
    assert bert.post(f"{api}/branch/y", {"startingPoint": "gone"}).status == 404
    assert bert.post(f"{api}/tag/feature%2Fx", {"tag": "v1", "message": None}).status == 200
    assert bert.post(f"{api}/tag/main", {"tag": "v1"}).status == 409
    refs = bert.get(f"{api}/refs").json
    assert [b["ref"] for b in refs["branches"]] == ["refs/heads/feature/x", "refs/heads/main"]
    assert [(t["name"], t["ref"]) for t in refs["tags"]] == [("v1", "refs/tags/v1")]
    assert refs["converts"] == [] and "pullRequests" not in refs
    assert bert.ask("DELETE", f"{api}/tag/v1").status == 200
    assert bert.ask("DELETE", f"{api}/branch/feature%2Fx").status == 200
    gone = bert.ask("DELETE", f"{api}/branch/feature%2Fx")
    assert (gone.status, gone.headers["x-error-code"]) == (404, "RevisionNotFound")
    assert bert.ask("DELETE", f"{api}/branch/main").status == 400


@pytest.mark.parametrize("name", ["refs%2Fpr%2F1", "a..b", "%2Fa", "a.lock", "0" * 40, "a%20b"])
def test_bad_branch_names_are_refused(bert, name):
    assert bert.post(f"/api/models/ann/bert/branch/{name}", {}).status == 400


def test_history_newest_first_in_pages(hub):
    for number in range(3):
        hub.push("ann/bert", {"a.txt": str(number)})
    rows = hub.get("/api/models/ann/bert/commits/main?expand[]=formatted").json
    assert [r["title"] for r in rows] == ["Add files"] * 3 + ["initial commit"]
    assert rows[0]["authors"] == [{"user": "learner"}] and rows[0]["formatted"]["title"]
    first = hub.get("/api/models/ann/bert/commits/main?limit=3")
    assert "cursor=3" in first.headers["link"]
    assert (
        hub.get("/api/models/ann/bert/commits/main?limit=3&cursor=3").json[0]["id"]
        == (rows[3]["id"])
    )


def test_a_pull_request_is_a_ref_that_starts_at_main(bert):
    api = "/api/models/ann/bert"
    asked = {"title": "Better", "description": "why", "pullRequest": True}
    assert bert.post(f"{api}/discussions", asked).json["num"] == 1
    details = bert.get(f"{api}/discussions/1?diff=1").json
    assert details["isPullRequest"] and details["changes"]["base"] == "refs/heads/main"
    assert details["repo"] == {"name": "ann/bert", "type": "model"}
    refs = bert.get(f"{api}/refs?include_prs=1").json["pullRequests"]
    assert [r["ref"] for r in refs] == ["refs/pr/1"]
    assert bert.get("/ann/bert/resolve/refs%2Fpr%2F1/config.json").status == 200
    assert bert.get(f"{api}/discussions/2").status == 404
    assert bert.post(f"{api}/discussions", {"title": "Talk", "pullRequest": False}).status == 501


def test_the_list_of_discussions_is_an_error(bert):
    # An empty list would make transformers send the user's token to a public service.
    answer = bert.get("/api/models/ann/bert/discussions?p=0")
    assert answer.status == 501


# -- errors ----------------------------------------------------------------------------------------

READS = [
    "", "/revision/main", "/tree/main", "/tree/main/data", "/refs", "/commits/main", "/auth-check",
    "/auth-check/write", "/discussions", "/discussions/1",
]  # fmt: skip


@pytest.mark.parametrize("tail", READS)
def test_every_answer_about_a_missing_repository_says_so_in_its_code(hub, tail):
    answer = hub.get(f"/api/models/ann/gone{tail}")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RepoNotFound")
    assert answer.json["error"] == answer.headers["x-error-message"]


@pytest.mark.parametrize("tail", ["/revision/gone", "/tree/gone", "/commits/gone"])
def test_every_answer_about_a_missing_revision_says_so_in_its_code(bert, tail):
    answer = bert.get(f"/api/models/ann/bert{tail}")
    assert (answer.status, answer.headers["x-error-code"]) == (404, "RevisionNotFound")


@pytest.mark.parametrize(
    "method, path",
    [
        ("POST", "/api/models/ann/bert/duplicate"),
        ("POST", "/api/models/ann/bert/super-squash/main"),
        ("GET", "/api/models/ann/bert/lfs-files"),
        ("GET", "/api/models/ann/bert/compare/a..b"),
        ("POST", "/api/models/ann/bert/like"),
        ("GET", "/api/spaces/ann/app/runtime"),
        ("POST", "/api/spaces/ann/app/secrets"),
        ("GET", "/api/collections?owner=ann"),
        ("GET", "/api/settings/webhooks"),
        ("GET", "/api/jobs/ann"),
        ("GET", "/api/users/ann/overview"),
        ("GET", "/api/daily_papers"),
    ],
)
def test_what_is_not_offered_says_so(bert, method, path):
    answer = bert.ask(method, path)
    assert answer.status == 501
    assert answer.json["error"].startswith("The Course Hub does not offer ")


def test_unknown_addresses_and_methods(bert):
    assert bert.get("/api/nonsense").status == 404
    answer = bert.ask("DELETE", "/api/models/ann/bert/refs")
    assert (answer.status, answer.headers["allow"]) == (405, "GET")
    assert bert.ask("BREW", "/api/models/ann/bert").status == 405
