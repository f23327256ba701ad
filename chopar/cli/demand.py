"""The noun `demand`: its verbs and their flags. What they do stands in the modules named after them."""

from typing import Annotated

import typer

from chopar.cli.session import Session

app = typer.Typer(name="demand", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _demand() -> None:
    """Send a demand for documents, follow one, list them."""


@app.command("create")
def create(
    context: typer.Context,
    requester: Annotated[str, typer.Option(help="The agency that asks.", metavar="ID")],
    procedure: Annotated[str, typer.Option(help="What the documents are for.", metavar="ID")],
    document: Annotated[
        list[str],
        typer.Option(help="A document, about the subject or about a party by its role; repeat.", metavar="TYPE[@ROLE]"),
    ],
    person: Annotated[str | None, typer.Option(help="Subject: a person.", metavar="PINFL")] = None,
    business: Annotated[str | None, typer.Option(help="Subject: a business.", metavar="STIR")] = None,
    party: Annotated[
        list[str] | None, typer.Option(help="Another person or business by its role; repeat.", metavar="ROLE=ID")
    ] = None,
    circumstance: Annotated[
        list[str] | None, typer.Option(help="What is or is not the case; repeat.", metavar="CODE=yes|no")
    ] = None,
    with_: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            help="A parameter, for every document or for the one it names; repeat.",
            metavar="[TYPE[@ROLE]:]NAME=VALUE",
        ),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(help="Rehearse for a day: nothing is sent, fetched or recorded.", metavar="YYYY-MM-DD"),
    ] = None,
    wait: Annotated[
        float, typer.Option(help="How long to wait for answers.", metavar="SECONDS", min=0, max=86_400)
    ] = 30.0,
    acting_as: Annotated[
        str,
        typer.Option(
            help="In what capacity the applicant acts for the subject.",
            metavar="self|parent|guardian|representative|ex_officio",
        ),
    ] = "self",
    applicant: Annotated[
        str | None, typer.Option(help="Who applied, if not the subject: a PINFL or STIR.", metavar="ID")
    ] = None,
    ground: Annotated[
        str | None,
        typer.Option(
            help="What the demand rests on; law, unless said otherwise.",
            metavar="law|application|consent[:REFERENCE]",
        ),
    ] = None,
    case: Annotated[str | None, typer.Option(help="The case; one is made up otherwise.", metavar="ID")] = None,
    official: Annotated[
        str | None, typer.Option(help="Pseudonym of the official who asks.", metavar="PSEUDONYM")
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the sentences.", metavar="en|uz|ru")] = "en",
) -> int:
    """Send a demand and print the answer to each document, or rehearse one with --on.

    Exit codes: 0 every document has its evidence or none is needed; 1 some answer is no, or --wait is over; 2 the
    demand names something wrongly; 3 cannot reach.
    """
    from chopar.cli.demand_flags import Flags, read_flags

    session = Session.of(context)
    asked = read_flags(
        Flags(
            requester=requester,
            procedure=procedure,
            document=document,
            person=person,
            business=business,
            party=party or (),
            circumstance=circumstance or (),
            with_=with_ or (),
            on=on,
            acting_as=acting_as,
            applicant=applicant,
            ground=ground,
            case=case,
            official=official,
        )
    )
    from chopar.cli import demand_text
    from chopar.cli.demand_create import answer_in
    from chopar.texts import Texts, language_of

    spoken = language_of(language)
    answer = session.run(lambda: answer_in(session, asked, wait))
    session.output.show(answer.to_json(), *demand_text.parts(answer, Texts.shipped(), spoken))
    return answer.exit_code()


@app.command("dispute")
def dispute(
    context: typer.Context,
    demand_id: Annotated[str, typer.Argument(metavar="ID", help="The demand's id, as `demand create` printed it.")],
    document: Annotated[str, typer.Argument(metavar="TYPE[@ROLE]", help="The document whose last answer is disputed.")],
    reason: Annotated[
        str,
        typer.Option(
            help="What is said against it; there is no room for words.",
            metavar="wrong_value|wrong_subject|out_of_date|record_exists",
        ),
    ],
    field: Annotated[
        list[str] | None, typer.Option(help="A field that is disputed; repeat. All of it otherwise.", metavar="NAME")
    ] = None,
    official: Annotated[
        str | None, typer.Option(help="Pseudonym of the official who disputes.", metavar="PSEUDONYM")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="How long to wait for the holder.", metavar="SECONDS", min=0, max=86_400)
    ] = 30.0,
    language: Annotated[str, typer.Option(help="Language of the sentences.", metavar="en|uz|ru")] = "en",
) -> int:
    """Have the holder look again at an answer, and print what it says: its answer stands, or another takes its place.

    Exit codes: 0 it was corrected; 1 it stands, there is no such answer, or --wait is over; 3 cannot reach.
    """
    from chopar.cli.demand_dispute import dispute_in, objection_of
    from chopar.cli.demand_trace import read_demand_id
    from chopar.texts import Texts, language_of

    session, spoken = Session.of(context), language_of(language)
    asked, objection = read_demand_id(demand_id), objection_of(document, reason, field or [], official)
    review = session.run(lambda: dispute_in(session, asked, objection, wait))
    session.output.show(review.to_json(), *review.to_text(Texts.shipped(), spoken))
    return review.exit_code()


@app.command("trace")
def trace(
    context: typer.Context,
    demand_id: Annotated[str, typer.Argument(metavar="ID", help="The demand's id, as `demand create` printed it.")],
) -> int:
    """Show every hop of a demand with its time: topic, partition, offset, record; no identifier and no body.

    Hops of demands that belong to it, by which the next holder was asked, are shown too.
    """
    from chopar.cli.demand_followings import trace_in
    from chopar.cli.demand_trace import read_demand_id, to_json, to_text

    session = Session.of(context)
    demand = read_demand_id(demand_id)
    hops, follows = session.run(lambda: trace_in(session, demand))
    session.output.show(to_json(demand, hops, follows), *to_text(hops, follows))
    return 0


@app.command("list")
def list_(
    context: typer.Context,
    requester: Annotated[str | None, typer.Option(help="Only those of this agency.", metavar="ID")] = None,
    limit: Annotated[int, typer.Option(help="How many, the newest first.", min=1, max=10_000)] = 20,
) -> int:
    """List recent demands as the record of exchanges has them: outcomes, and what is open, late or ended."""
    from chopar.cli.demand_list import recent_in, to_json, to_text

    session = Session.of(context)
    demands = session.run(lambda: recent_in(session, requester, limit))
    session.output.show(to_json(demands), *to_text(demands))
    return 0
