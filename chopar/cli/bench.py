"""The noun `bench`: what this cluster can carry, by topics of its own that are deleted afterwards.

Only empty messages are sent, never a demand. `chopar.cli.bench_run` measures; this is the command and its table.
"""

from typing import Annotated

import typer

from chopar.cli.session import Session

app = typer.Typer(name="bench", rich_markup_mode=None)


@app.command()
def bench(
    context: typer.Context,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.2, max=120.0, help="How long each of the five parts measures.")
    ] = 5.0,
    size: Annotated[int, typer.Option("--size", min=1, max=900_000, help="Bytes of a message.")] = 900,
    partitions: Annotated[int, typer.Option("--partitions", min=1, max=100, help="Of each topic.")] = 6,
    hops: Annotated[int, typer.Option("--hops", min=1, max=10, help="Of the way of an echo; an exchange has 3.")] = 3,
    rate: Annotated[
        float, typer.Option("--rate", min=0.5, max=10_000.0, help="Echoes a second, where latency is measured.")
    ] = 100.0,
) -> int:
    """Measure what the cluster carries: sending, reading, and echoes over the hops of an exchange.

    It makes topics whose names begin with `bench.`, loads them for a few seconds and deletes them again. No demand is
    sent. The CPU is all that this process used, by message: where few are sent, most of it is waiting for them, and
    what a message costs is shown at saturation. Exit codes: 0 measured; 1 an echo was lost or doubled; 3 Kafka does
    not answer.
    """
    from chopar.cli.bench_run import Plan, measured
    from chopar.cli.exit_codes import ExitCode
    from chopar.cli.output import Table

    session = Session.of(context)
    plan = Plan(seconds=seconds, size_bytes=size, partitions=partitions, hops=hops, rate=rate)
    found = session.run(lambda: measured(session.bus(), plan, session.output.step))
    session.output.end_step()
    rows = [
        (part["part"], part["per_second"], part["cpu_us"], *(part["latency_ms"].get(p) for p in ("p50", "p90", "p99")))
        for part in found["parts"]
    ]
    columns = ("part", "a second", "CPU µs here, idle too", "p50 ms", "p90 ms", "p99 ms")
    session.output.show(found, Table(columns, rows, right=frozenset(columns[1:])))
    if found["lost"] or found["doubled"]:
        session.output.say(f"echoes lost: {found['lost']}, doubled: {found['doubled']}")
        return ExitCode.NO
    return ExitCode.DONE
