"""An agency's process that dies, for `test_durable_requester_killed.py`.

`python -m tests.contract.durable_process URL JOURNAL STEP...`: lives once for each step and dies by SIGKILL there, then
once more to the end. In each life it asks for every case once and acts on the answers. Broker, gateway and provider
live in the same process, so that it takes no server: what the broker has acknowledged or committed is kept in the
journal, from which the next life's broker begins. The gateway answers every demand twice, and again in each life.
"""

import asyncio
import logging
import os
import pickle
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import structlog
from prometheus_client import CollectorRegistry
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chopar.bus.inbox import Batch, Inbox
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, TopicPartition
from chopar.messages.demand import Demand, DemandResolved
from chopar.requester.completion import Delivered
from chopar.requester.durable_requester import Completed, DurableRequester
from chopar.schema_registry import Decoder
from chopar.topics import PARTITIONS
from tests.durable_rig import DONE, FAST, FILES, HET, DurableRig

STEPS = (
    "asking before commit",  # the demand is not kept
    "asking after commit",  # kept, not sent
    "sent before commit",  # sent, which is not noted
    "sent after commit",
    "in resolved",
    "resolved before commit",
    "resolved after commit",  # before its offset is committed
    "resolved before offsets",
    "resolved after offsets",
    "in received",
    "in completed",
    "received before commit",
    "received after commit",
    "received before offsets",
    "received after offsets",
)
ALIVE_SECONDS = 60


