"""`make test-fault`: three brokers, the real processes, and everything that may happen to them; then sets are compared.

It fails if an acknowledged demand was lost, acted on twice or answered otherwise than the register says, if a record
of it is missing or two messages of one id differ, if something was acknowledged that two dead brokers could not keep,
if fewer faults were made than R1 asks for, or if the naive loop that runs beside is not caught. Silences are measured
and printed with their goals, and not judged: they depend on the machine.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from chopar.avro import SchemaFiles
from chopar.bus.kafka import KafkaBus
from chopar.bus.port import partition_of
from chopar.messages.demand import Demand
from chopar.observe import configure_logging
from chopar.requester.requester import Requester
from chopar.schema_registry import Encoder, HttpSchemaRegistry
from chopar.topics import PARTITIONS
from tests.fault import requester as asking
from tests.fault.breaking import Breaker
from tests.fault.cluster import PORTS, Cluster
from tests.fault.compare import Findings, catch, compare_completions, compare_effects, silences
from tests.fault.feeder import AGENCY, Composer, Feeder, Ledger, WitnessedBus
from tests.fault.fleet import Fleet
from tests.fault.naive import FILE as NAIVE_FILE
from tests.fault.reading import count_acts, read_acts, read_completions, read_naive, read_topics, stations
from tests.fault.schedule import FULL_MINUTES, Kind, Step, counts, schedule
from tests.kafka_fixture import free_ports
from tests.load.accounting import machine

FEEDERS = 3
WORKER_PORTS = 7
"""One schema registry, and three each of gateway and tax service."""

DRAIN_SECONDS = 90.0
OVERTIME_SECONDS = 150.0
"""What a slow machine may take longer; steps that do not fit even so are left out, and that is said."""

DEMANDS = 5000
FAULTS_DUE = {"worker_kills": 20, "broker_kills": 5, "pauses": 5}
"""R1, for a run of eight minutes."""

ENDED_BY_A_SIGNAL = 143

STOOD_STILL_SECONDS = 120.0
"""No machine is so slow: a process needs 16 s to start at the worst, and two brokers are dead for 35."""

GOALS = {"kill_broker": 10.0, "kill_worker": 8.0}
"""R2: the longest silence, in seconds, after a kill."""


def say(words: str) -> None:
    """Print, at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


