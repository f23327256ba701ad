"""The command line on a running stack: up, again, status, demands and refusals; what it survives is in test_kill."""

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from tests.e2e.stack_fixture import CHECKOUT, Cli, RunningStack

pytestmark = pytest.mark.broker


def test_up_prints_both_answers_and_where_everything_listens(stack: RunningStack) -> None:
    first_up = stack.first_up
    assert first_up.code == 0, first_up.err
    shown = first_up.data
    assert {"bootstrap", "registry", "gateway"} <= set(shown["addresses"])
    assert shown["synthetic"] is True
    assert "synthetic" in first_up.err
    assert [example["fetch_mode"] for example in shown["demands"]] == ["inferred", "inferred"]
    sale, person = (example["answer"] for example in shown["demands"])
    assert [document["outcome"] for document in person["documents"]] == [
        "not_needed", "not_needed", "not_needed", "fetch", "gap", "gap",
    ]  # fmt: skip
    debt = person["documents"][3]["evidence"]
    assert debt["has_debt"] in (True, False)
    assert debt["debts"] is None
    assert {document["outcome"] for document in sale["documents"]} == {"fetch"}
    tax, *companies, marriage = sale["documents"]
    assert tax["evidence"]["debts"] is not None
    assert len({document["provider"] for document in sale["documents"]}) == 6
    assert all(document["evidence"]["has_debt"] in (True, False) for document in companies)
    assert marriage["evidence"]["act_number"]


def test_up_again_leaves_everything_running(stack: RunningStack, cli: Cli) -> None:
    before = [process.pid for process in stack.written.processes]
    again = cli("up", "--format", "json")
    assert again.code == 0, again.err
    assert [process["pid"] for process in again.data["processes"]] == before


def test_status_says_that_all_is_ready(cli: Cli) -> None:
    status = cli("status", "--format", "json")
    assert status.code == 0, status.err
    assert status.data["ready"] is True
    assert status.data["memory_bytes"] > 0
    assert status.data["lag"].get("gateway") == 0


def test_a_demand_and_its_trace(cli: Cli, pinfl: str) -> None:
    created = cli.demand(pinfl)
    assert created.code == 0, created.err
    assert created.data["status"] == "answered"
    traced = cli("demand", "trace", created.data["demand_id"], "--format", "json")
    assert traced.code == 0, traced.err
    assert sorted(hop["record"].rpartition(".")[2] for hop in traced.data["hops"]) == [
        "Demand", "DemandResolved", "EvidenceProvided", "EvidenceRequested", "ExchangeRecorded", "ExchangeRecorded",
    ]  # fmt: skip
    assert pinfl not in traced.out
    listed = cli("demand", "list", "--limit", "1", "--format", "json")
    assert listed.data[0]["demand_id"] == created.data["demand_id"]
    assert listed.data[0]["state"] == "ended"


def test_a_disputed_answer_that_the_register_still_gives_stands(cli: Cli, pinfl: str) -> None:
    created = cli.demand(pinfl)
    demand_id, paper = created.data["demand_id"], created.data["documents"][0]["document_type"]
    flags = ("--reason", "wrong_value", "--field", "has_debt", "--format", "json")
    disputed = cli("demand", "dispute", demand_id, paper, *flags)
    assert (disputed.code, disputed.data["status"]) == (1, "upheld"), disputed.err
    traced = cli("demand", "trace", demand_id, "--format", "json")
    kinds = Counter(hop["record"].rpartition(".")[2] for hop in traced.data["hops"])
    assert (kinds["EvidenceDisputed"], kinds["EvidenceUpheld"], kinds["ExchangeRecorded"]) == (2, 1, 4)
    assert pinfl not in disputed.out + disputed.err + traced.out
    missing = cli("demand", "dispute", demand_id, "address-reference-certificate", *flags)
    assert (missing.code, missing.out) == (1, "")
    assert "nothing that can be disputed" in missing.err


