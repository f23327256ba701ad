"""The noun `doctor`: what would keep the stack from running, and what to do about it."""

import typer

from chopar.cli.exit_codes import ExitCode
from chopar.cli.session import Session

app = typer.Typer(name="doctor", rich_markup_mode=None)


@app.command()
def doctor(context: typer.Context) -> int:
    """Look for what would keep the stack from running, each with its reason and the next command.

    Exit codes: 0 nothing stands in the way; 1 something does.
    """
    from chopar.cli.doctor_machine import machine_checks
    from chopar.cli.doctor_stack import stack_checks
    from chopar.cli.output import Table

    session = Session.of(context)
    checks = [*machine_checks(session), *session.run(lambda: stack_checks(session))]
    table = Table(
        ("check", "state", "what was found", "what to do"),
        [(check.name, check.state, check.reason, check.next) for check in checks],
    )
    failed = [check.name for check in checks if check.state == "fail"]
    data = {
        "ok": not failed,
        "checks": [
            {"name": check.name, "state": check.state, "reason": check.reason, "next": check.next} for check in checks
        ],
    }
    session.output.show(data, table)
    session.output.say(f"in the way: {', '.join(failed)}" if failed else "nothing stands in the way")
    return ExitCode.NO if failed else ExitCode.DONE
