"""The noun `population`: the synthetic people and businesses, drawn from the seed; needs no running stack."""

from typing import Annotated, Any

import typer

from chopar.cli.session import Session

app = typer.Typer(name="population", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _population() -> None:
    """List the synthetic people and businesses that the registers hold; nobody of them exists."""


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="How many at most.", min=0)] = 10,
    businesses: Annotated[bool, typer.Option("--businesses", help="Businesses instead of people.")] = False,
    seed: Annotated[int | None, typer.Option(help="Of another population than the stack's.")] = None,
) -> int:
    """List people (living adults with an entry in every register first), or businesses. All are made up."""
    from chopar.cli.output import Table
    from chopar.population import DEFAULT_SEED, Population

    session = Session.of(context)
    population = Population.make(DEFAULT_SEED if seed is None else seed)
    rows: list[dict[str, Any]]
    if businesses:
        rows = [
            {
                "stir": firm.stir.text,
                "name": firm.name,
                "objects": [
                    {"account_address": owned.account_address, "cadastral_number": owned.cadastral_number}
                    for owned in firm.objects
                ],
            }
            for firm in population.firms_for_examples()[:limit]
        ]
        cells = [
            (row["stir"], row["name"], owned["account_address"], owned["cadastral_number"])
            for row in rows
            for owned in row["objects"]
        ]
        session.output.show(rows, Table(("stir", "name", "account address", "cadastral number"), cells))
    else:
        rows = [
            {"pinfl": person.pinfl.text, "name": person.name, "born_on": person.born_on}
            for person in population.people_for_examples()[:limit]
        ]
        session.output.show(rows, Table(("pinfl", "name", "born on"), [tuple(row.values()) for row in rows]))
    return 0
