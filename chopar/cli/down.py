"""The noun `down`: stop the local stack, by the pids that it wrote down."""

import typer

from chopar.cli.session import Session

app = typer.Typer(name="down", rich_markup_mode=None)


@app.command()
def down(context: typer.Context) -> int:
    """Stop the local stack, in the reverse order of its start; its data is kept, and `chopar up` goes on with it."""
    from chopar.broker.local_stack import stop

    session = Session.of(context)
    home = session.home()
    stack = stop(home, lambda _, done, total: session.output.step(f"stopping: {done} of {total} have ended"))
    stopped = [process.name for process in stack.processes if process.pid is not None] if stack else []
    if stack is None:
        words = f"no stack was running in {home}"
    elif stack.processes:
        words = f"stopped: {', '.join(stopped)}" if stopped else "stopped: nothing but the supervisor was running"
    else:
        words = f"stopped: the supervisor (pid {stack.supervisor_pid}) and all that it ran"
    session.output.end_step()
    session.output.show({"home": str(home), "stopped": stopped}, words)
    return 0
