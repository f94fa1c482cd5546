"""Stand-ins: listed before they exist, made when first asked for, once, and whole."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from course_lib.hub.cards.describe import describe
from course_lib.hub.names import RepoId, parse_repo_id
from course_lib.hub.server import create_app
from course_lib.hub.storage.store import AddFile, Store

CARD = "---\npipeline_tag: fill-mask\ntags: [stand-in]\n---\n# Bert\n"


@dataclass
class Entry:
    repo_id: RepoId
    aliases: list[RepoId]
    summary: dict
    edition: str
    created_at: int = 1_600_000_000_000


@dataclass
class Shelf:
    """A catalogue with one model, which can be slow, or fail, or be interrupted half-way."""

    seconds: float = 0.0
    problem: Exception | None = None
    edition: str = "first"
    made: list[str] = field(default_factory=list)

    def listing(self, kind: str) -> list[Entry]:
        if kind != "model":
            return []
        names = ["google-bert/bert-base-uncased", "bert-base-uncased"]
        repo, alias = (parse_repo_id("model", name) for name in names)
        read = {"README.md": CARD}.get
        return [Entry(repo, [alias], describe("model", read), self.edition)]

    def assemble(self, repo_id: RepoId, store: Store) -> None:
        self.made.append(repo_id.full)
        repo = store.find_repo(repo_id) or store.create_repo(repo_id, author="course")
        time.sleep(self.seconds)
        if self.problem:
            raise self.problem
        files = {"README.md": CARD.encode(), "config.json": b'{"model_type": "bert"}'}
        adds = [AddFile(path, store.blobs.put(data), False) for path, data in files.items()]
        store.commit(repo, "main", adds, title="Stand-in", author="course")
        store.add_alias(repo_id, self.listing("model")[0].aliases[0])


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def stocked(hub, shelf):
    """The Hub of the fixture `hub`, with a catalogue."""
    return type(hub)(create_app(hub.store, shelf), hub.token)


def test_what_is_not_made_yet_is_listed(stocked, shelf):
    found = stocked.get("/api/models?filter=stand-in").json
    assert [(m["id"], m["pipeline_tag"]) for m in found] == [
        ("google-bert/bert-base-uncased", "fill-mask")
    ]
    assert stocked.get("/api/models?full=true").json[0]["sha"] is None
    assert shelf.made == []


@pytest.mark.parametrize("name", ["google-bert/bert-base-uncased", "bert-base-uncased"])
def test_it_is_made_when_first_asked_for(stocked, shelf, name):
    assert stocked.get(f"/{name}/resolve/main/config.json").body == b'{"model_type": "bert"}'
    assert stocked.get(f"/api/models/{name}").json["id"] == "google-bert/bert-base-uncased"
    assert stocked.get("/bert-base-uncased/resolve/main/README.md").status == 200
    assert shelf.made == ["google-bert/bert-base-uncased"]
    listed = stocked.get("/api/models").json
    assert [m["id"] for m in listed] == ["google-bert/bert-base-uncased"]


def test_many_who_ask_at_once_get_one(stocked, shelf):
    shelf.seconds = 0.2

    async def ask_all():
        target = parse_repo_id("model", "bert-base-uncased")
        return await asyncio.gather(*(stocked.app.hub.find_repo(target) for _ in range(8)))

    found = asyncio.run(ask_all())
    assert len({repo.key for repo in found}) == 1
    assert len(shelf.made) == 1


def test_a_restarted_hub_does_not_make_it_again(stocked, shelf):
    stocked.get("/api/models/bert-base-uncased")
    again = type(stocked)(create_app(stocked.store, shelf), stocked.token)
    assert again.get("/api/models/bert-base-uncased").status == 200
    assert len(shelf.made) == 1


def test_a_newer_package_makes_it_again_once(stocked, shelf):
    stocked.get("/api/models/bert-base-uncased")
    shelf.edition = "second"
    for _ in range(2):
        again = type(stocked)(create_app(stocked.store, shelf), stocked.token)
        assert again.get("/api/models/bert-base-uncased").status == 200
        assert len(shelf.made) == 2


def test_what_was_interrupted_is_made_again(stocked, shelf):
    shelf.problem = KeyboardInterrupt()  # as good as a kill: nothing of ours runs after it
    with pytest.raises(KeyboardInterrupt):
        stocked.get("/api/models/bert-base-uncased")
    shelf.problem = None
    again = type(stocked)(create_app(stocked.store, shelf), stocked.token)
    assert [m["id"] for m in again.get("/api/models?filter=stand-in").json], "still as the shelf's"
    assert again.get("/bert-base-uncased/resolve/main/config.json").status == 200
    assert len(shelf.made) == 2


def test_a_failure_says_why_and_is_no_server_error(stocked, shelf):
    shelf.problem = RuntimeError("weights.safetensors was altered: reinstall course_lib")
    answer = stocked.ask("HEAD", "/bert-base-uncased/resolve/main/config.json")
    assert answer.status == 424  # clients retry a 500 for minutes
    assert "was altered: reinstall course_lib" in answer.headers["x-error-message"]
    shelf.problem = None
    assert stocked.get("/bert-base-uncased/resolve/main/config.json").status == 200


def test_its_id_is_taken_and_a_deleted_one_comes_back(stocked, shelf):
    body = {"name": "bert-base-uncased", "organization": "google-bert"}
    assert stocked.post("/api/repos/create", body).status == 409
    assert stocked.ask("DELETE", "/api/repos/delete", json_body=body).status == 200
    assert len(stocked.get("/api/models").json) == 1
    assert stocked.get("/api/models/bert-base-uncased").status == 200
    assert len(shelf.made) == 2


def test_what_a_reader_pushes_to_it_stays(stocked, shelf):
    stocked.get("/api/models/bert-base-uncased")
    stocked.push("google-bert/bert-base-uncased", {"README.md": "No metadata any more"})
    again = type(stocked)(create_app(stocked.store, shelf), stocked.token)
    assert again.get("/bert-base-uncased/resolve/main/README.md").body == b"No metadata any more"
    assert len(shelf.made) == 1


def test_the_server_answers_others_meanwhile(stocked, shelf):
    shelf.seconds = 1.0

    async def ask_twice():
        target = parse_repo_id("model", "bert-base-uncased")
        making = asyncio.create_task(stocked.app.hub.find_repo(target))
        await asyncio.sleep(0.1)
        other = await stocked.app.hub.find_repo(parse_repo_id("model", "ann/other"))
        assert other is None and not making.done(), "the event loop was held up"
        await making

    asyncio.run(ask_twice())
