"""Names that come from outside: repository ids, paths in a repository, revisions. Checked here."""

from __future__ import annotations

import re
from typing import NamedTuple

from course_lib.hub.errors import bad_request

KINDS = ("model", "dataset", "space")
# Words that follow an id in addresses. A repository may not be called so: `/api/models/ann/refs`
# would mean two things.
RESERVED = frozenset(
    "auth-check blob branch branches commit commits compare croissant discussions duplicate "
    "lfs-files parquet paths-info preupload raw refs resolve revision safetensors-metadata "
    "settings super-squash tag tags tree treesize xet-read-token xet-write-token".split()
)
# Words that addresses begin with. They are neither owners nor ids of one part.
RESERVED_FIRST = frozenset(
    "api buckets datasets device healthz kernels models oauth spaces static v1".split()
)
_PART = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?\Z")
_REF = re.compile(r"[A-Za-z0-9._/+@-]{1,200}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\ud800-\udfff]")

MAX_DEPTH = 100  # folders in folders


class RepoId(NamedTuple):
    """One repository: its kind, its owner (empty for legacy ids such as `gpt2`) and its name."""

    kind: str
    namespace: str
    name: str

    @property
    def full(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def plural(self) -> str:
        return self.kind + "s"

    @property
    def prefix(self) -> str:
        return "" if self.kind == "model" else self.plural + "/"

    @property
    def url_path(self) -> str:
        return "/" + self.prefix + self.full

    def __str__(self) -> str:
        return self.full


def shown(text: str, limit: int = 80) -> str:
    """`text` as it may stand in a message: quoted, without control characters, cut."""
    return ascii(text if len(text) <= limit else text[:limit] + "…")


def parse_repo_id(kind: str, text: str) -> RepoId:
    """Read `owner/name` or `name`; raises a 400 that says what was seen."""
    if kind not in KINDS:
        raise bad_request(f"Repository type {shown(kind)} is not one of {', '.join(KINDS)}.")
    parts = text.split("/")
    if (
        len(parts) > 2
        or not all(_PART.match(part) for part in parts)
        or ".." in text
        or "--" in text
    ):
        raise bad_request(
            f"Repository id {shown(text)} is not valid: use 'owner/name' with letters, digits, "
            "'.', '_' and '-', up to 96 characters a part, without '..' or '--'."
        )
    if text.lower().endswith((".git", ".ipynb")):
        raise bad_request(f"Repository id {shown(text)} may not end in '.git' or '.ipynb'.")
    if parts[-1] in RESERVED:
        raise bad_request(
            f"Repository id {shown(text)} may not end in the word {shown(parts[-1])}."
        )
    if parts[0] in RESERVED_FIRST:
        raise bad_request(
            f"Repository id {shown(text)} may not begin with the word {shown(parts[0])}."
        )
    return RepoId(kind, *parts) if len(parts) == 2 else RepoId(kind, "", parts[0])


def check_path(path: str) -> str:
    """A file's path in a repository, relative and plain; raises a 400 that says what is wrong."""
    if not path:
        raise bad_request("A path is empty.")
    if _CONTROL.search(path):
        raise bad_request(f"Path {shown(path)} holds a control character.")
    if "\\" in path:
        raise bad_request(f"Path {shown(path)} holds a backslash: separate folders with '/'.")
    if len(path.encode()) > 2048:
        raise bad_request(f"Path {shown(path)} is over 2,048 bytes long.")
    if path.count("/") > MAX_DEPTH:
        raise bad_request(f"Path {shown(path)} goes through more than {MAX_DEPTH} folders.")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise bad_request(
                f"Path {shown(path)} is not a plain relative path: "
                f"it holds {shown(part)} between slashes."
            )
        if part.lower() == ".git":
            raise bad_request(f"Path {shown(path)} goes through '.git'.")
        if len(part.encode()) > 255:
            raise bad_request(f"Path {shown(path)} has a name over 255 bytes long.")
    return path


def check_ref(name: str) -> str:
    """A branch's or tag's name, by git's rules as far as they matter here."""
    bad = not _REF.match(name) or ".." in name or "//" in name or "@{" in name
    if bad or name.startswith(("/", "-", ".")) or name.endswith(("/", ".", ".lock")):
        raise bad_request(f"{shown(name)} is not a valid name for a branch or a tag.")
    if name.startswith("refs/"):
        raise bad_request(f"{shown(name)} reads like a full ref: leave out 'refs/…/'.")
    if re.fullmatch(r"[0-9a-f]{40}", name):
        raise bad_request(
            f"{shown(name)} looks like a commit id: choose another name for a branch or a tag."
        )
    return name


def plain_text(text: str) -> str:
    """`text` as UTF-8 can hold it: JSON lets half a surrogate pair through, a database does not."""
    return text.encode(errors="replace").decode()
