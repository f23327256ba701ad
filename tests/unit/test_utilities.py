"""The utility companies: rules of accounts, what is answered, synthetic entries, settings."""

import argparse
import asyncio
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest

from chopar.errors import ConfigurationError, InvalidEntryError
from chopar.identifiers import BusinessId
from chopar.messages.demand import Subject
from chopar.messages.entitlement import cut
from chopar.messages.evidence import EvidenceRequested
from chopar.messages.utility import UtilityDebt
from chopar.population import Population
from chopar.provider.provider import NoRecord, ProviderError
from services.utilities.__main__ import main
from services.utilities.handlers import provider_of
from services.utilities.model import (
    COMPANIES,
    LONGEST_ADDRESS,
    MOST_TIYIN,
    Account,
    Contract,
    NetworkService,
    address_key,
    utility_debt_evidence,
)
from services.utilities.seed import accounts
from services.utilities.settings import UtilitiesSettings
from services.utilities.store import CoalescingUtilityRegister, DictUtilityStore
from tests.builders import BUSINESS, NOW, PERSON

ADDRESS = "Namangan viloyati, Chust tumani, Obod MFY, Bobur koʻchasi, 5-uy"
GAS = next(company for company in COMPANIES.values() if company.agency == "gas-hududgaz")


@pytest.fixture(scope="module")
def population() -> Population:
    return Population.make(1, 2000, 100)


def request(**parameters: str) -> EvidenceRequested:
    return EvidenceRequested(
        request_id=bytes(32),
        demand_id=uuid4(),
        requester="justice-notary",
        provider="gas-hududgaz",
        evidence_type="utility-debt",
        subject=Subject(kind="person", id=PERSON),
        parameters=parameters,
        fields=("has_debt",),
        procedure="p",
        case_id="c",
        official="o",
        access_ground="g",
        act="a",
        as_of=NOW,
        due=NOW,
        expires_at=NOW,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": ""},
        {"number": "1" * 33},
        {"address": ""},
        {"address": "  "},
        {"address": "a\0b"},
        {"address": "a" * (LONGEST_ADDRESS + 1)},
        {"owed_tiyin": -1},
        {"owed_tiyin": MOST_TIYIN + 1},
    ],
)
def test_an_account_that_breaks_a_rule_is_refused(wrong: dict[str, object]) -> None:
    fields: dict[str, object] = {"number": "1", "service": NetworkService.GAS, "address": ADDRESS, **wrong}
    with pytest.raises(InvalidEntryError):
        Account(**fields)  # type: ignore[arg-type]


def test_a_contract_has_a_number() -> None:
    with pytest.raises(InvalidEntryError):
        Contract("", BusinessId(BUSINESS), date(2020, 1, 1))


def test_the_key_of_an_address_folds_how_it_is_written_and_nothing_else() -> None:
    assert address_key(ADDRESS) == address_key(ADDRESS.upper().replace("ʻ", "`")) != address_key(ADDRESS + "a")
    assert address_key("‮" + ADDRESS) == ""


async def test_a_company_answers_by_the_address_alone_whosever_the_object_is() -> None:
    store = DictUtilityStore()
    await store.seed([Account("1", NetworkService.GAS, ADDRESS, 7), Account("2", NetworkService.GAS, "clean, 1")])
    register = CoalescingUtilityRegister(store)
    provider = provider_of(GAS)
    assert provider.evidence_types == ("utility-debt",)
    owing = await provider.answer(request(account_address=ADDRESS, plate="01A123AA"), register)
    assert isinstance(owing, UtilityDebt)
    assert (owing.has_debt, owing.amount_tiyin, owing.as_of) == (True, 7, NOW)
    clean = await provider.answer(request(account_address="Clean, 1"), register)
    assert isinstance(clean, UtilityDebt)
    assert (clean.has_debt, clean.amount_tiyin) == (False, 0)
    assert await provider.answer(request(account_address="elsewhere"), register) == NoRecord(GAS.coverage)
    assert isinstance(await provider.answer(request(plate="01A123AA"), register), ProviderError)


