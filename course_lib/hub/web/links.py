"""The addresses of a repository's pages and files, made in one place."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from course_lib.hub.names import RepoId
from course_lib.hub.web.rendering import Place


@dataclass(frozen=True)
class Links:
    """Addresses at one revision of a repository."""

    repo: RepoId
    revision: str = "main"

    @property
    def card(self) -> str:
        return self.repo.url_path if self.revision == "main" else self.tree()

    @property
    def pulls(self) -> str:
        return f"{self.repo.url_path}/discussions"

    def tree(self, path: str = "") -> str:
        return self._at("tree", path)

    def blob(self, path: str) -> str:
        return self._at("blob", path)

    def file(self, path: str) -> str:
        return self._at("resolve", path)

    def download(self, path: str) -> str:
        return self.file(path) + "?download=true"

    def commits(self, page: int = 1) -> str:
        return self._at("commits", "") + (f"?page={page}" if page > 1 else "")

    def commit(self, oid: str) -> str:
        return f"{self.repo.url_path}/commit/{oid}"

    def pull(self, number: int) -> str:
        return f"{self.pulls}/{number}"

    def place(self, folder: str = "") -> Place:
        """Where the relative links of a text in `folder` lead."""
        return Place(self.blob(""), self.file(""), folder)

    def _at(self, what: str, path: str) -> str:
        address = f"{self.repo.url_path}/{what}/{quote(self.revision, safe='')}"
        return f"{address}/{quote(path)}" if path or what in ("blob", "resolve") else address
