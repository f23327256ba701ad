"""Access lists: nobody may write under another's name, and everybody may do what the table of topics says."""

import pytest

from chopar.access import SCHEMA_WRITER, Resource, access_lists, principal_of
from chopar.identifiers import AgencyId
from chopar.topics import DEAD_LETTER_SUFFIX, layouts
from gateway.__main__ import GROUP
from services.schema_registry.store import WRITER

ONE, TWO, HOLDER = AgencyId("justice-notary"), AgencyId("electricity-het"), AgencyId("tax-committee")
LISTS = access_lists([ONE, TWO], [HOLDER])


def allowed(principal: str, operation: str) -> set[str]:
    return {rule.name for rule in LISTS[principal] if rule.resource is Resource.TOPIC and operation in rule.operations}


def writers(topic: str) -> set[str]:
    return {principal for principal in LISTS if topic in allowed(principal, "Write")}


def readers(topic: str) -> set[str]:
    return {principal for principal in LISTS if topic in allowed(principal, "Read")}


@pytest.mark.parametrize("agency", [ONE, TWO])
def test_an_agency_alone_writes_its_demands_and_only_the_gateway_reads_them(agency: AgencyId) -> None:
    topic = f"demand.submitted.{agency}"
    assert writers(topic) == {principal_of(agency)}
    assert readers(topic) == {"gateway"}


def test_only_the_gateway_asks_a_holder() -> None:
    assert writers(f"evidence.requested.{HOLDER}") == {"gateway"}
    assert readers(f"evidence.requested.{HOLDER}") == {principal_of(HOLDER)}


@pytest.mark.parametrize("agency", [ONE, TWO])
def test_answers_come_from_holders_and_are_read_by_the_asker_alone(agency: AgencyId) -> None:
    assert writers(f"evidence.provided.{agency}") == {principal_of(HOLDER)}
    assert readers(f"evidence.provided.{agency}") == {principal_of(agency)}
    assert writers(f"demand.resolved.{agency}") == {"gateway"}
    assert readers(f"demand.resolved.{agency}") == {principal_of(agency)}


def test_the_law_is_written_by_those_who_keep_it_and_the_gateways_marks() -> None:
    assert writers("law.activated") == {"list-keepers", "gateway"}


def test_operations_see_dead_letters_and_records_but_no_document() -> None:
    seen = allowed("operations", "Read")
    assert all(
        name.endswith(DEAD_LETTER_SUFFIX) or name in {"exchange.recorded", "law.activated", "operations.replayed"}
        for name in seen
    )
    assert f"demand.submitted.{ONE}{DEAD_LETTER_SUFFIX}" in seen
    assert allowed("operations", "Write") == {"operations.replayed"}


def test_who_reads_a_topic_may_write_and_replay_its_dead_letters_and_nobody_else_may() -> None:
    for topic in (f"demand.submitted.{ONE}", f"evidence.requested.{HOLDER}", f"evidence.provided.{TWO}"):
        assert writers(topic + DEAD_LETTER_SUFFIX) == readers(topic)


def test_every_topic_that_is_made_has_a_writer_and_a_reader_and_no_rule_names_another() -> None:
    made = {layout.name for layout in layouts([ONE, TWO], [HOLDER])}
    assert all(writers(name) and readers(name) for name in made)
    named = {rule.name for rules in LISTS.values() for rule in rules if rule.resource is Resource.TOPIC}
    assert named == made


def test_the_names_are_those_the_processes_use() -> None:
    rules = {(rule.resource, rule.name) for rules in LISTS.values() for rule in rules}
    assert (Resource.GROUP, GROUP) in rules
    assert (Resource.GROUP, f"provider.{HOLDER}") in rules
    assert (Resource.TRANSACTIONAL_ID, WRITER) in rules
    assert SCHEMA_WRITER == WRITER
