"""The comparison finds what was planted, and finds nothing where nothing was."""

from typing import Any

import pytest

from chopar.bus.port import Record
from tests.fault.compare import (
    Act,
    Findings,
    Happened,
    Told,
    catch,
    compare_completions,
    compare_effects,
    compare_messages,
    compare_records,
    silences,
)
from tests.fault.harness import by_partition, judge, longest_by_goal, longest_of
from tests.fault.schedule import Kind

PROMISED = {"a": "no_record", "b": "has_debt=True", "c": "has_debt=False"}
COMPOSED = PROMISED | {"unacknowledged": "no_record"}
GOOD = [Act(key, said, 1.0) for key, said in PROMISED.items()]


def test_nothing_is_found_where_everything_was_acted_on_once() -> None:
    assert compare_effects(PROMISED, COMPOSED, GOOD).faults == {}
    came_through = [*GOOD, Act("unacknowledged", "no_record", 2.0)]
    assert compare_effects(PROMISED, COMPOSED, came_through).faults == {}


@pytest.mark.parametrize(
    ("acts", "found"),
    [
        (GOOD[1:], {"lost": ["a"]}),
        ([*GOOD, GOOD[1]], {"doubled": ["b"]}),
        ([*GOOD[:2], Act("c", "has_debt=True", 1.0)], {"changed": ["c"]}),
        ([*GOOD, Act("unacknowledged", "has_debt=True", 1.0)], {"changed": ["unacknowledged"]}),
        ([*GOOD, Act("nobody's", "no_record", 1.0)], {"unasked": ["nobody's"]}),
    ],
)
def test_a_loss_a_double_a_change_and_a_stranger_are_found(acts: list[Act], found: dict[str, list[str]]) -> None:
    findings = compare_effects(PROMISED, COMPOSED, acts)
    assert {name: getattr(findings, name) for name in findings.faults} == found


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ([("a", 0), ("b", 0)], []),
        ([("a", 0)], ["b"]),
        ([("a", 0), ("b", 0), ("b", 0)], ["b"]),
        ([("a", 0), ("b", 1)], ["b"]),
    ],
)
def test_a_demand_is_complete_once_and_all_of_it_delivered(told: list[tuple[str, int]], wrong: list[str]) -> None:
    findings = Findings()
    compare_completions(findings, ["a", "b"], told)
    assert findings.not_completed == wrong


def test_each_demand_needs_both_records_of_its_exchange_under_one_id_each() -> None:
    told = [Told("a", "1", False), Told("a", "2", True), Told("a", "2", True), Told("b", "3", False)]
    findings = Findings()
    compare_records(findings, ["a", "b", "c"], told)
    assert (findings.without_resolution_record, findings.without_access_record) == (["c"], ["b", "c"])
    assert findings.several == []
    compare_records(findings, ["a"], [*told, Told("a", "4", True)])
    assert findings.several == ["exchange.recorded a"]


def record(message_id: bytes, **more: Any) -> Record:
    fields: dict[str, Any] = {"partition": 0, "key": b"a", "value": b"x", "trace": b"1", **more}
    headers = (("ce_id", message_id), ("traceparent", fields["trace"]))
    return Record("t", fields["partition"], 0, 0, fields["key"], fields["value"], headers)


def test_a_message_that_was_sent_again_differs_in_nothing_but_its_trace() -> None:
    findings = Findings()
    compare_messages(findings, "t", [record(b"1"), record(b"1", trace=b"2"), record(b"2", key=b"b")])
    assert (findings.faults, findings.repeated) == ({}, {"t": 1})


@pytest.mark.parametrize("changed", [{"value": b"y"}, {"key": b"b"}, {"partition": 1}])
def test_two_messages_of_one_id_that_differ_are_found(changed: dict[str, Any]) -> None:
    findings = Findings()
    compare_messages(findings, "t", [record(b"1"), record(b"1", **changed)])
    assert findings.contradictions == ["t 1"]


def test_two_answers_to_one_demand_under_two_ids_are_found_where_there_should_be_one() -> None:
    findings = Findings()
    compare_messages(findings, "t", [record(b"1"), record(b"2")], once=False)
    assert findings.several == []
    compare_messages(findings, "t", [record(b"1"), record(b"2")])
    assert findings.several == ["t a"]