class Run:
    """One run in a folder of its own."""

    def __init__(self, home: Path, options: argparse.Namespace) -> None:
        self.home = home
        self.file = home / asking.FILE
        self.options = options
        cluster_ports, worker_ports = (ports := free_ports(PORTS + WORKER_PORTS))[:PORTS], ports[PORTS:]
        self.cluster = Cluster(home, cluster_ports)
        self.fleet = Fleet(home, self.cluster.bootstrap, worker_ports)
        self.ledger = Ledger()
        self.steps: list[Step] = schedule(options.seed, options.minutes)
        self.began = time.monotonic()
        self.fed_until = 0.0
        self.load: list[float] = []

    def say(self, words: str) -> None:
        """Print with the time since the beginning."""
        say(f"+{time.monotonic() - self.began:6.1f} s  {words}")

    async def run(self) -> dict[str, Any]:
        """Everything, whatever ends it included."""
        try:
            await self._start()
            registry = HttpSchemaRegistry(self.fleet.registry)
            try:
                return await self._break_and_compare(registry)
            finally:
                await registry.aclose()
        finally:
            await self.fleet.stop_all()
            await self.cluster.stop()

    async def _start(self) -> None:
        fleet = self.fleet
        asking.create_tables(self.file)
        await asyncio.gather(self.cluster.start(), fleet.task("seed-tax"))
        await fleet.task("apply-topics")
        fleet.start(registry := fleet.workers["schema-registry"])
        if not await fleet.ready(registry):
            raise RuntimeError("the schema registry is not ready")
        await fleet.task("push-schemas")
        await fleet.task("activate")
        fleet.share_law()
        for worker in fleet.workers.values():
            if not worker.wanted and not worker.name.endswith("-3"):
                fleet.start(worker)
        for worker in fleet.workers.values():
            if worker.wanted and not await fleet.ready(worker):
                raise RuntimeError(f"{worker.name} is not ready: {self.home / worker.name}.log")
        self.say("three brokers and all workers are there")

    async def _break_and_compare(self, registry: HttpSchemaRegistry) -> dict[str, Any]:
        bus = WitnessedBus(self.cluster.bootstrap, self.ledger)
        encoder = Encoder(SchemaFiles.shipped(), registry)
        await encoder.prepare(Demand)
        composer = Composer(self.ledger)
        async with AsyncExitStack() as stack:
            senders = [await stack.enter_async_context(asking.agency(bus, registry, self.file)) for _ in range(FEEDERS)]
            rate = self.options.rate / FEEDERS
            feeders = [Feeder(sender, composer, self.ledger, rate) for sender in senders]
            breaker = Breaker(
                self.cluster,
                self.fleet,
                self.ledger,
                composer,
                lambda: Requester(AGENCY, KafkaBus(self.cluster.bootstrap), registry),
                senders[0],
                encoder.encode,
                lambda: asyncio.to_thread(count_acts, self.file),
                random.Random(self.options.seed + 1),
                self.say,
            )
            feeding = [asyncio.create_task(feeder.run()) for feeder in feeders]
            try:
                await self._break(breaker, feeding)
                for feeder in feeders:
                    feeder.stop()
                await breaker.all_copies()
                await asyncio.wait_for(asyncio.gather(*feeding), DRAIN_SECONDS)
            finally:
                for task in feeding:
                    task.cancel()
        self.fed_until = time.time()
        await self._drain()
        return await self._compare(registry, breaker)

    async def _break(self, breaker: Breaker, feeding: Sequence["asyncio.Task[None]"]) -> None:
        """All steps, and no more time than was given; then feed on until it is over."""
        begin = time.monotonic()
        end = begin + self.options.minutes * 60
        await asyncio.sleep(3)
        for number, step in enumerate(self.steps):
            if time.monotonic() + step.seconds > end + OVERTIME_SECONDS:
                self.say(f"{len(self.steps) - number} steps are left out: the time is up")
                break
            await breaker.make(step)
            self.load.append(round(os.getloadavg()[0], 1))
            for task in feeding:
                if task.done():
                    task.result()
        await asyncio.sleep(max(0.0, end - time.monotonic()))

    async def _drain(self) -> None:
        """Wait until everything promised was acted on, or it is too late for that."""
        due = set(self.ledger.promised())
        deadline = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < deadline:
            if due <= {key for key, _ in await asyncio.to_thread(read_completions, self.file)}:
                return
            await asyncio.sleep(0.5)
        self.say(f"not all was answered within {DRAIN_SECONDS:.0f} s")

    async def _compare(self, registry: HttpSchemaRegistry, breaker: Breaker) -> dict[str, Any]:
        await asyncio.sleep(2)  # for one more act on what is there already
        promised, acknowledged = self.ledger.promised(), self.ledger.acknowledged()
        acts = await asyncio.to_thread(read_acts, self.file)
        findings = compare_effects(promised, self.ledger.composed(), acts)
        compare_completions(findings, promised, await asyncio.to_thread(read_completions, self.file))
        topics = await read_topics(self.cluster.direct, registry, findings, promised, acknowledged)
        for key in findings.lost[:20]:
            say(f"lost {key}: {stations(topics, key)}")
        naive = catch(topics.answered, await asyncio.to_thread(read_naive, self.home / NAIVE_FILE))
        acted = {act.demand_id: act.at for act in reversed(acts)}
        happened = breaker.happened(self.fed_until)
        each = [silences(times, happened) for times in by_partition(acted)]
        return {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": self.options.seed,
            "minutes": self.options.minutes,
            "demands_per_second": self.options.rate,
            "machine": machine(),
            "load_average": self.load,
            "schedule": [str(step) for step in self.steps],
            "faults_made": dict(breaker.done),
            "network_faults_felt": breaker.felt,
            "promised": len(promised),
            "acknowledged": len(acknowledged),
            "effects": len(acts),
            "faults_found": findings.faults,
            "examples": examples(findings),
            "messages_sent_again": findings.repeated,
            "falsely_acknowledged": breaker.falsely_acknowledged,
            "two_brokers_dead": breaker.refused_after,
            "naive": {"acts": naive.acts, "lost": naive.lost, "doubled": naive.doubled},
            "silence_seconds": silences(list(acted.values()), happened),
            "silence_seconds_of_one_partition": longest_of(each),
            "slowest_answer_seconds": slowest(acknowledged, acted),
            "longest_send_seconds": round(self.ledger.longest_send_seconds, 1),
            "send_errors": dict(self.ledger.errors),
            "ended_by_themselves": {w.name: w.left for w in self.fleet.workers.values() if w.left},
        }


def examples(findings: Findings) -> dict[str, list[str]]:
    """A few of each fault."""
    return {name: value[:10] for name, value in vars(findings).items() if isinstance(value, list) and value}


def by_partition(acted: Mapping[str, float]) -> list[list[float]]:
    """When something was acted on, for each partition apart."""
    found: list[list[float]] = [[] for _ in range(PARTITIONS)]
    for key, at in acted.items():
        found[partition_of(key.encode(), PARTITIONS)].append(at)
    return found


def longest_of(each: Iterable[Mapping[str, list[float]]]) -> dict[str, list[float]]:
    """Of the silences of several partitions the longest, fault by fault."""
    found: dict[str, list[float]] = {}
    for silent in each:
        for kind, times in silent.items():
            found[kind] = [max(pair) for pair in zip(found.get(kind, times), times, strict=True)]
    return found


def slowest(acknowledged: Mapping[str, float], acted: Mapping[str, float]) -> float:
    """The longest time from an acknowledgement to the act."""
    return round(max((acted[key] - at for key, at in acknowledged.items() if key in acted), default=0.0), 1)


