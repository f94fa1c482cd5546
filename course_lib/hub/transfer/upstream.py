"""Another Hub, read through the real client: a classroom's, a mirror, the public one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from course_lib.hub.errors import HubError, bad_request
from course_lib.hub.names import RepoId, check_path, parse_repo_id, shown
from course_lib.hub.transfer.downloading import Wanted, http_library
from course_lib.hub.transfer.exporting import meant_by

if TYPE_CHECKING:
    from huggingface_hub import HfApi

HEADS, TAGS = "refs/heads/", "refs/tags/"


@contextmanager
def explained(upstream: str, name: str) -> Iterator[None]:
    """What clients raise, as one sentence."""
    # The client would look for the newest list of agents on the public Hub: no one asked for that.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import errors

    library = http_library()
    try:
        yield
    except errors.GatedRepoError as error:
        raise HubError(
            403, f"{name} is gated: accept its terms at {upstream}/{name} and give a --token."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubError(404, f"{name} at {upstream} has no such branch, tag or commit.") from error
    except errors.RepositoryNotFoundError as error:
        raise HubError(404, _missing(upstream, name)) from error
    except errors.OfflineModeIsEnabled as error:
        raise bad_request("HF_HUB_OFFLINE is set: unset it to sync.") from error
    except errors.HfHubHTTPError as error:
        said = getattr(error, "server_message", None) or str(error).split("\n")[0]
        raise HubError(502, f"{upstream} refused: {said}") from error
    except (library.HTTPError, library.InvalidURL) as error:
        raise HubError(
            502, f"{upstream} cannot be reached ({type(error).__name__}: {error})."
        ) from error


def _missing(upstream: str, name: str) -> str:
    return f"{upstream} has no repository {shown(name)}, or none that the token may see."


class Source:
    """A repository of the other Hub."""

    def __init__(self, upstream: str, name: str, token: str | None):
        from huggingface_hub import HfApi

        if not upstream.startswith(("http://", "https://")):
            raise bad_request(f"{shown(upstream)} is not an address: give http://… or https://….")
        self.url = upstream.rstrip("/")
        self.token = token or False  # never the token that this machine uses elsewhere
        self.api: HfApi = HfApi(endpoint=self.url, token=self.token)
        self.asked, info = self._find(name)
        self.private = bool(info.private)
        self.sdk = getattr(info, "sdk", None)
        self.repo_id = parse_repo_id(self.asked.kind, info.id)

    def _find(self, name: str) -> tuple[RepoId, object]:
        """The id as it was asked for, with its kind, and what the other Hub says of it."""
        from huggingface_hub.errors import RepositoryNotFoundError

        ids = meant_by(name)
        found = []
        for repo_id in ids if len(ids) == 1 else ids[:2]:  # Spaces only by their full name
            try:
                info = self.api.repo_info(repo_id.full, repo_type=repo_id.kind)
            except RepositoryNotFoundError:
                continue
            found.append((repo_id, info))
        if not found:
            raise HubError(404, _missing(self.url, name))
        if len(found) > 1:
            raise bad_request(
                f"{shown(name)} is a model and a data set: say models/{name} or datasets/{name}."
            )
        return found[0]

    def refs(self) -> dict[str, str]:
        """Branches and tags by their full names, with their commits; main comes first."""
        refs = self.api.list_repo_refs(self.repo_id.full, repo_type=self.repo_id.kind)
        branches = sorted(refs.branches, key=lambda ref: (ref.name != "main", ref.name))
        found = {HEADS + ref.name: ref.target_commit for ref in branches}
        return found | {TAGS + ref.name: ref.target_commit for ref in refs.tags}

    def commit(self, revision: str) -> str:
        """The commit id that a revision names there."""
        info = self.api.repo_info(self.repo_id.full, repo_type=self.repo_id.kind, revision=revision)
        return info.sha

    def files(self, commit: str) -> dict[str, Wanted]:
        """What a commit holds, by path."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.hf_api import RepoFile

        full, kind = self.repo_id.full, self.repo_id.kind
        entries = self.api.list_repo_tree(full, recursive=True, revision=commit, repo_type=kind)
        found = {}
        for entry in entries:
            if isinstance(entry, RepoFile):
                sha256 = entry.lfs.sha256 if entry.lfs else None
                url = hf_hub_url(
                    full, check_path(entry.path), repo_type=kind, revision=commit, endpoint=self.url
                )
                found[entry.path] = Wanted(url, entry.size, entry.blob_id, sha256)
        return found
