"""`demand create`: send a demand and follow it to its end, or rehearse one. `demand_text` shows it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

from chopar.bus.port import Bus
from chopar.cli.demand_answer import Answer, all_refused, ended, resolved_document, unanswered
from chopar.cli.demand_flags import Asked
from chopar.cli.gateway_client import GatewayClient
from chopar.cli.session import Session
from chopar.errors import (
    ConfigurationError,
    IdentifierError,
    MalformedIdentifierError,
    UnavailableError,
    UndecodableError,
)
from chopar.identifiers import SubjectKind, agency_id, data_subject
from chopar.requester.completion import Rejected
from chopar.requester.requester import Requester
from chopar.schema_registry import SchemaRegistry
from chopar.topics import DEMAND_SUBMITTED

_UNNAMED_OFFICIAL = "unnamed"


async def create(
    asked: Asked,
    bus: Bus,
    registry: SchemaRegistry,
    gateway: Callable[[], GatewayClient],
    *,
    wait_seconds: float,
    say: Callable[[str], None],
    monotonic: Callable[[], float] = time.monotonic,
) -> Answer:
    """Send a demand, and wait until every document has its end, `wait_seconds` at most.

    Args:
        asked: what is demanded.
        bus: where it is sent.
        registry: where schema ids come from.
        gateway: asked only if the requester has no topic.
        wait_seconds: how long to wait for answers; what is still open then is shown as such.
        say: told what does not belong to the answer, such as one that was rejected.
        monotonic: seconds, to measure by.

    Raises:
        ConfigurationError: the demand is no valid message.
        UnavailableError: Kafka, the schema registry or, if it is asked, the gateway does not answer.
    """
    for flaw in flaws(asked):
        say(flaw)  # the gateway refuses it by its code; which of several it was is known here
    refusal = await _refusal_before_sending(asked.requester, bus, gateway)
    if refusal is not None:
        return Answer(None, False, all_refused(unanswered(asked.documents), refusal))
    async with Requester(asked.requester, bus, registry, monotonic=monotonic) as requester:
        try:
            demand = requester.compose(
                procedure=asked.procedure,
                subject=asked.subject,
                documents=asked.documents,
                parties=asked.parties,
                circumstances=asked.circumstances,
                case_id=asked.case_id,
                official=asked.official or _UNNAMED_OFFICIAL,
                applicant=asked.applicant,
                acting_as=asked.acting_as,
                ground=asked.ground,
            )
        except UndecodableError as error:
            raise ConfigurationError(str(error)) from None
        async with await requester.send(demand) as exchange:

            def elapsed_ms() -> float:
                return round(exchange.elapsed_seconds() * 1000, 1)

            trace = f"chopar demand trace {exchange.demand_id}"
            answer = Answer(exchange.demand_id, False, unanswered(asked.documents))
            try:
                async with asyncio.timeout(wait_seconds):
                    async for event in exchange:
                        if isinstance(event, Rejected):
                            say(f"an answer to {event.document.document_type} was rejected ({event.code})")
                        answer = answer.after(event, elapsed_ms())
                    answer = ended(answer, elapsed_ms())
            except TimeoutError:
                say(f"{wait_seconds:g} s are over; what is still open goes on: `{trace}`")
            except UnavailableError as error:
                raise type(error)(f"{error}; the demand was sent and is not lost: `{trace}`") from error
            return answer if answer.elapsed_ms else replace(answer, elapsed_ms=elapsed_ms())


async def rehearse(asked: Asked, gateway: GatewayClient, monotonic: Callable[[], float] = time.monotonic) -> Answer:
    """Ask what the gateway would answer on a day; nothing is sent, fetched or recorded.

    Raises:
        ConfigurationError, UnavailableError: see `GatewayClient.rehearse`.
    """
    began = monotonic()
    said = await gateway.rehearse(asked)
    elapsed_ms = round((monotonic() - began) * 1000, 1)
    documents = tuple(resolved_document(document, elapsed_ms) for document in said.documents)
    if said.refused is not None and not documents:
        documents = all_refused(unanswered(asked.documents), said.refused, elapsed_ms)
    return Answer(None, True, documents, elapsed_ms, said.list_digest, said.fetch_mode)


def flaws(asked: Asked) -> Iterator[str]:
    """What is wrong with the identifiers of a demand, by where they were given; the values are not repeated."""
    given = [("the subject", asked.subject.kind, asked.subject.id)]
    given += [(f"party {party.role}", party.kind, party.id) for party in asked.parties]
    if asked.applicant is not None:
        given.append(("the applicant", asked.applicant.kind, asked.applicant.id))
    for where, kind, identifier in given:
        try:
            data_subject(SubjectKind(kind), identifier)
        except IdentifierError as error:
            yield f"{where}: {error}"


async def _refusal_before_sending(requester: str, bus: Bus, gateway: Callable[[], GatewayClient]) -> str | None:
    """Why a requester cannot even send: it has no topic. The gateway is asked only then."""
    try:
        topic = DEMAND_SUBMITTED.of(agency_id(requester))
    except MalformedIdentifierError:
        return "unknown_requester"  # nobody can have this id
    admin = bus.admin()
    await admin.start()
    try:
        if topic in await admin.partitions():
            return None
    finally:
        await admin.stop()
    refusal = await gateway().refusal_of_requester(requester)
    if refusal is None:
        raise UnavailableError(
            "the requester is in the list, but its topics are missing: `python -m gateway --apply-topics` makes them"
        )
    return refusal


async def answer_in(session: Session, asked: Asked, wait_seconds: float) -> Answer:
    """`create`, or where a day was said `rehearse`, against what a session addresses."""
    async with AsyncExitStack() as opened:

        def gateway() -> GatewayClient:
            client = session.gateway_client()
            opened.push_async_callback(client.aclose)
            return GatewayClient(client)

        if asked.on is not None:
            return await rehearse(asked, gateway())
        bus, registry = session.bus(), session.schema_registry()
        opened.push_async_callback(registry.aclose)
        return await create(asked, bus, registry, gateway, wait_seconds=wait_seconds, say=session.output.say)