def judge(found: Mapping[str, Any]) -> list[str]:
    """What the run fails for; empty if it does not."""
    wrong = [f"{name}: {count}" for name, count in found["faults_found"].items()]
    if found["falsely_acknowledged"]:
        wrong.append(f"falsely acknowledged: {len(found['falsely_acknowledged'])}")
    if not found["naive"]["lost"] and not found["naive"]["doubled"]:
        wrong.append("the naive loop was not caught: this run has broken nothing")
    wrong += [
        f"{kind}: a partition stood still for {max(times):.0f} s"
        for kind, times in found["silence_seconds_of_one_partition"].items()
        if max(times) > STOOD_STILL_SECONDS
    ]
    wrong += [
        f"{name}: nothing passed that it could befall"
        for name, felt in found["network_faults_felt"].items()
        if not felt
    ]
    if found["minutes"] >= FULL_MINUTES:
        made = found["faults_made"]
        wrong += [
            f"{name}: {made.get(name, 0)} of {due}" for name, due in FAULTS_DUE.items() if made.get(name, 0) < due
        ]
        wrong += [f"{kind.value}: never made" for kind in Kind if not made.get(kind.value)]
        if found["acknowledged"] < DEMANDS:
            wrong.append(f"acknowledged: {found['acknowledged']} of {DEMANDS}")
    return wrong


def longest_by_goal(silent: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The longest silence after each kind of kill that R2 has a goal for."""
    longest: dict[str, float] = {}
    for kind, times in silent.items():
        name = kind.split()[0]
        if name in GOALS:
            longest[name] = max(longest.get(name, 0.0), *times)
    return longest


def report(found: Mapping[str, Any], wrong: Sequence[str]) -> None:
    """The sets and the silences, for people."""
    say(f"network faults felt, by connections and pieces: {found['network_faults_felt']}")
    say(f"faults made: {found['faults_made']}; ended by themselves: {found['ended_by_themselves'] or 'none'}")
    sets = {name: found[name] for name in ("promised", "acknowledged", "effects")}
    say(f"demands: {sets}")
    say(f"found: {found['faults_found'] or 'nothing lost, doubled or changed'}; naive loop: {found['naive']}")
    say(f"sent again, equal in every byte: {found['messages_sent_again']}")
    say(f"slowest answer {found['slowest_answer_seconds']} s, longest send {found['longest_send_seconds']} s")
    say(f"send errors: {found['send_errors'] or 'none'}")
    say(f"two brokers dead: {found['two_brokers_dead']}; falsely acknowledged: {len(found['falsely_acknowledged'])}")
    alone = found["silence_seconds_of_one_partition"]
    for kind, times in sorted(found["silence_seconds"].items()):
        say(f"silences after {kind}: {sorted(times)} s; of one partition of six: {sorted(alone[kind])} s")
    for name, silent in (("longest_silence", found["silence_seconds"]), ("longest_silence_of_one_partition", alone)):
        for kind, longest in longest_by_goal(silent).items():
            reached = "reached" if longest <= GOALS[kind] else "NOT REACHED"
            say(f"R2 {name}_{kind}={longest} s (goal {GOALS[kind]:.0f}: {reached})")
    say(f"R1 {'FAILED: ' + '; '.join(wrong) if wrong else 'holds'}")


def main() -> int:
    """Run; 1 if something must not be as it is."""
    arguments = argparse.ArgumentParser(prog="python -m tests.fault.harness")
    arguments.add_argument("--minutes", type=float, default=FULL_MINUTES, help="of breaking; start and end come on top")
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    arguments.add_argument("--rate", type=float, default=15.0, help="demands a second")
    arguments.add_argument("--json", type=Path, help="where to write the figures")
    arguments.add_argument(
        "--keep", action="store_true", help="keep the folder of the run; a failed one is kept anyway"
    )
    options = arguments.parse_args()
    configure_logging("error", process="harness")
    home = Path(tempfile.mkdtemp(prefix="chopar-fault-"))
    run = Run(home, options)
    say(f"seed {options.seed}; {home}; steps: {dict(counts(run.steps))}")
    for number, step in enumerate(run.steps, 1):
        say(f"  {number:2} {step}")
    failed = True
    try:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(interruptible(run))
        except (asyncio.CancelledError, KeyboardInterrupt):
            failed = False  # there is nothing to look at
            say("ended by a signal; all that was started has ended")
            return ENDED_BY_A_SIGNAL
        wrong = judge(found)
        report(found, wrong)
        if options.json:
            options.json.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", "utf-8")
        failed = bool(wrong)
    finally:
        if failed or options.keep:
            say(f"kept: {home}")
        else:
            shutil.rmtree(home, ignore_errors=True)
    return int(failed)


async def interruptible(run: Run) -> dict[str, Any]:
    """Have SIGTERM end a run as Ctrl-C does: with everything that it started."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await run.run()


if __name__ == "__main__":
    sys.exit(main())
