"""Secrets of a process: one file each, mode 0600, under the home folder; never in the environment or a log."""

import hmac
import os
import tempfile
from pathlib import Path

import structlog

from chopar.errors import ConfigurationError

SECRET_BYTES = 32

_log = structlog.get_logger()


def secret_path(home: Path, name: str) -> Path:
    """Where the secret of this name lies."""
    return home / "secrets" / name


def secret_names(home: Path) -> list[str]:
    """Whose secrets lie in a home; none of them is read."""
    return sorted(path.name for path in secret_path(home, "").glob("[!.]*"))


def read_secret(home: Path, name: str) -> bytes:
    """Read a secret.

    Raises:
        ConfigurationError: it is missing, too short, or others may read it; says which file and what to do.
    """
    path = secret_path(home, name)
    try:
        mode, secret = path.stat().st_mode, path.read_bytes()
    except OSError:
        raise ConfigurationError(f"the secret {path} is missing or cannot be read") from None
    if mode & 0o077:
        raise ConfigurationError(f"the secret {path} can be read by others: chmod 600 it, and replace it")
    if len(secret) < SECRET_BYTES:
        raise ConfigurationError(f"the secret {path} is shorter than {SECRET_BYTES} bytes")
    return secret


def check_value(secret: bytes) -> str:
    """Tells whether two processes hold the same secret, and nothing else of it."""
    return hmac.digest(secret, b"chopar secret check", "sha256")[:4].hex()


def ensure_secret(home: Path, name: str) -> bytes:
    """Read a secret, making it first if it does not exist. Two processes that make it at once end up with one.

    Raises:
        ConfigurationError: it cannot be made, or see `read_secret`.
    """
    path = secret_path(home, name)
    try:
        _make(path)
    except OSError as error:
        raise ConfigurationError(f"the secret {path} cannot be made: {error.strerror}") from error
    return read_secret(home, name)


def _make(path: Path) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Mode 0600, and a name that nobody else has.
        descriptor, text = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(text)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(SECRET_BYTES))
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)  # fails if somebody was faster: theirs counts
            _log.info("secret.made", file=str(path), reason="every instance has to be given this one; keep it")
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
