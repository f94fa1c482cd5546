"""The pages for people: what this Hub holds, and each repository's card, files and history."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import islice, takewhile
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from course_lib.hub import errors
from course_lib.hub.names import check_path, shown
from course_lib.hub.routing import Call, Routes
from course_lib.hub.storage.history import MAX_DIFFS, changes, last_changes, line_changes
from course_lib.hub.storage.objects import Entry, File, Folder
from course_lib.hub.storage.store import MAIN, Commit, Repo
from course_lib.hub.web.browse import browse, tasks
from course_lib.hub.web.facts import card_page
from course_lib.hub.web.links import Links
from course_lib.hub.web.looking import look
from course_lib.hub.web.rendering import to_html
from course_lib.hub.web.templating import render, static_file

MAX_ENTRIES = 1000  # of a folder that are shown
MAX_CHANGES = 300  # of a commit
COMMITS = 50  # on a page
MAX_HISTORY = 2000  # commits of main among which a pull request's beginning is looked for
TITLES = {
    "RepoNotFound": "No such repository here",
    "RevisionNotFound": "No such revision here",
    "EntryNotFound": "No such file here",
    400: "This address cannot be right",
    401: "This token is not known here",
    404: "There is nothing here",
    405: "This is not offered here",
    424: "The stand-in could not be made",
    500: "The Hub failed here",
}

routes = Routes()


@routes.add("GET", "/static/{name}")
async def static(call: Call) -> Response:
    """Styles, script and icon."""
    name = call.params["name"]
    if not (found := static_file(name)):
        raise errors.HubError(404, f"The pages have no file {shown(name)}.")
    return found


@routes.add("GET", "/favicon.ico")
async def favicon(call: Call) -> Response:
    """For the pages that cannot name their icon: files that are shown as they are."""
    return static_file("icon.svg")


@routes.add("GET", "/")
async def home(call: Call) -> Response:
    """What this Hub is, and its models."""
    return await run_in_threadpool(_listing, call, "model", hero=True)


@routes.add("GET", "/{kinds}")
async def listing(call: Call) -> Response:
    """All repositories of a kind: searched, filtered by task, in pages."""
    return await run_in_threadpool(_listing, call, call.kind, hero=False)


def _listing(call: Call, kind: str, hero: bool) -> Response:
    search, task = (call.query.get(name, "").strip()[:200] for name in ("search", "task"))

    def address(kind: str, task: str = "", page: int = 1) -> str:
        wanted = {"search": search, "task": task, "page": page if page > 1 else ""}
        query = urlencode({name: value for name, value in wanted.items() if value})
        return f"/{kind}s?{query}" if query else f"/{kind}s"

    return render(
        "home.html",
        kind=kind,
        hero=hero,
        base=call.base,
        search=search,
        task=task,
        listing=browse(call.hub, kind, call.identity, search, task, _page(call)),
        listing_address=address,
        tasks=tasks,
        page_address=lambda page: address(kind, task, page),
    )


def _repo_page(build: Callable[[Call, Repo], Response]) -> Callable[[Call], Awaitable[Response]]:
    """A handler from a function that needs a repository the caller may see; runs in a thread."""

    async def handler(call: Call) -> Response:
        repo = await call.repo()
        asked = call.repo_id.url_path
        path = call.request.scope["raw_path"].decode("latin-1")
        if repo.id != call.repo_id and path.startswith(asked):  # an alias: show the name it has now
            query = f"?{call.request.url.query}" if call.request.url.query else ""
            return RedirectResponse(repo.id.url_path + path.removeprefix(asked) + query)
        return await run_in_threadpool(build, call, repo)

    return handler


def _render(template: str, call: Call, repo: Repo, tab: str, **context: object) -> Response:
    pulls = len(call.store.pulls(repo))
    return render(template, kind=repo.id.kind, repo=repo, tab=tab, pulls=pulls, **context)


@routes.add("GET", "/{prefix}{id}")
@_repo_page
def card(call: Call, repo: Repo) -> Response:
    """The card, what to copy to use it, and the first rows of a data set."""
    commit = call.store.resolve(repo, "main")
    context = card_page(call, repo, commit)
    return _render("card.html", call, repo, "card", links=Links(repo.id), commit=commit, **context)


@routes.add("GET", "/{prefix}{id}/tree/{rev}")
@routes.add("GET", "/{prefix}{id}/tree/{rev}/{rest}")
@_repo_page
def tree(call: Call, repo: Repo) -> Response:
    """A folder: names, sizes, and the commits that last changed them."""
    commit, path = call.commit(repo), call.params.get("rest", "").strip("/")
    links = Links(repo.id, call.params["rev"])
    folder = call.store.entry(repo, commit, check_path(path) if path else "")
    if isinstance(folder, File):
        return RedirectResponse(links.blob(path))
    found = sorted(
        call.store.trees.load(folder.key).items(),
        key=lambda item: (isinstance(item[1], File), item[0]),
    )
    changed = last_changes(call.store, repo, commit, path)
    files = [file for _, file in call.store.trees.files(folder.key)]
    return _render(
        "tree.html",
        call,
        repo,
        "files",
        links=links,
        commit=commit,
        path=path,
        entries=[_row(links, path, *item, changed) for item in found[:MAX_ENTRIES]],
        hidden=max(0, len(found) - MAX_ENTRIES),
        total=len(files),
        bytes=sum(file.size for file in files),
        revisions=_revisions(call, repo, lambda other: other.tree()),
        crumbs=_crumbs(repo, links, path),
    )


def _row(links: Links, folder: str, name: str, entry: Entry, changed: dict[str, Commit]) -> dict:
    path, is_folder = f"{folder}/{name}".strip("/"), isinstance(entry, Folder)
    return {
        "name": name,
        "is_folder": is_folder,
        "address": links.tree(path) if is_folder else links.blob(path),
        "download": links.download(path),
        "size": 0 if is_folder else entry.size,
        "changed": changed.get(name),
    }


@routes.add("GET", "/{prefix}{id}/blob/{rev}/{rest}")
@_repo_page
def blob(call: Call, repo: Repo) -> Response:
    """The beginning of a file, as far as it can be read."""
    commit, path = call.commit(repo), check_path(call.params["rest"])
    links = Links(repo.id, call.params["rev"])
    file = call.store.entry(repo, commit, path)
    if isinstance(file, Folder):
        return RedirectResponse(links.tree(path))
    return _render(
        "blob.html",
        call,
        repo,
        "files",
        links=links,
        path=path,
        file=file,
        revisions=_revisions(call, repo, lambda other: other.blob(path)),
        crumbs=_crumbs(repo, links, path),
        **look(call.store.blobs.path(file.sha256), path, links),
    )


@routes.add("GET", "/{prefix}{id}/commits/{rev}")
@_repo_page
def commits(call: Call, repo: Repo) -> Response:
    """The history of a revision."""
    page, revision = _page(call), call.params["rev"]
    links = Links(repo.id, revision)
    found = call.store.commits(repo, revision, (page - 1) * COMMITS, COMMITS + 1)
    return _render(
        "commits.html",
        call,
        repo,
        "commits",
        links=links,
        commits=found[:COMMITS],
        page=page,
        more=len(found) > COMMITS,
        revisions=_revisions(call, repo, lambda other: other.commits()),
        crumbs=[],
    )


@routes.add("GET", "/{prefix}{id}/commit/{rev}")
@_repo_page
def commit(call: Call, repo: Repo) -> Response:
    """What one commit changed."""
    found = call.commit(repo)
    parent = call.store.resolve(repo, found.parent).tree if found.parent else None
    links = Links(repo.id, found.oid)
    changed = _changed(call, parent, found.tree)
    return _render("commit.html", call, repo, "commits", links=links, commit=found, **changed)


@routes.add("GET", "/{prefix}{id}/discussions")
@_repo_page
def pulls(call: Call, repo: Repo) -> Response:
    """The pull requests."""
    requests = call.store.pulls(repo)[::-1]
    return _render("pulls.html", call, repo, "pulls", links=Links(repo.id), requests=requests)


@routes.add("GET", "/{prefix}{id}/discussions/{number}")
@_repo_page
def pull(call: Call, repo: Repo) -> Response:
    """A pull request: its words, its commits, what it would change."""
    number = call.params["number"]
    found = next((p for p in call.store.pulls(repo) if str(p["number"]) == number), None)
    if found is None:
        raise errors.HubError(404, f"{repo.id.full} has no pull request {shown(number)}.")
    ref = f"refs/pr/{number}"
    main = {c.oid for c in call.store.commits(repo, MAIN, limit=MAX_HISTORY)}
    history = call.store.commits(repo, ref, limit=MAX_HISTORY)
    own = list(takewhile(lambda c: c.oid not in main, history))
    base = history[len(own)].tree if len(own) < len(history) else None
    links = Links(repo.id, ref)
    return _render(
        "pull.html",
        call,
        repo,
        "pulls",
        links=links,
        pull=found,
        description=to_html(found["description"], links.place()),
        commits=own,
        **_changed(call, base, history[0].tree),
    )


def _changed(call: Call, old: str | None, new: str) -> dict:
    """The changes between two trees for the macro `change_list`."""
    found = list(islice(changes(call.store.trees, old, new), MAX_CHANGES + 1))
    hidden = len(found) > MAX_CHANGES
    compared = ((c.path, line_changes(call.store.blobs, c)) for c in found[:MAX_DIFFS])
    diffs = {path: lines for path, lines in compared if lines}
    return {"changes": found[:MAX_CHANGES], "hidden_changes": hidden, "diffs": diffs}


def _revisions(call: Call, repo: Repo, address: Callable[[Links], str]) -> list[tuple[str, str]]:
    """Branches, tags and pull requests with the address of the same page there."""
    names = [
        name.removeprefix("refs/heads/").removeprefix("refs/tags/")
        for name in call.store.refs(repo)
    ]
    return [(name, address(Links(repo.id, name))) for name in dict.fromkeys(names)]


def _crumbs(repo: Repo, links: Links, path: str) -> list[tuple[str, str]]:
    """The folders above `path` and itself; none for the root."""
    parts = path.split("/") if path else []
    above = [(repo.id.name, links.tree())] if parts else []
    return above + [(part, links.tree("/".join(parts[: i + 1]))) for i, part in enumerate(parts)]


def _page(call: Call) -> int:
    text = call.query.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) < 7 else 1


def error_page(error: errors.HubError) -> Response:
    """An error for a person."""
    title = TITLES.get(error.code or error.status, "This did not work")
    response = render(
        "error.html", error.status, title=title, message=error.message, number=error.status
    )
    return response