def test_the_naive_loop_is_caught_by_what_it_lost_or_did_twice_and_not_where_it_was_right() -> None:
    assert not catch(["a", "b"], ["a", "b"]).is_caught
    assert catch(["a", "b"], ["a"]).lost == 1
    assert catch(["a", "b"], ["a", "b", "a", "a"]).doubled == 1
    assert catch(["a"], ["a", "a"]).is_caught


HAPPENED = [Happened("kill_worker tax", 10.0, 20.0), Happened("kill_broker", 20.0, 40.0)]


def test_a_silence_counts_from_the_fault_and_to_its_own_end() -> None:
    acted = [9.0, 9.9, 13.0, 14.0, 19.0, 26.0, 27.0, 39.9]
    assert silences(acted, HAPPENED) == {"kill_worker tax": [7.0], "kill_broker": [12.9]}
    assert silences([n / 2 for n in range(100)], HAPPENED) == {"kill_worker tax": [0.5], "kill_broker": [0.5]}


def test_a_silence_that_had_hardly_begun_when_the_next_fault_came_is_that_ones() -> None:
    acted = [10.5, *range(11, 20), 19.5, 29.5, *range(30, 40)]
    assert silences(acted, HAPPENED) == {"kill_worker tax": [1.0], "kill_broker": [9.5]}


def test_nothing_at_all_is_the_longest_silence() -> None:
    assert silences([], HAPPENED) == {"kill_worker tax": [30.0], "kill_broker": [20.0]}


def test_silences_are_told_for_each_partition_and_by_kind_of_kill() -> None:
    assert longest_of([{"a": [1.0, 2.0]}, {"a": [2.0, 1.0]}]) == {"a": [2.0, 2.0]}
    silent = {"kill_worker tax": [1.0, 3.0], "kill_worker gateway": [2.0], "kill_broker": [4.0], "delay": [9.0]}
    assert longest_by_goal(silent) == {"kill_worker": 3.0, "kill_broker": 4.0}
    assert longest_by_goal({"delay": [9.0]}) == {}, "a kill that was not made is not followed by a silence of 0 s"
    assert sum(len(times) for times in by_partition({"a": 1.0, "b": 2.0})) == 2


MADE: dict[str, int] = {"worker_kills": 20, "broker_kills": 5, "pauses": 5, **dict.fromkeys(Kind, 1)}
FOUND: dict[str, Any] = {
    "faults_found": {},
    "falsely_acknowledged": [],
    "naive": {"acts": 5000, "lost": 0, "doubled": 3},
    "minutes": 8,
    "faults_made": MADE,
    "network_faults_felt": {"cut": 5, "delay": 300},
    "acknowledged": 5000,
    "silence_seconds_of_one_partition": {"kill_broker": [9.0, 12.5], "two_brokers_dead": [35.0]},
}


def test_a_run_that_holds_is_not_failed() -> None:
    assert judge(FOUND) == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"faults_found": {"lost": 1}}, "lost"),
        ({"falsely_acknowledged": ["a"]}, "falsely acknowledged"),
        ({"naive": {"acts": 5000, "lost": 0, "doubled": 0}}, "naive"),
        ({"faults_made": MADE | {"worker_kills": 19}}, "worker_kills"),
        ({"faults_made": MADE | {Kind.ROLLING_RESTART: 0}}, "rolling_restart: never made"),
        ({"network_faults_felt": {"cut": 5, "delay": 0}}, "delay"),
        ({"acknowledged": 4999}, "acknowledged"),
        (
            {"silence_seconds_of_one_partition": {"rolling_restart": [329.29]}},
            "rolling_restart: a partition stood still",
        ),
    ],
)
def test_a_run_fails_for_what_it_found_for_too_few_faults_and_for_a_naive_loop_that_looks_right(
    changed: dict[str, Any], word: str
) -> None:
    [wrong] = judge(FOUND | changed)
    assert word in wrong
    if {"faults_made", "acknowledged"} & set(changed):
        assert judge(FOUND | changed | {"minutes": 1}) == []
