"""Which statements a register is asked, by whichever of its ways."""

import re

from sqlalchemy import event

from chopar.provider.register import RegisterDatabase


def statements_of(database: RegisterDatabase) -> list[str]:
    """The texts of the look-ups from now on, without their values; something was looked up before."""
    asked: list[str] = []
    event.listen(database.reader.sync_engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    if database._few is not None:
        assert database._few._connection is not None
        database._few._connection.set_trace_callback(lambda text: asked.append(re.sub("'[^']*'", "?", text)))
    return asked
