"""The noun `run`: a program of the local stack's plan, by hand and with the settings that the plan gives it.

What a process does beside its work (a backup, a correction) takes the same settings as the work, and those stand in the
plan. It runs here, in place of this program, so its words, signals and exit code are its own.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chopar.cli.session import Session
from chopar.errors import ConfigurationError

if TYPE_CHECKING:
    from chopar.broker.launch import Command

app = typer.Typer(name="run", rich_markup_mode=None)


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="PROCESS", help="As `chopar status` names it: tax, gateway ...")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="Handed on, behind those of the plan; `-- --help` shows which there are."),
    ] = None,
) -> int:
    """Run a process or task of the local stack by hand, with its settings: `chopar run tax --backup FILE`.

    The exit code is the program's: 0 done, 1 it stopped, 2 wrong use.
    """
    session = Session.of(context)
    command = command_of(session, name)
    paths = [str(command.directory), *filter(None, [session.environ.get("PYTHONPATH")])]
    sys.stdout.flush()
    sys.stderr.flush()
    # Where it was called, as a file that is named is meant from here.
    environment = {**command.environment, "PYTHONPATH": os.pathsep.join(paths)}
    words = [word for word in arguments or () if word != "--"]
    os.execve(command.arguments[0], [*command.arguments, *words], environment)  # noqa: S606  no shell: a file is a file


def command_of(session: Session, name: str) -> "Command":
    """What the running stack's plan starts under a name; where none was started, the checkout's plan.

    Raises:
        ConfigurationError: there is no such name, or it is the broker's.
    """
    from chopar.broker.launch import Command, Launcher, inherited
    from chopar.broker.plan import load_plan
    from chopar.broker.ports import port_base
    from chopar.broker.stack import read_stack
    from chopar.cli.up import plan_path

    home = session.home()
    stack = read_stack(home)
    plan = load_plan(plan_path(None if stack is None else Path(stack.plan)))
    entries = {entry.name: entry for entry in plan.entries if entry.kind != "broker"}
    if name not in entries:
        raise ConfigurationError(f"the plan {plan.path} runs nothing of this name by hand; it has {', '.join(entries)}")
    base = port_base(session.environ) if stack is None else stack.port_base
    command = Launcher(plan, home, base).command(entries[name])
    return Command(command.arguments, command.directory, inherited(session.environ) | dict(command.environment))
