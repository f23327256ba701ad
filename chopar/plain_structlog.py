"""Loads structlog without what it would load for consoles and for green threads, if that is installed.

structlog imports Rich, with Pygments and attrs, to draw tracebacks, and greenlet for contexts that it has given up:
five megabytes that no process of ours uses. It has no setting for that, and goes without what cannot be imported; so
for as long as it is being imported, and no longer, these cannot be. Whoever wants Rich's tracebacks imports structlog
first. Imported by the packages whose modules are processes, before anything else of theirs.
"""

import importlib
import sys

_FOR_OTHERS = ("rich", "greenlet")


def load() -> None:
    """Import structlog, unless that was done."""
    if "structlog" in sys.modules:
        return
    hidden = [name for name in _FOR_OTHERS if name not in sys.modules]
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    modules.update(dict.fromkeys(hidden))  # None stands for what cannot be imported
    try:
        importlib.import_module("structlog")
    finally:
        for name in hidden:
            del modules[name]


load()
