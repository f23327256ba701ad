"""A handler that folds a state from its log sees every record, also those that it is not asked to handle."""

import time
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry

from chopar.bus.consume import ConsumeLoop, Outputs
from chopar.bus.failures import Failures, Verdict
from chopar.bus.handling import Handling
from chopar.bus.memory import MemoryBus
from chopar.bus.port import Outgoing, Record, Sent, TopicPartition
from chopar.errors import UndecodableError
from chopar.identifiers import agency_id, uuid7
from chopar.messages.demand import Demand
from chopar.schema_registry import Encoder
from chopar.topics import DEMAND_RESOLVED, DEMAND_SUBMITTED
from gateway.handlers import GatewayHandler
from gateway.law_reader import LawReader
from tests.builders import demand
from tests.world import FAST, world


class Folding:
    """Gives up what is called bad; notes what it saw and what it was asked to handle, in order."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int]] = []

    def seen(self, record: Record) -> None:
        self.noted.append(("seen", record.offset))

    def handle(self, record: Record) -> Outputs:
        self.noted.append(("handled", record.offset))
        if record.value == b"bad":
            raise UndecodableError("bad")
        return Outputs()


async def test_every_record_is_seen_in_order_before_any_of_its_batch_is_handled() -> None:
    handler = Folding()
    place = TopicPartition("in", 0)
    values = (b"a", b"bad", None, b"b")
    records = [Record(*place, offset, 0, b"k", value) for offset, value in enumerate(values)]
    failures = Failures(lambda: 0, 3)
    seen = [("seen", offset) for offset in range(4)]
    await Handling(handler, failures, 1).run({place: records})  # type: ignore[arg-type]
    assert handler.noted == [*seen, ("handled", 0), ("handled", 1), ("handled", 3)]
    handler.noted.clear()
    handled = await Handling(handler, failures, 1).run({place: records})  # type: ignore[arg-type]
    assert handler.noted == [*seen, ("handled", 0), ("handled", 3)], "given up is not handled again, but seen"
    assert handled[place][1].verdict is Verdict.DEAD_LETTER


class Stumbling(GatewayHandler):
    """The gateway's own handler, which gives up one record after it has made its answer."""

    bad = b""

    def handle(self, record: Record) -> Outputs:
        outputs = super().handle(record)
        if record.value == self.bad:
            raise UndecodableError("for whatever reason")
        return outputs


async def test_a_demand_given_up_stays_the_first_of_its_id_in_the_next_life_of_the_session(tmp_path: Path) -> None:
    bus = MemoryBus(lambda: time.time_ns() // 1_000_000)
    async with world(bus, tmp_path) as here:
        await here.prepare()
        now = here.clock()
        one = demand(demand_id=uuid7(now, 7), expires_at=now + timedelta(days=7))
        encoder = Encoder(here.files, here.registry)
        await encoder.prepare(Demand)
        first, second = (encoder.encode(one.model_copy(update={"case_id": case})) for case in ("one", "another"))
        topic = DEMAND_SUBMITTED.of(agency_id(one.requester))
        producer = bus.producer("asker")
        key = str(one.demand_id).encode()
        sent = await producer.send([Outgoing(topic, 0, key, value) for value in (first, second)])
        assert all(isinstance(result, Sent) for result in sent)

        commits: list[int] = []

        def fails_once(group: str, offsets: object) -> bool:
            commits.append(1)
            return len(commits) == 1

        bus.faults.commit = fails_once
        law = LawReader(bus, here.files, home=here.home, lists_folder=here.home / "lists", instance="one")
        handler = Stumbling(bus, law, CollectorRegistry())
        handler.bad = first
        here._start("one", ConsumeLoop(bus, "gateway", [topic], handler, settings=FAST), law.follow(), law.mark())

        async def committed() -> bool:
            return bus.group("gateway").committed.get(TopicPartition(topic, 0)) == 2

        await here.eventually(committed)
        assert len(bus.records(topic + ".dlq")) == 2, "given up in both lives"
        answers = bus.records(DEMAND_RESOLVED.of(agency_id(one.requester)))
        assert len(answers) == 2
        assert len({answer.header("ce_id") for answer in answers}) == 1
        assert answers[0].value == answers[1].value, "one id, one content"
