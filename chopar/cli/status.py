"""The noun `status`: what runs of the local stack, and how far behind its consumers are."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.session import Session

if TYPE_CHECKING:
    from chopar.broker.stack import ProcessStatus, Stack
    from chopar.cli.output import Table

app = typer.Typer(name="status", rich_markup_mode=None)

_COLUMNS = ("process", "state", "ready", "pid", "address", "since", "restarts", "MiB", "lag")
_MEBIBYTE = 1024 * 1024
_LAG_SECONDS = 5.0


@app.command()
def status(context: typer.Context) -> int:
    """List the processes of the local stack: pid, address, ready, since, restarts, memory, lag.

    One that ended and was started again in the last minutes is named, with its last error. Exit codes: 0 all are ready
    now; 1 some are not; 3 no stack is running.
    """
    from chopar.broker.running_stack import running_stack

    session = Session.of(context)
    stack = running_stack(session.home()) or session.stack()
    lags = session.run(lambda: lags_of(session))
    now = session.now()
    processes = [row(process, lags, session.home(), now) for process in stack.processes]
    ready = stack.supervised and bool(processes) and all(process["ready"] for process in processes)
    data = {
        "ready": ready,
        "home": str(session.home()),
        "supervisor_pid": stack.supervisor_pid if stack.supervised else None,
        "addresses": stack.addresses,
        "processes": processes,
        "lag": lags,
        "memory_bytes": sum(process["memory_bytes"] or 0 for process in processes),
    }
    session.output.show(data, *_text(data))
    if lags is None:
        session.output.say("lag is unknown: Kafka does not answer")
    _words(session, stack, processes, now)
    return ExitCode.DONE if ready else ExitCode.NO


def row(process: "ProcessStatus", lags: dict[str, int] | None, home: Path, now: datetime) -> dict[str, Any]:
    """One process as it is printed; a task has run to its end and is ready then."""
    from chopar.broker.explain import restarted_lately
    from chopar.broker.processes import memory_bytes

    alive = process.runs
    return {
        "name": process.name,
        "kind": process.kind,
        "state": process.state if alive or process.kind == "task" or process.state != "running" else "ended",
        "ready": process.ready and (alive or process.kind == "task"),
        "pid": process.pid if alive else None,
        "address": process.address,
        "since": process.since,
        "restarts": process.restarts,
        "restarted_lately": restarted_lately(process, now),
        "exit": process.exit,
        "memory_bytes": memory_bytes(process.pid) if alive and process.pid is not None else None,
        "lag": _lag(process.name, lags, home) if process.kind == "process" else None,
        "log": process.log,
        "problem": process.problem,
    }


async def lags_of(session: Session) -> dict[str, int] | None:
    """How far behind each consumer group is; None if Kafka does not answer soon."""
    import asyncio

    from chopar.broker.kafka_node import kafka_answers
    from chopar.cli.topic_rows import lags
    from chopar.errors import UnavailableError

    if not any(kafka_answers(address) for address in session.bootstrap.split(",")):
        return None  # found out at once, where the client would try again and again
    try:
        async with asyncio.timeout(_LAG_SECONDS):
            return await lags(session.bus())
    except (UnavailableError, TimeoutError):
        return None


def _lag(name: str, lags: dict[str, int] | None, home: Path) -> int | None:
    """The lag of a process's groups: the one of its name, and those of the agencies that it answers for.

    For each of these a secret lies in its home, which is HOME/NAME in a local stack; so they are known of a process
    that is down, too.
    """
    from chopar.cli.topic_rows import PROVIDER_GROUP
    from chopar.secret_files import secret_names

    groups = {name, *(PROVIDER_GROUP + agency for agency in secret_names(home / name))}
    mine = [lag for group, lag in (lags or {}).items() if group in groups]
    return sum(mine) if mine else None


def _text(data: dict[str, Any]) -> "list[Table | str]":
    from chopar.cli.output import Table

    rows = [
        (
            process["name"],
            process["state"],
            process["ready"],
            process["pid"],
            process["address"],
            (process["since"] or "")[:19].replace("T", " "),
            process["restarts"],
            None if process["memory_bytes"] is None else f"{process['memory_bytes'] / _MEBIBYTE:.0f}",
            process["lag"],
        )
        for process in data["processes"]
    ]
    right = frozenset({"pid", "restarts", "MiB", "lag"})
    groups = ", ".join(f"{group} {lag}" for group, lag in (data["lag"] or {}).items()) or "unknown"
    memory = f"{data['memory_bytes'] / _MEBIBYTE:.0f} MiB"
    return [Table(_COLUMNS, rows, right=right), f"memory in all: {memory}; records to read by consumer group: {groups}"]


def _words(session: Session, stack: "Stack", processes: list[dict[str, Any]], now: datetime) -> None:
    if stack.stopping:
        session.output.say("the stack is being stopped")
    elif not stack.supervised:
        session.output.say("its supervisor has ended: `chopar up` takes over what still runs and starts the rest")
    from chopar.broker.explain import how_it_ended, what_is_missing

    for process, written in zip(processes, stack.processes, strict=True):
        ended = how_it_ended(written, now) if process["restarted_lately"] else ""
        if not process["ready"]:
            missing = process["problem"] or (what_is_missing(written) if process["pid"] else "")
            reason = "; ".join(filter(None, (missing, ended)))
            why = f" ({reason})" if reason else ""
            session.output.say(f"{process['name']} is not ready{why}: its log is {process['log']}")
        elif ended:
            session.output.say(f"{process['name']} is ready, but {ended}: its log is {process['log']}")
