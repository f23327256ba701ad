"""Does a provider keep what Chopar promises of one? The same checks on the in-memory bus and on a real one.

`chopar provider check` runs them, and so can a test of one's own:

    findings = await check(conformance, MemoryBus(clock))
    assert not [finding for finding in findings if not finding.passed]

The provider is run by the consume loop as in production; only the gateway's part is played here. Whether what it says
is true is left to the agency.
"""

import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import structlog

from chopar.avro import SchemaFiles, frame, unframe
from chopar.avro.writer import zigzag
from chopar.bus.port import Bus
from chopar.conformance.reviews import correction, dispute
from chopar.conformance.rig import ASKER, Case, Conformance, Example, NotKeptError, Rig, require, running
from chopar.errors import ConfigurationError
from chopar.messages.entitlement import beyond
from chopar.messages.evidence import (
    EvidenceRequested,
    EvidenceUnavailable,
    UnavailableCode,
)
from chopar.record_fields import require_equal_fields

__all__ = ["ASKER", "Case", "Conformance", "Example", "Finding", "check"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check. `said` is empty where it passed."""

    evidence_type: str
    check: str
    passed: bool
    said: str = ""


async def check(conformance: Conformance, bus: Bus, *, clock: Callable[[], datetime] | None = None) -> list[Finding]:
    """Run all checks. Topics that were made for it are removed at the end, also where it is cancelled.

    Args:
        conformance: the provider and its examples.
        bus: in memory, or a real one (`PrefixedBus` keeps its topics apart from those in use).
        clock: aware UTC time.

    Returns:
        One finding a check and evidence type, in the order in which they were made.

    Raises:
        ConfigurationError: the provider has an evidence type without a case, or a case is of none.
        BrokerUnavailableError: the bus does not answer.
    """
    known = set(conformance.provider.evidence_types)
    given = {case.evidence_type for case in conformance.cases}
    if known != given:
        raise ConfigurationError(f"a case is due for each evidence type: {', '.join(sorted(known ^ given))}")
    for case in conformance.cases:
        require_equal_fields(case.record, (conformance.files or SchemaFiles.shipped()).text(case.record.RECORD))
    findings: list[Finding] = []
    async with running(conformance, bus, clock or (lambda: datetime.now(UTC))) as rig:
        for case in conformance.cases:
            for name, one in _CHECKS.items():
                if name == "correction" and case.change is None:
                    continue
                try:
                    await one(rig, case)
                except NotKeptError as error:
                    findings.append(Finding(case.evidence_type, name, passed=False, said=str(error)))
                except TimeoutError:
                    said = "no answer came in time" + rig.reasons()
                    findings.append(Finding(case.evidence_type, name, passed=False, said=said))
                    if name == next(iter(_CHECKS)):
                        break  # who does not answer the first request answers none
                else:
                    findings.append(Finding(case.evidence_type, name, passed=True))
    return findings


@contextlib.contextmanager
def _logged() -> Iterator[list[str]]:
    """What is given to `logging` and structlog meanwhile, before anything masks it."""
    lines: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    def listening(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        lines.append(repr(event))
        raise structlog.DropEvent  # shown are the findings

    handler, root = Listening(), logging.getLogger()
    level, wrapper = root.level, structlog.get_config()["wrapper_class"]
    # In place, as loggers that are in use hold the same list.
    processors = structlog.get_config()["processors"]
    processors.insert(0, listening)
    # As in a process: `chopar provider check` lets less through.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        structlog.configure(wrapper_class=wrapper)
        processors.remove(listening)


async def _hit(rig: Rig, case: Case) -> None:
    request = rig.request(case, case.hit)
    with _logged() as lines:
        answer = await rig.ask(request)
    body = await answer.body(rig.decoder, case.record)
    require(isinstance(body, case.record), f"who is in the register gets no {case.record.__name__}")
    require(not any(request.subject.id in line for line in lines), "an identifier goes to a log")
    require(answer.provided.final, "evidence is final")
    digest = sha256(answer.provided.nonce + answer.provided.body).digest()
    recorded = answer.accesses[0].access
    require(recorded is not None and recorded.answer_digest == digest, "the access record is of another answer")


async def _no_record(rig: Rig, case: Case) -> None:
    hit = await rig.ask(rig.request(case, case.hit))
    unknown = await rig.ask(rig.request(case, case.unknown))
    body = await unknown.body(rig.decoder, case.record)
    require(
        isinstance(body, EvidenceUnavailable) and body.code is UnavailableCode.NO_RECORD,
        "who is not in the register gets no `NoRecord`",
    )
    require(
        unknown.calls == hit.calls,
        f"a hit asks the register {hit.calls} times, no_record {unknown.calls} times: the time tells them apart",
    )
    require(
        len(unknown.value) == len(hit.value),
        f"a hit has {len(hit.value)} bytes, no_record {len(unknown.value)}: the size tells them apart",
    )


async def _fields_cut(rig: Rig, case: Case) -> None:
    for only in case.all_fields:
        answer = await rig.ask(rig.request(case, case.hit, fields=(only,)))
        body = await answer.body(rig.decoder, case.record)
        require(isinstance(body, case.record), f"with the field {only} alone there is no {case.record.__name__}")
        more = beyond(body.to_avro(), (only,))
        require(not more, f"with the field {only} alone it gives {', '.join(more)} too")


async def _duplicate(rig: Rig, case: Case) -> None:
    request = rig.request(case, case.hit)
    await rig.send(request, request)
    first, second = (await rig.answers(request, 2))[:2]
    require(first.value == second.value, "the same request is answered by other bytes: is a clock or chance in it?")
    require(first.message_id == second.message_id, "the same answer has another id")


async def _deadline(rig: Rig, case: Case) -> None:
    now = rig.clock()
    late = rig.request(case, case.hit, as_of=now - timedelta(days=2), expires_at=now - timedelta(days=1))
    sentinel = rig.request(case, case.hit)
    before = rig.register.calls
    await rig.send(late)
    await rig.send(sentinel)
    await rig.answers(sentinel)
    calls = rig.register.calls - before
    require(not await rig.found(late), "a request whose time is over is answered")
    alone = (await rig.ask(rig.request(case, case.hit))).calls
    require(calls <= alone, "the register is read for a request whose time is over")


async def _register_away(rig: Rig, case: Case) -> None:
    calls = (await rig.ask(rig.request(case, case.hit))).calls
    require(calls > 0, "it answers without asking its register")
    request = rig.request(case, case.hit)
    before = rig.register.calls

    async def tried_again_or_answered() -> bool:
        return rig.register.calls - before > calls or bool(await rig.found(request))

    rig.register.away = True
    try:
        await rig.send(request)
        await rig.until(tried_again_or_answered)
        require(not await rig.found(request), "a register that is away is answered as if it had been read")
    finally:
        rig.register.away = False
    answer = (await rig.answers(request))[0]
    body = await answer.body(rig.decoder, case.record)
    require(isinstance(body, case.record), "after the register has come back it does not answer")


async def _unknown_fields(rig: Rig, case: Case) -> None:
    schema = json.loads(rig.files.texts[EvidenceRequested.RECORD])
    schema["fields"].append(
        {"name": "of_tomorrow", "type": ["null", "string"], "default": None, "doc": "Not known yet."}
    )
    text = json.dumps(schema)
    schema_id = await rig.registry.register(EvidenceRequested.RECORD, text)
    request = rig.request(case, case.hit)
    _, body = unframe(rig.encoder.encode(request))
    said = b"later"
    value = frame(schema_id, body + b"\x02" + zigzag(len(said)) + said)  # the union's second branch, and its string
    answer = await rig.ask(request, values={request.demand_id: value})
    evidence = await answer.body(rig.decoder, case.record)
    require(isinstance(evidence, case.record), "a request with a field of tomorrow is not answered")


async def _another_provider(rig: Rig, case: Case) -> None:
    request = rig.request(case, case.hit, provider="somebody-else")
    sentinel = rig.request(case, case.hit)
    await rig.send(request)
    await rig.send(sentinel)
    await rig.answers(sentinel)
    require(not await rig.found(request), "a request to another provider is answered")


_CHECKS: Mapping[str, Callable[[Rig, Case], Awaitable[None]]] = {
    "hit": _hit,
    "no record": _no_record,
    "fields cut": _fields_cut,
    "duplicate": _duplicate,
    "deadline": _deadline,
    "register away": _register_away,
    "unknown extra fields": _unknown_fields,
    "another provider": _another_provider,
    "dispute": dispute,
    "correction": correction,
}