async def test_where_the_ground_gives_yes_or_no_the_amount_is_cut() -> None:
    store = DictUtilityStore()
    await store.seed([Account("1", NetworkService.GAS, ADDRESS, 7)])
    [debt] = (await store.debts_at([address_key(ADDRESS)])).values()
    whole = utility_debt_evidence(debt, source_register="r", as_of=NOW).to_avro()
    given = cut(whole, ["has_debt"])
    assert (given["has_debt"], given["amount_tiyin"], given["fields_given"]) == (True, None, ["has_debt"])
    assert cut(whole, ["has_debt", "amount_tiyin"])["amount_tiyin"] == 7


def test_each_company_knows_a_part_of_the_objects_and_a_firms_seat_is_known_to_nearly_all(
    population: Population,
) -> None:
    seats = {address_key(firm.objects[0].account_address) for firm in population.firms}
    everything: dict[str, list[Account]] = {
        company.agency: list(accounts(population, company)) for company in COMPANIES.values()
    }
    for agency, found in everything.items():
        assert len({account.number for account in found}) == len(found)
        owing = [account for account in found if account.owed_tiyin]
        assert 0.05 < len(owing) / len(found) < 0.3
        known = seats & {address_key(account.address) for account in found}
        assert len(known) == len(seats) or (agency == "heat-supply" and len(known) > len(seats) / 2)
    counts = {agency: len(found) for agency, found in everything.items()}
    assert counts["electricity-het"] > counts["gas-hududgaz"] > counts["telecom-operator"]
    assert {account.service for account in everything["water-uzsuvtaminot"]} == {
        NetworkService.COLD_WATER,
        NetworkService.SEWERAGE,
    }
    parties = {account.contract.party for account in everything["electricity-het"] if account.contract}
    assert {firm.stir for firm in population.firms} <= parties
    living = {person.pinfl for person in population.people if person.died_on is None}
    assert parties <= living | {firm.stir for firm in population.firms}


def test_what_is_settled_for_an_object_does_not_depend_on_others() -> None:
    few, many = (list(accounts(Population.make(4, count, 0), GAS)) for count in (300, 600))
    of_many = {account.number: account for account in many}
    assert [(a.address, a.owed_tiyin) for a in few] == [
        (of_many[account.number].address, of_many[account.number].owed_tiyin) for account in few
    ]


def settings(url: str) -> UtilitiesSettings:
    return UtilitiesSettings.model_validate(
        {
            "kafka": {"bootstrap": "127.0.0.1:1"},
            "http": {"address": "127.0.0.1:1"},
            "home": "/nowhere",
            "schema_registry": {"url": "http://127.0.0.1:1"},
            "store": {"url": url},
        }
    )


def test_each_company_has_a_register_of_its_own() -> None:
    assert settings("sqlite:////a/AGENCY.db").stores_of(["gas-hududgaz", "heat-supply"]) == {
        "gas-hududgaz": "sqlite:////a/gas-hududgaz.db",
        "heat-supply": "sqlite:////a/heat-supply.db",
    }
    assert settings("sqlite:////a/it.db").stores_of(["heat-supply"]) == {"heat-supply": "sqlite:////a/it.db"}
    with pytest.raises(ConfigurationError, match="CHOPAR_UTILITIES_STORE__URL must hold the word AGENCY"):
        settings("sqlite:////a/it.db").stores_of(["gas-hududgaz", "heat-supply"])


async def test_the_backups_of_two_companies_are_not_made_into_one_file(tmp_path: Path) -> None:
    arguments = argparse.Namespace(agency=["gas-hududgaz", "heat-supply"], backup=tmp_path / "it.backup")
    with pytest.raises(ConfigurationError, match="the word AGENCY is due"):
        await main(settings(f"sqlite:///{tmp_path}/AGENCY.db"), arguments, asyncio.Event())
    assert not list(tmp_path.iterdir())
