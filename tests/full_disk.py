"""A disk that is full, for as long as a test wants it."""

import contextlib
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def full_disk(room_bytes: int = 0) -> Iterator[None]:
    """No file takes a byte beyond these, as on a disk that is full or may not be written.

    Nothing may be printed meanwhile: what pytest captures goes to a file too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
