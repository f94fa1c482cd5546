"""What the public Hub offers and this one does not: each with a sentence that says so."""

from __future__ import annotations

from starlette.responses import Response

from course_lib.hub.errors import not_supported
from course_lib.hub.routing import Call, Handler, Routes

METHODS = "GET POST PUT PATCH DELETE"
ABSENT = {
    "copies of a repository made on the server": ["/api/{kinds}/{id}/duplicate"],
    "squashing of a branch": ["/api/{kinds}/{id}/super-squash/{rev}"],
    "lists of large files": ["/api/{kinds}/{id}/lfs-files", "/api/{kinds}/{id}/lfs-files/{rest}"],
    "comparisons of revisions": ["/api/{kinds}/{id}/compare/{rest}"],
    "sizes of folders": ["/api/{kinds}/{id}/treesize/{rest}"],
    "Croissant metadata": ["/api/{kinds}/{id}/croissant"],
    "Parquet copies of data sets": [
        "/api/{kinds}/{id}/parquet",
        "/api/{kinds}/{id}/parquet/{rest}",
    ],
    # Words that a repository may be called: after an id of two parts only.
    "leaderboards": ["/api/datasets/{owner}/{name}/leaderboard"],
    "likes": ["/api/{kinds}/{owner}/{name}/like", "/api/{kinds}/{owner}/{name}/likers"],
    "access requests: repositories are public or private": [
        "/api/{kinds}/{owner}/{name}/user-access-request/{rest}"
    ],
    "Spaces that run: it keeps their files": [
        f"/api/spaces/{{owner}}/{{name}}/{word}"
        for word in "secrets variables runtime hardware restart pause sleeptime storage volumes "
        "dev-mode logs/{rest}".split()
    ]
    + ["/api/spaces/hardware", "/api/spaces/templates", "/api/spaces/zero-gpu/{rest}"],
    "search by meaning": ["/api/spaces/semantic-search"],
    "collections": ["/api/collections", "/api/collections/{rest}"],
    "webhooks": ["/api/settings/webhooks", "/api/settings/webhooks/{rest}"],
    "storage settings": ["/api/settings/repositories"],
    "jobs": ["/api/jobs/{rest}", "/api/scheduled-jobs/{rest}"],
    "buckets": ["/api/buckets", "/api/buckets/{rest}"],
    "kernels": ["/api/kernels", "/api/kernels/{rest}"],
    "papers": ["/api/papers/{rest}", "/api/daily_papers"],
    "profiles of users and organizations": ["/api/users/{rest}", "/api/organizations/{rest}"],
    "inference": ["/api/inference-proxy/{rest}", "/api/partners/{rest}"],
}

routes = Routes()


def _absent(what: str) -> Handler:
    async def answer(call: Call) -> Response:
        raise not_supported(what)

    return answer


for _what, _templates in ABSENT.items():
    for _template in _templates:
        routes.add(METHODS, _template)(_absent(_what))
