"""The gateway's listener on a port of its own, in a thread, with the committed lists in force."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from tests.public_site import law_reader, site


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The address, as long as it is served.

    Args:
        home: an empty folder.
    """
    app = site(law_reader(home), home)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="listener")
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
