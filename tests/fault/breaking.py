"""Carries the steps of the schedule out, and notes when each began."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chopar.bus.kafka import KafkaBus
from chopar.bus.port import Outgoing, Producer, Sent, TopicPartition, partition_of
from chopar.errors import ChoparError
from chopar.messages.demand import Demand
from chopar.requester.durable_requester import DurableRequester
from chopar.requester.requester import Requester
from chopar.topics import DEMAND_SUBMITTED, PARTITIONS
from tests.fault.cluster import Broker, Cluster
from tests.fault.compare import Happened
from tests.fault.feeder import AGENCY, Composer, Ledger
from tests.fault.fleet import Fleet, Worker
from tests.fault.proxy import Fault
from tests.fault.schedule import (
    CHANGE_MEMBERS,
    NEED_ALL_COPIES,
    PAUSE_SECONDS,
    PROXY_SECONDS,
    TWO_DEAD_SECONDS,
    Kind,
    Step,
)

WELL_SECONDS = 40.0
"""How long a fault's consequences are waited for before the next one is made all the same."""

WHOLE_SECONDS = 90.0
"""The same for brokers to catch up, before another one is broken."""

_REBALANCED_SECONDS = 6.5
"""A dead member of a group is missed after 6 s: only then does its work go to others, or back to it."""

_KILL_MEANWHILE_SECONDS = 4.0
_NOTICES_SECONDS = 20.0
"""How long a broker may take to notice that its disk is full: until it next writes."""

_DELAY_SECONDS = 0.4
_GRACE_SECONDS = 1.0
"""An acknowledgement may be on its way when the second broker dies."""

_AGAIN_SECONDS = 0.2