class Death:
    """Comes at a step. `stage` says what was done last, so that steps of the same kind are told apart."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._stage = "asking"
        self.to_follow = False
        """Whether the next holder is to be asked; other cases may have come to their stages since."""

    @property
    def stage(self) -> str:
        return self._stage

    @stage.setter
    def stage(self, stage: str) -> None:
        self.to_follow |= stage == "passed"
        # What goes on beside (an earlier case that is answered again) must not lead past the step: on a busy machine
        # it would, between what the step is named after and the commit that it is waiting for.
        if not self._step.startswith(f"{self._stage} "):
            self._stage = stage

    def reach(self, step: str) -> None:
        if step == self._step:
            os.kill(os.getpid(), signal.SIGKILL)

    def reach_now(self, what: str) -> None:
        self.reach(f"{self.stage} {what}")


class MortalInbox(Inbox):
    """Dies before or after a commit."""

    def __init__(self, url: str, death: Death) -> None:
        super().__init__(url)
        self._death = death

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[Batch]:
        async with super().batch() as batch:
            yield batch
            self._death.reach_now("before commit")
        self._death.reach_now("after commit")


class KeptBus(MemoryBus):
    """A bus in memory that keeps what it has acknowledged in a file, over the death of its process."""

    def __init__(self, clock: Callable[[], int], journal: Path, death: Death) -> None:
        super().__init__(clock)
        self._journal = journal
        self._death = death

    def begin(self) -> None:
        """Take up what was kept."""
        if self._journal.exists():
            with self._journal.open("rb") as file:
                while True:
                    try:
                        kind, what = pickle.load(file)
                    except EOFError:
                        break
                    if kind == "sent":
                        self.log.append(Outgoing(*what))
                    else:
                        group, offsets = what
                        self.group(group).committed.update({TopicPartition(*place): n for place, n in offsets})

    def keep(self, kind: str, what: Any) -> None:
        with self._journal.open("ab") as file:
            file.write(pickle.dumps((kind, what)))

    def producer(self, name: str) -> Any:
        return _Kept(super().producer(name), send=lambda inner, records: self._send(inner, records, name))

    def consumer(self, group: str, topics: Sequence[str], **callbacks: Any) -> Any:
        inner = super().consumer(group, topics, **callbacks)
        return _Kept(inner, commit=lambda inner, offsets: self._commit(inner, group, offsets))

    async def _send(self, inner: Any, records: Sequence[Outgoing], name: str) -> Any:
        for record in records:
            self.keep("sent", tuple(record))
        results = await inner.send(records)
        if name.startswith("requester.") and records[0].topic.startswith("demand.submitted."):
            self._death.stage = "followed" if self._death.to_follow else "sent"
            self._death.to_follow = False
        return results

    async def _commit(self, inner: Any, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._death.reach_now("before offsets")
        await inner.commit(offsets)
        self.keep("committed", (group, [(tuple(place), offset) for place, offset in offsets.items()]))
        self._death.reach_now("after offsets")


class _Kept:
    """A client of which one method is another."""

    def __init__(self, inner: Any, **instead: Callable[..., Awaitable[Any]]) -> None:
        self._inner = inner
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        if name in self._instead:
            return lambda *args: self._instead[name](self._inner, *args)
        return getattr(self._inner, name)


class Process(DurableRig):
    """The agency, and the others."""

    bus: KeptBus

    LAST: ClassVar[str] = "completed"
    """What is done last in each case."""

    def __init__(self, url: str, journal: Path, step: str, notes: Path | None = None) -> None:
        super().__init__(journal.parent, url)
        self.notes = notes
        self.death = Death(step)
        self.bus = KeptBus(lambda: round(self.now.timestamp() * 1000), journal, self.death)
        self.others = self.bus.producer("others")
        self.metrics = CollectorRegistry()

    def requester(self) -> DurableRequester:
        requester = DurableRequester(
            HET,
            self.bus,
            self.registry,
            MortalInbox(self.url, self.death),
            files=FILES,
            clock=lambda: self.now,
            settings=FAST,
            look_seconds=0.05,
            notes=self.notes,
            metrics=self.metrics,
        )

        @requester.resolved
        async def resolved(transaction: AsyncConnection, demand: Demand, resolution: DemandResolved) -> None:
            await self.note(transaction, demand, "resolved")

        @requester.receives()
        async def receives(transaction: AsyncConnection, demand: Demand, delivered: Delivered) -> None:
            await self.note(transaction, demand, self.kind_of(delivered))

        @requester.completed
        async def completed(transaction: AsyncConnection, demand: Demand, ended: Completed) -> None:
            await self.note(transaction, demand, "completed")

        return requester

    async def note(self, transaction: AsyncConnection, demand: Demand, what: str) -> None:
        """What the application does by a callback: a row of its own."""
        await transaction.execute(insert(DONE), {"what": f"{demand.case_id} {what}"})
        self.death.reach(f"{demand.case_id} {what}")
        self.death.reach(f"in {what}")
        self.death.stage = "received" if what == "completed" else what

    def kind_of(self, delivered: Delivered) -> str:
        """What is noted of an answer."""
        return "received" if delivered.followed_by is None else "passed"

    async def answer_all(self, newest: str) -> None:
        """Gateway and provider: whatever was demanded is answered, twice."""
        decoder = Decoder(FILES, self.registry)
        topic = f"demand.submitted.{HET}"
        reader = self.bus.reader({TopicPartition(topic, number): None for number in range(PARTITIONS)})
        await reader.start()
        while True:
            for records in (await reader.fetch(100, 0.05)).values():
                for record in records:
                    demand = await decoder.message(record.value or b"", Demand)
                    for answer in self.answers(demand):
                        while demand.case_id == newest and self.behind():  # so that each step of it is reached
                            await asyncio.sleep(0.01)
                        await answer(demand)

    def answers(self, demand: Demand) -> Sequence[Callable[[Demand], Awaitable[object]]]:
        """What others say to a demand, in that order."""
        return self.resolve, self.resolve, self.provide, self.provide

    async def known(self, requester: DurableRequester) -> set[str]:
        """The cases that were asked for: an application would look into its own tables."""
        waiting = {one.case_id for one in await requester.waiting(1000)}
        return waiting | {row.split(" ")[0] for row in await self.done()}

    async def run(self, cases: Sequence[str]) -> None:
        await self.start()
        self.bus.begin()
        async with self.requester() as requester:
            others = asyncio.create_task(self.answer_all(cases[-1]))
            running = asyncio.create_task(requester.run())
            known = await self.known(requester)
            for case in cases:
                if case not in known:
                    await self.ask(requester, case_id=case)
            async with asyncio.timeout(ALIVE_SECONDS):
                while True:
                    done = await self.done()
                    if all(f"{case} {self.LAST}" in done for case in cases) and not self.behind():
                        break
                    await asyncio.sleep(0.02)
            requester.stop()
            await running
            others.cancel()
        await self.close()


def _live(kind: type[Process], url: str, journal: Path, step: str, cases: Sequence[str]) -> int:
    """One life in a process of its own; its exit status, negative for a signal."""
    pid = os.fork()  # here nothing runs yet: no loop, no thread
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    status = 1
    try:
        asyncio.run(kind(url, journal, step).run(cases))
        status = 0
    except BaseException:  # a fork of ours must not come back
        traceback.print_exc()
    finally:
        os._exit(status)


def live(kind: type[Process], url: str, journal: str, *steps: str) -> None:
    """A life for each step, and one to the end."""
    cases: list[str] = []
    for step in (*steps, "none"):
        # Each life asks for one case more, and for what its predecessors could not.
        if step != "none":
            cases.append(step.replace(" ", "-"))
        status = _live(kind, url, Path(journal), step, cases)
        sys.stdout.write(f"{step}: {status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    live(Process, *sys.argv[1:])