def test_a_holder_that_was_wrong_answers_again_whoever_asked(cli: Cli, stack: RunningStack, pinfl: str) -> None:
    created = cli.demand(pinfl)
    home = cli.home / "tax"
    settings = {
        "CHOPAR_TAX_HOME": str(home),
        "CHOPAR_TAX_STORE__URL": f"sqlite+aiosqlite:///{home}/register.sqlite3",
        "CHOPAR_TAX_KAFKA__BOOTSTRAP": stack.address("bootstrap"),
        "CHOPAR_TAX_SCHEMA_REGISTRY__URL": stack.address("registry"),
        "CHOPAR_TAX_HTTP__ADDRESS": "127.0.0.1:1",  # nothing listens: it does this and ends
    }
    command = [sys.executable, "-m", "services.tax", "--correct", "-"]
    told = subprocess.run(
        command, input=pinfl, capture_output=True, text=True, env={**os.environ, **settings}, cwd=CHECKOUT, check=False
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "answers.corrected" in told.stdout
    assert pinfl not in told.stdout + told.stderr
    traced = cli("demand", "trace", created.data["demand_id"], "--format", "json")
    assert [hop["record"] for hop in traced.data["hops"]].count("chopar.evidence.EvidenceCorrected") == 1


@pytest.mark.parametrize(
    ("more", "code", "refusal"),
    [
        (("--document", "no-such-paper"), 2, "unknown_document"),
        (("--document", "tax-debt-certificate@nobody"), 2, "unknown_role"),
    ],
)
def test_wrong_use_is_printed_whole(cli: Cli, pinfl: str, more: tuple[str, ...], code: int, refusal: str) -> None:
    done = cli.demand(pinfl, *more)
    assert done.code == code
    assert refusal in [document["code"] for document in done.data["documents"]]


def test_a_malformed_identifier_is_refused_and_not_repeated(cli: Cli, pinfl: str) -> None:
    done = cli.demand(pinfl[:13])
    assert (done.code, done.data["documents"][0]["code"]) == (2, "malformed_identifier")
    assert pinfl[:13] not in done.out + done.err


def test_a_rehearsal_of_the_day_before(cli: Cli, pinfl: str) -> None:
    done = cli.demand(pinfl, "--on", "2022-06-30")
    assert (done.code, done.data["rehearsal"], done.data["demand_id"]) == (0, True, None)
    assert done.data["documents"][0]["outcome"] == "may_be_asked"


def test_topics_and_doctor_see_the_stack(cli: Cli) -> None:
    topics = cli("topic", "list", "--format", "json")
    assert topics.code == 0, topics.err
    assert "exchange.recorded" in [row["name"] for row in topics.data]
    doctor = cli("doctor", "--format", "json")
    assert doctor.code == 0, doctor.out


def test_lists_that_are_planned_are_not_read_as_those_in_force(cli: Cli, stack: RunningStack, tmp_path: Path) -> None:
    held = httpx2.get(f"{stack.address('gateway')}/v1/law").json()["in_force"]["list_digest"]
    mine, at = str(tmp_path / "mine"), (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    assert cli("prohibited", "export", mine).code == 0
    directory = tmp_path / "mine" / "directory.toml"
    directory.write_text(directory.read_text(encoding="utf-8").replace("due_hours = 24", "due_hours = 5", 1))
    planned = cli("prohibited", "activate", mine, "--at", at, "--by", "a lawyer", "--format", "json")
    assert (planned.code, planned.data["instead_of"], len(planned.data["differences"])) == (0, held, 1), planned.err
    listed = cli("prohibited", "list")
    assert f"lists read: in-force, version {held[:12]}" in listed.err
    assert f"version {planned.data['list_digest'][:12]}" in listed.err
    assert cli("prohibited", "export", str(tmp_path / "now")).code == 0
    withdrawn = cli("prohibited", "activate", str(tmp_path / "now"), "--at", at, "--by", "a lawyer", "--format", "json")
    assert (withdrawn.code, withdrawn.data["list_digest"], withdrawn.data["is_new"]) == (0, held, True), withdrawn.err
