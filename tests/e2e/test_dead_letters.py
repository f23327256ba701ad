"""Dead letters on the running stack: seen, masked, and replayed by the gateway and by the tax service."""

import asyncio
from typing import Any

import pytest

from chopar.bus.port import Outgoing
from tests.e2e.stack_fixture import Cli, RunningStack, new_key, wait_for

pytestmark = pytest.mark.broker

TOPICS = ("demand.submitted.electricity-het", "evidence.requested.tax-committee")
WHY = ("--reason", "a rehearsal", "--by", "operator-7")


def test_what_cannot_be_handled_is_listed_replayed_and_fails_again(stack: RunningStack, cli: Cli, pinfl: str) -> None:
    key = new_key()
    asyncio.run(stack.send(Outgoing(TOPICS[0], 0, b"no demand id", pinfl.encode()), Outgoing(TOPICS[1], 0, key, b"no")))

    def listed(*more: str) -> list[dict[str, Any]]:
        done = cli("dead-letter", "list", "--format", "json", *more)
        assert done.code == 0, done.err
        assert pinfl not in done.out
        return [one for one in done.data if any(one["letter"].startswith(topic) for topic in TOPICS)]

    wait_for(lambda: len(listed("--open")) >= 2, "both are dead letters")
    first = listed("--open")
    for one in first:
        shown = cli("dead-letter", "show", one["letter"], "--format", "json")
        assert (shown.code, shown.data["replayable"], pinfl in shown.out) == (0, True, False)
    names = [one["letter"] for one in first]
    assert cli("dead-letter", "replay", *names, *WHY, "--yes").code == 0
    wait_for(lambda: {one["state"] for one in listed() if one["letter"] in names} == {"failed"}, "both failed again")
    again = listed("--open")
    assert sorted(one["origin"] for one in again) == sorted(one["origin"] for one in first)
    assert all(one["attempts"] == 2 for one in again)
    assert cli("dead-letter", "discard", "--all", *WHY, "--yes").code == 0
    assert listed("--open") == []
