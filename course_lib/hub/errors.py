"""What the Hub answers when it cannot do what was asked: a status, one sentence, a code."""

from __future__ import annotations


class HubError(Exception):
    """An answer with an error status.

    `code` becomes the `X-Error-Code` header, from which huggingface_hub chooses what it raises.
    """

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str):
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.extra: dict = {}  # more keys for the JSON body, such as `url` on a 409


def bad_request(message: str) -> HubError:
    return HubError(400, message)


def unauthorized(message: str) -> HubError:
    return HubError(401, message)


def forbidden(message: str) -> HubError:
    return HubError(403, message)


def repo_not_found(name: str) -> HubError:
    return HubError(
        404,
        f"Repository not found: {name}. Check the id and, if it is private, your token.",
        "RepoNotFound",
    )


def revision_not_found(name: str, revision: str) -> HubError:
    return HubError(
        404, f"{name} has no branch, tag or commit named {revision!r}.", "RevisionNotFound"
    )


def entry_not_found(path: str, commit: str) -> HubError:
    """The client remembers an absence only when the answer names the commit that lacks the file."""
    return HubError(
        404, f"No file or folder {path!r} at {commit[:8]}.", "EntryNotFound", X_Repo_Commit=commit
    )


def conflict(message: str, **extra: str) -> HubError:
    error = HubError(409, message)
    error.extra = extra
    return error


def precondition_failed(message: str) -> HubError:
    return HubError(412, message)


def too_large(message: str) -> HubError:
    return HubError(413, message)


def not_assembled(name: str, reason: str) -> HubError:
    """Not a 5xx: clients would try again for minutes what fails every time."""
    return HubError(424, f"The stand-in for {name} could not be made. {reason}")


def not_supported(what: str) -> HubError:
    return HubError(501, f"The Course Hub does not offer {what}.")


def disk_full() -> HubError:
    return HubError(507, "The disk of this Hub is full: free some space, then try again.")
