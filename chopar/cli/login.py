"""As what somebody is logged in here: by this one rule all is signed that is written down for good and names nobody."""

import os
import pwd
from collections.abc import Mapping

from chopar.errors import ConfigurationError

UNKNOWN = "--by: this system does not say who you are"


def login_name(environ: Mapping[str, str]) -> str:
    """LOGNAME, else USER, else the name that the system has for this process's account; empty if it has none.

    Args:
        environ: of the process.
    """
    said = environ.get("LOGNAME", "") or environ.get("USER", "")
    if said:
        return said
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a number without a name, as the containers of a deployment have it
        return ""


def who(by: str, environ: Mapping[str, str]) -> str:
    """Who does what is written down for good: as `by` says it, else the login name.

    Raises:
        ConfigurationError: neither says it.
    """
    name = by.strip() or login_name(environ)
    if not name:
        raise ConfigurationError(f"{UNKNOWN}, and it is written down")
    return name