class Breaker:
    """Breaks what runs, a step at a time.

    Args:
        cluster: the brokers.
        fleet: the workers.
        ledger: what was acknowledged.
        composer: for the demand that is sent while two brokers are dead.
        make_requester: a requester of the library that keeps nothing, for the same.
        sender: of the same agency; it composes.
        encode: gives a demand's bytes.
        acted: how many demands were acted on so far.
        draw: decides among equals.
        say: prints a line.
    """

    def __init__(
        self,
        cluster: Cluster,
        fleet: Fleet,
        ledger: Ledger,
        composer: Composer,
        make_requester: Callable[[], Requester],
        sender: DurableRequester,
        encode: Callable[[Demand], bytes],
        acted: Callable[[], Awaitable[int]],
        draw: random.Random,
        say: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._ledger = ledger
        self._composer = composer
        self._make_requester = make_requester
        self._sender = sender
        self._encode = encode
        self._acted = acted
        self._draw = draw
        self._say = say
        self._starting: list[asyncio.Task[None]] = []
        self._began: list[tuple[str, float]] = []
        self.done: Counter[str] = Counter()
        self.felt: dict[str, int] = {}
        """Of each fault of the network: how many connections and pieces it befell."""
        self.falsely_acknowledged: list[str] = []
        self.refused_after: dict[str, Any] = {}
        """How a producer and a requester of the library were told while two brokers were dead, and after how long."""

    def happened(self, end: float) -> list[Happened]:
        """What was broken, each until the next."""
        ends = [at for _, at in self._began[1:]] + [end]
        return [Happened(kind, at, until) for (kind, at), until in zip(self._began, ends, strict=True)]

    async def make(self, step: Step) -> None:
        """Carry a step out, and wait until all flows again."""
        if step.kind in NEED_ALL_COPIES:
            await self.all_copies()
        began = time.monotonic()
        what = await self._steps()[step.kind](step)
        self.done[step.kind.value] += 1
        broken = time.monotonic()
        if step.kind in CHANGE_MEMBERS:
            await asyncio.sleep(max(0.0, began + _REBALANCED_SECONDS - broken))
        well = await self._well()
        self._say(
            f"{step}: {what}; {broken - began:.1f} s, "
            + (f"all well {time.monotonic() - began:.1f} s after it began" if well else "NOT WELL AGAIN YET")
        )

    async def all_copies(self) -> None:
        """Wait for brokers that are being started, and until they have caught up."""
        starting, self._starting = self._starting, []
        await asyncio.gather(*starting)
        if not await self._cluster.whole(WHOLE_SECONDS):
            self._say(f"not all copies are there after {WHOLE_SECONDS:.0f} s")

    def _steps(self) -> dict[Kind, Callable[[Step], Awaitable[str]]]:
        return {
            Kind.KILL_WORKER: self._kill_worker,
            Kind.KILL_INSTANCES: self._kill_instances,
            Kind.KILL_BROKER: self._kill_broker,
            Kind.PAUSE_WORKER: self._pause_worker,
            Kind.PAUSE_BROKER: self._pause_broker,
            Kind.ROLLING_RESTART: self._restart_all,
            Kind.ADD_INSTANCES: self._add,
            Kind.REMOVE_INSTANCES: self._remove,
            Kind.CUT: self._break_proxy,
            Kind.DELAY: self._break_proxy,
            Kind.DROP_TO_BROKER: self._break_proxy,
            Kind.DROP_TO_CLIENT: self._break_proxy,
            Kind.FULL_DISK: self._full_disk,
            Kind.TWO_BROKERS_DEAD: self._two_dead,
        }

    async def _well(self) -> bool:
        """Wait until all workers are ready and what was promised more than a second ago was acted on."""
        deadline = time.monotonic() + WELL_SECONDS
        for worker in self._fleet.workers.values():
            if worker.wanted and not await self._fleet.ready(worker, max(0.0, deadline - time.monotonic())):
                return False
        while True:
            horizon = time.time() - 1.0
            due = sum(1 for fed in self._ledger.fed.values() if fed.promised and fed.at < horizon)
            if await self._acted() >= due:
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_AGAIN_SECONDS)

    def _begin(self, kind: str) -> None:
        self._began.append((kind, time.time()))

    def _kill(self, worker: Worker, forgets: bool = False) -> None:
        worker.send(signal.SIGKILL)
        self.done["worker_kills"] += 1
        if forgets:
            self._fleet.forget_first_records(worker)
        if worker.kind == "requester":  # whatever befalls the one that is right befalls the one that is not
            self._fleet.workers["naive"].send(signal.SIGKILL)

    async def _kill_worker(self, step: Step) -> str:
        worker = self._draw.choice(self._fleet.of(step.target))
        self._begin(f"{step.kind} {step.target}")
        self._kill(worker, step.forgets)
        return worker.name

    async def _kill_instances(self, step: Step) -> str:
        workers = self._fleet.of(step.target)
        self._begin(f"{step.kind} {step.target}")
        for worker in workers:
            self._kill(worker)
        return ", ".join(worker.name for worker in workers)

    async def _kill_broker(self, step: Step) -> str:
        broker = self._broker(step)
        away = self._draw.uniform(0.1, 6.0)
        self._begin(step.kind)
        await broker.kill()
        self.done["broker_kills"] += 1
        await asyncio.sleep(away)
        self._starting.append(asyncio.create_task(broker.start()))
        return f"{broker.name}, started again after {away:.1f} s"

    async def _full_disk(self, step: Step) -> str:
        broker = self._broker(step)
        self._begin(step.kind)
        broker.fill_disk()
        ended = await broker.ended(_NOTICES_SECONDS)
        if not ended:
            await broker.kill()
        self._starting.append(asyncio.create_task(broker.start()))
        return f"{broker.name} {'ended by itself' if ended else 'WENT ON, and was killed'}"

    async def _pause_worker(self, step: Step) -> str:
        worker = self._draw.choice(self._fleet.of(step.target))
        self._begin(f"{step.kind} {step.target}")
        worker.send(signal.SIGSTOP)
        try:
            killed = await self._pause(step, worker)
        finally:
            worker.send(signal.SIGCONT)
        return f"{worker.name}; meanwhile {killed} killed"

    async def _pause_broker(self, step: Step) -> str:
        broker = self._broker(step)
        self._begin(step.kind)
        broker.send(signal.SIGSTOP)
        try:
            killed = await self._pause(step, None)
        finally:
            broker.send(signal.SIGCONT)
        return f"{broker.name}; meanwhile {killed} killed"

    async def _pause(self, step: Step, paused: Worker | None) -> str:
        self.done["pauses"] += 1
        await asyncio.sleep(_KILL_MEANWHILE_SECONDS)
        other = self._draw.choice([worker for worker in self._fleet.of(step.also) if worker is not paused])
        self._kill(other)
        await asyncio.sleep(PAUSE_SECONDS - _KILL_MEANWHILE_SECONDS)
        return other.name

    async def _restart_all(self, step: Step) -> str:
        self._begin(step.kind)
        took = []
        for broker in self._cluster.brokers:
            began = time.monotonic()
            await broker.stop()
            await broker.start()
            await self._cluster.whole(WHOLE_SECONDS)
            took.append(f"{broker.name} {time.monotonic() - began:.1f} s")
        return ", ".join(took)

    async def _add(self, step: Step) -> str:
        added = [worker for worker in self._fleet.workers.values() if not worker.wanted]
        self._begin(step.kind)
        for worker in added:
            self._fleet.start(worker)
        return ", ".join(worker.name for worker in added)

    async def _remove(self, step: Step) -> str:
        self._begin(step.kind)
        took = []
        for kind in ("gateway", "tax"):
            worker = self._draw.choice(self._fleet.of(kind))
            took.append(f"{worker.name} in {await self._fleet.stop(worker):.1f} s")
        return ", ".join(took)

    async def _break_proxy(self, step: Step) -> str:
        chosen = self._broker(step)
        self._begin(step.kind)
        # Nobody talks to a broker that has come back and leads nothing yet: then it befalls another one.
        for broker in sorted(self._cluster.brokers, key=lambda one: one is not chosen):
            broker.proxy.break_down(Fault(step.kind), _DELAY_SECONDS)
            await asyncio.sleep(PROXY_SECONDS)
            broker.proxy.heal()
            if broker.proxy.felt:
                break
        felt = self.felt[step.kind.value] = self.felt.get(step.kind.value, 0) + broker.proxy.felt
        return f"{broker.name}, felt {felt} times"

    async def _two_dead(self, step: Step) -> str:
        dead = self._draw.sample(self._cluster.brokers, 2)
        producer = KafkaBus(self._cluster.bootstrap).producer("probe")
        await producer.start()
        try:
            return await self._two_dead_for(step, dead, producer)
        finally:
            await producer.stop()

    async def _two_dead_for(self, step: Step, dead: Sequence[Broker], producer: Producer) -> str:
        async with self._make_requester() as requester:
            self._begin(step.kind)
            await asyncio.gather(*(broker.kill() for broker in dead))
            self.done["broker_kills"] += 2
            since = time.time()
            await asyncio.sleep(_GRACE_SECONDS)
            trying = [
                asyncio.create_task(self._refused("producer", lambda: self._produced(producer))),
                asyncio.create_task(self._refused("requester", lambda: self._demanded(requester))),
            ]
            try:
                await asyncio.wait(trying, timeout=TWO_DEAD_SECONDS)
                until = time.time()
                await asyncio.gather(*(broker.start() for broker in dead))
                await asyncio.wait(trying, timeout=WELL_SECONDS)
            finally:
                for task in trying:
                    task.cancel()
        self.falsely_acknowledged += self._ledger.acknowledged_between(since + _GRACE_SECONDS, until)
        return ", ".join(f"{who}: {words['seconds']} s: {words['said']}" for who, words in self.refused_after.items())

    async def _refused(self, who: str, send: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        try:
            await send()
            said = "acknowledged"
            if time.monotonic() - began < TWO_DEAD_SECONDS:
                self.falsely_acknowledged.append(who)
        except ChoparError as error:
            said = f"{error.code}: {error}"
        self.refused_after[who] = {"seconds": round(time.monotonic() - began, 1), "said": said}

    async def _produced(self, producer: Producer) -> None:
        """One record, by a producer that was there before."""
        demand = self._composer.compose(self._sender)
        key = str(demand.demand_id).encode()
        place = TopicPartition(DEMAND_SUBMITTED.of(AGENCY), partition_of(key, PARTITIONS))
        [sent] = await producer.send([Outgoing(*place, key, self._encode(demand))])
        if not isinstance(sent, Sent):
            raise sent

    async def _demanded(self, requester: Requester) -> None:
        """One demand by the library's way of asking that keeps nothing."""
        await (await requester.send(self._composer.compose(self._sender))).aclose()

    def _broker(self, step: Step) -> Broker:
        return self._cluster.brokers[int(step.target)]
