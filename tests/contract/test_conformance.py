"""The conformance kit passes a provider that keeps its promises, on both buses, and names each broken promise."""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from chopar.bus.kafka import KafkaBus
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Bus
from chopar.bus.prefixed import PrefixedBus
from chopar.conformance import Case, Conformance, Example, Finding, check
from chopar.errors import ConfigurationError, RegisterUnavailableError
from chopar.identifiers import PersonId
from chopar.messages.dispute import EvidenceDisputed
from chopar.messages.evidence import Debt, EvidenceRequested, TaxDebt
from chopar.provider.provider import NoRecord, Provider, ProviderError, subject_of
from services.tax.handlers import provider as tax_provider
from services.tax.model import DebtEntry, TaxAccount, Taxpayer
from services.tax.store import DictTaxStore
from tests.builders import PERSON, SECOND_PERSON

HOLDS, UNKNOWN = Example(PersonId(PERSON)), Example(PersonId(SECOND_PERSON))


def memory() -> Bus:
    return MemoryBus(lambda: time.time_ns() // 1_000_000)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def bus(request: pytest.FixtureRequest) -> Bus:
    if request.param == "memory":
        return memory()
    return PrefixedBus(KafkaBus(request.getfixturevalue("bootstrap")), f"conformance-{time.time_ns()}.")


def broken(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.said for finding in findings if not finding.passed}


async def test_the_tax_service_conforms(bus: Bus) -> None:
    store = DictTaxStore()
    taxpayer = Taxpayer(HOLDS.subject, datetime(2020, 1, 1, tzinfo=UTC).date())
    await store.seed([TaxAccount(taxpayer, (DebtEntry("land-tax", 500),))])

    async def change() -> None:
        await store.set_debts(HOLDS.subject, ())

    case = Case("tax-debt", TaxDebt, HOLDS, UNKNOWN, change=change)
    findings = await check(Conformance(tax_provider, store, [case]), bus)
    assert broken(findings) == {}
    assert [finding.check for finding in findings] == [
        "hit",
        "no record",
        "fields cut",
        "duplicate",
        "deadline",
        "register away",
        "unknown extra fields",
        "another provider",
        "dispute",
        "correction",
    ]


class Register:
    """One entry."""

    def __init__(self) -> None:
        self.debt = 7

    async def debt_of(self, person: str) -> int | None:
        return self.debt if person == PERSON else None


Function = Callable[[EvidenceRequested, Any], Any]


def evidence(request: EvidenceRequested, amount: int) -> TaxDebt:
    return TaxDebt(
        has_debt=amount > 0,
        debts=(Debt(tax="land-tax", amount_tiyin=amount),),
        source_register="a register",
        as_of=request.as_of,
    )


async def honest(request: EvidenceRequested, register: Register) -> TaxDebt | NoRecord:
    amount = await register.debt_of(subject_of(request).text)
    return NoRecord("all of it") if amount is None else evidence(request, amount)


async def findings_of(function: Function, **changes: Any) -> dict[str, str]:
    provider = Provider("tax-committee", register="a register")
    provider.answers("tax-debt")(function)
    case = replace(Case("tax-debt", TaxDebt, HOLDS, UNKNOWN), **changes)
    return broken(await check(Conformance(provider, Register(), [case]), memory()))


async def topics(bus: Bus) -> dict[str, int]:
    admin = bus.admin()
    await admin.start()
    try:
        return await admin.partitions()
    finally:
        await admin.stop()


async def test_nothing_is_left_behind_whether_it_ends_or_is_stopped_in_the_middle(bus: Bus) -> None:
    """No topic, and no dead letter on the operators' list: that of another provider's request is one."""
    asked = asyncio.Event()

    class Told(Register):
        async def debt_of(self, person: str) -> int | None:
            asked.set()
            return await super().debt_of(person)

    provider = Provider("tax-committee", register="a register")
    provider.answers("tax-debt")(honest)
    given = Conformance(provider, Told(), [Case("tax-debt", TaxDebt, HOLDS, UNKNOWN)])
    assert broken(await check(given, bus)) == {}
    assert await topics(bus) == {}
    asked.clear()
    again = PrefixedBus(bus, "again.")  # the group of the first has its offsets still
    stopped = asyncio.create_task(check(given, again))
    async with asyncio.timeout(60):
        await asked.wait()
        assert await topics(again) != {}
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
    assert await topics(again) == {}


async def test_an_honest_provider_conforms() -> None:
    assert await findings_of(honest) == {}


async def test_a_provider_that_asks_more_for_a_hit_is_told_apart_by_its_time() -> None:
    async def slow_on_hits(request: EvidenceRequested, register: Register) -> TaxDebt | NoRecord:
        answer = await honest(request, register)
        if isinstance(answer, TaxDebt):
            await register.debt_of(PERSON)
        return answer

    said = await findings_of(slow_on_hits)
    assert set(said) == {"no record"}
    assert "2 times, no_record 1 times" in said["no record"]


async def test_a_provider_whose_answers_differ_in_size_is_told_apart_by_it() -> None:
    async def long_on_hits(request: EvidenceRequested, register: Register) -> TaxDebt | NoRecord:
        answer = await honest(request, register)
        if isinstance(answer, TaxDebt):
            debts = tuple(Debt(tax=f"tax-{number}", amount_tiyin=1) for number in range(200))
            return answer.model_copy(update={"debts": debts})
        return answer

    said = await findings_of(long_on_hits)
    assert set(said) == {"no record"}
    assert "the size tells them apart" in said["no record"]


async def test_a_provider_with_chance_in_its_answers_does_not_repeat_itself() -> None:
    numbers = itertools.count(random.Random(1).randrange(1, 100))

    async def by_chance(request: EvidenceRequested, register: Register) -> TaxDebt | NoRecord:
        answer = await honest(request, register)
        return evidence(request, next(numbers)) if isinstance(answer, TaxDebt) else answer

    assert set(await findings_of(by_chance)) == {"duplicate", "dispute"}


@pytest.mark.parametrize("by", ["logging", "structlog"])
async def test_a_provider_that_writes_down_whom_it_is_asked_about_is_found(by: str) -> None:
    async def tells(request: EvidenceRequested, register: Register) -> TaxDebt | NoRecord:
        if by == "logging":
            logging.getLogger("an agency").info("asked about %s", subject_of(request).text)
        else:
            structlog.get_logger().info("asked", about=subject_of(request).text)
        return await honest(request, register)

    assert await findings_of(tells) == {"hit": "an identifier goes to a log"}


async def test_a_provider_that_says_no_record_when_its_register_is_away_is_found() -> None:
    async def swallows(request: EvidenceRequested, register: Register) -> TaxDebt | NoRecord:
        try:
            return await honest(request, register)
        except RegisterUnavailableError:
            return NoRecord("all of it")

    said = await findings_of(swallows)
    assert set(said) == {"register away"}
    assert "as if it had been read" in said["register away"]


async def test_a_provider_that_answers_nobody_is_found() -> None:
    async def nobody(request: EvidenceRequested, register: Register) -> ProviderError:
        await register.debt_of(PERSON)
        return ProviderError()

    said = await findings_of(nobody)
    assert {"hit", "no record", "fields cut", "register away", "unknown extra fields", "dispute"} == set(said)


async def test_a_provider_that_always_yields_or_does_not_look_again_is_found() -> None:
    async def yields(_: EvidenceDisputed, request: EvidenceRequested, register: Register) -> TaxDebt:
        return evidence(request, 0)

    async def does_not_look(_: EvidenceDisputed, request: EvidenceRequested, register: Register) -> TaxDebt:
        return evidence(request, 7)

    said = []
    for review in (yields, does_not_look):
        provider = Provider("tax-committee", register="a register")
        provider.answers("tax-debt")(honest)
        provider.reviews("tax-debt")(review)
        case = Case("tax-debt", TaxDebt, HOLDS, UNKNOWN)
        said.append(broken(await check(Conformance(provider, Register(), [case]), memory())))
    assert said == [
        {"dispute": "what the register still says is corrected"},
        {"dispute": "a dispute is answered without asking the register"},
    ]


async def test_every_evidence_type_needs_a_case() -> None:
    provider = Provider("tax-committee", register="a register")
    provider.answers("tax-debt")(honest)
    with pytest.raises(ConfigurationError, match="tax-debt"):
        await check(Conformance(provider, Register(), []), memory())
    case = Case("tax-debt", TaxDebt, HOLDS, UNKNOWN)
    cases = [case, replace(case, evidence_type="wages")]
    with pytest.raises(ConfigurationError, match="wages"):
        await check(Conformance(provider, Register(), cases), memory())


async def test_a_register_that_does_not_change_shows_no_correction() -> None:
    async def change() -> None:
        return

    assert set(await findings_of(honest, change=change)) == {"correction"}
