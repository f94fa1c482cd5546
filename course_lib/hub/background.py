"""A Hub in a thread of this process: for a tour that takes one apart, and for quick trials."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import uvicorn

from course_lib.hub.application import Catalogue
from course_lib.hub.auth import OWNER
from course_lib.hub.server import create_app, listen
from course_lib.hub.storage.store import Store

START_SECONDS = 30.0


class BackgroundHub:
    """A running Hub with its `url`, its owner's `token` and its `store`; `stop()` ends it.

    `with BackgroundHub(folder) as hub:` stops it at the end of the block. What was committed stays
    in the folder. Two Hubs on one folder would not see each other: use one.
    """

    def __init__(self, folder: Path | str, port: int = 0, catalogue: Catalogue | None = None):
        self.store = Store(folder)
        app = create_app(self.store, catalogue)
        self.token = app.hub.tokens.create(OWNER, "write", "background")
        self._socket = listen("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app, lifespan="off", ws="none", log_config=None, access_log=False, proxy_headers=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                self._socket.close()
                raise RuntimeError("The Hub did not start; its log says why.")
            time.sleep(0.005)

    def stop(self) -> None:
        """Answer what was asked, then end. A second call does nothing."""
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> BackgroundHub:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
