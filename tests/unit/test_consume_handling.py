"""One pass of a batch through a handler, the canonical line, and dead letters read back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from chopar.bus.dead_letter import dead_letter, read_dead_letter
from chopar.bus.failures import Failures, Handled, Verdict
from chopar.bus.handler import Outputs
from chopar.bus.handling import Handling
from chopar.bus.port import Outgoing, Record, TopicPartition
from chopar.errors import (
    HandlerFailedError,
    IdentifierError,
    OffsetOutOfRangeError,
    RegisterUnavailableError,
    UndecodableError,
)
from chopar.observe import add_what_is_handled
from tests.consume_stage import ORIGIN, Relay, Stage

PLACE = TopicPartition("in", 0)
DEMAND = b"01890a5d-ac96-774b-bcce-b302099a8057"


def record(offset: int, value: bytes | None = b"v", key: bytes | None = b"k", partition: int = 0) -> Record:
    return Record("in", partition, offset, 1_000, key, value, (("ce_id", b"message-%d" % offset),))


class Asked:
    """A handler made of a function."""

    def __init__(self, handle: Callable[[Record], Outputs | Awaitable[Outputs]]) -> None:
        self.handle = handle

    async def assigned(self, partitions: Mapping[TopicPartition, int]) -> None: ...

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None: ...

    async def ready_for(self, records: Sequence[Record]) -> None: ...


async def handled(
    handle: Callable[[Record], Outputs | Awaitable[Outputs]],
    *records: Record,
    failures: Failures | None = None,
    concurrency: int = 8,
) -> list[Handled]:
    kept = failures or Failures(lambda: 5, 3)
    return (await Handling(Asked(handle), kept, concurrency).run({PLACE: records}))[PLACE]


async def test_a_handler_without_io_costs_no_task() -> None:
    before = asyncio.all_tasks()
    seen: list[set[asyncio.Task[object]]] = []

    def handle(one: Record) -> Outputs:
        seen.append(asyncio.all_tasks())
        return Outputs()

    await handled(handle, *(record(offset) for offset in range(10)))
    assert all(tasks == before for tasks in seen)


async def test_what_waits_behind_a_record_of_its_key_is_not_asked_for_if_that_is_to_be_read_again() -> None:
    asked: list[int] = []

    async def fail() -> Outputs:
        await asyncio.sleep(0)
        raise RegisterUnavailableError("gone")

    def handle(one: Record) -> Outputs | Awaitable[Outputs]:
        asked.append(one.offset)
        return Outputs() if one.offset else fail()

    got = await handled(handle, *(record(offset) for offset in range(3)))
    assert asked == [0]
    assert [one.verdict for one in got] == [Verdict.RETRY]


async def test_a_pass_ends_at_the_first_record_to_be_read_again() -> None:
    def handle(one: Record) -> Outputs:
        if one.offset == 2:
            raise RegisterUnavailableError("gone")
        return Outputs()

    got = await handled(handle, *(record(offset) for offset in range(5)))
    assert [one.verdict for one in got] == [Verdict.OK, Verdict.OK, Verdict.RETRY]
    assert got[-1].code == "register_unavailable"


async def test_what_lies_before_a_failing_record_is_completed_even_if_it_is_slower() -> None:
    failed = asyncio.Event()

    async def handle(one: Record) -> Outputs:
        if one.offset == 3:
            failed.set()
            raise RegisterUnavailableError("gone")
        if one.offset < 3:
            await failed.wait()
        return Outputs()

    records = [record(0, key=b"a"), record(1, key=b"a"), record(2, key=b"b"), record(3, key=b"c"), record(4, key=b"a")]
    got = await handled(handle, *records)
    assert [(one.record.offset, one.verdict) for one in got] == [
        (0, Verdict.OK),
        (1, Verdict.OK),
        (2, Verdict.OK),
        (3, Verdict.RETRY),
    ]


async def test_partitions_do_not_hold_each_other_up() -> None:
    def handle(one: Record) -> Outputs:
        if one.partition == 0:
            raise RegisterUnavailableError("gone")
        return Outputs()

    other = TopicPartition("in", 1)
    batch = {PLACE: [record(0), record(1)], other: [record(0, partition=1), record(1, partition=1)]}
    got = await Handling(Asked(handle), Failures(lambda: 5, 3), 8).run(batch)
    assert [one.verdict for one in got[PLACE]] == [Verdict.RETRY]
    assert [one.verdict for one in got[other]] == [Verdict.OK, Verdict.OK]


async def test_records_without_a_key_are_handled_beside_each_other() -> None:
    all_here = asyncio.Event()
    waiting = 0

    async def handle(one: Record) -> Outputs:
        nonlocal waiting
        waiting += 1
        if waiting == 3:
            all_here.set()
        await all_here.wait()
        return Outputs()

    async with asyncio.timeout(5):
        got = await handled(handle, *(record(offset, key=None) for offset in range(3)))
    assert [one.verdict for one in got] == [Verdict.OK] * 3


async def test_our_own_failure_counts_by_offset_and_is_given_up_at_the_third() -> None:
    now = [100]
    failures = Failures(lambda: now[0], 3)

    def handle(one: Record) -> Outputs:
        raise KeyError("secret")

    for attempt, verdict in ((1, Verdict.RETRY), (2, Verdict.RETRY), (3, Verdict.DEAD_LETTER)):
        (one, *_) = await handled(handle, record(7), record(8), failures=failures)
        assert (one.attempt, one.verdict, one.code) == (attempt, verdict, HandlerFailedError.code)
        now[0] += 50
    kept = failures.of(record(7))
    assert kept is not None
    assert (kept.first_failed_ms, kept.last_failed_ms, kept.given_up) == (100, 200, "handler_failed")
    failures.forget_before(PLACE, 8)
    assert failures.of(record(7)) is None


@pytest.mark.parametrize("later", [False, True])
async def test_a_handler_that_would_end_the_process_has_failed(later: bool) -> None:
    """A process that ends in order leaves no note, so nobody would ever be suspected."""

    async def leaves() -> Outputs:
        raise SystemExit(0)

    def handle(one: Record) -> Outputs | Awaitable[Outputs]:
        if one.offset == 8:
            return Outputs()
        if later:
            return leaves()
        raise SystemExit(0)

    failures = Failures(lambda: 5, 3)
    for verdict in (Verdict.RETRY, Verdict.RETRY, Verdict.DEAD_LETTER):
        (one, *behind) = await handled(handle, record(7), record(8, key=b"other"), failures=failures)
        assert (one.verdict, one.code) == (verdict, HandlerFailedError.code)
    assert [one.verdict for one in behind] == [Verdict.OK]


async def test_an_error_of_ours_that_cannot_get_better_is_given_up_at_once() -> None:
    def handle(one: Record) -> Outputs:
        raise (IdentifierError if one.offset else UndecodableError)("text")

    got = await handled(handle, record(0), record(1))
    assert [(one.verdict, one.code, one.attempt) for one in got] == [
        (Verdict.DEAD_LETTER, "undecodable", 1),
        (Verdict.DEAD_LETTER, "malformed_identifier", 1),
    ]


async def test_stop_error_cancels_what_runs_beside_and_leaves_no_coroutine_unawaited() -> None:
    cancelled: list[int] = []

    async def handle(one: Record) -> Outputs:
        if one.offset == 1:
            raise OffsetOutOfRangeError("stop")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(one.offset)
            raise
        return Outputs()

    with pytest.raises(OffsetOutOfRangeError):
        await handled(handle, *(record(offset, key=b"%d" % offset) for offset in range(4)), concurrency=2)
    assert 0 in cancelled
    assert 3 not in cancelled, "its turn had not come"


async def test_the_context_of_a_record_is_bound_while_it_is_handled() -> None:
    bound: list[dict[str, object]] = []

    def sync(one: Record) -> Outputs:
        bound.append(dict(add_what_is_handled(None, "", {})))
        return Outputs()

    async def later(one: Record) -> Outputs:
        await asyncio.sleep(0)
        return sync(one)

    for handle in (sync, later):
        await handled(handle, record(3, key=DEMAND))
    wanted = {"correlation_id": DEMAND.decode(), "message_id": "message-3", "topic": "in"}
    assert bound == [wanted, wanted]
    assert add_what_is_handled(None, "", {}) == {}


async def test_one_canonical_line_for_each_record_and_no_word_of_an_error() -> None:
    def hook(one: Record) -> None:
        if one.value == b"bad":
            raise UndecodableError("30101995230018 stands in the text")
        if one.value == b"buggy":
            raise ValueError("30101995230018 stands in the text")

    stage = Stage()
    await stage.put(b"good", b"bad", None, b"buggy", keys=[DEMAND, DEMAND, b"x", b"y"])
    with capture_logs() as logs:
        await stage.run(stage.loop(Relay(hook)), lambda: stage.committed().get(ORIGIN) == 4)
    lines = [log for log in logs if log["event"] == "record.handled"]
    assert [(line["offset"], line["outcome"], line["code"], line["attempt"]) for line in lines] == [
        (0, "ok", "ok", 1),
        (1, "dead_letter", "undecodable", 1),
        (2, "skipped", "skipped", 1),
        (3, "retry", "handler_failed", 1),
        (3, "retry", "handler_failed", 2),
        (3, "dead_letter", "handler_failed", 3),
    ]
    assert lines[0]["correlation_id"] == DEMAND.decode()
    assert lines[2]["correlation_id"] is None
    assert all(line["duration_ms"] >= 0 and line["topic"] == "in" for line in lines)
    assert "30101995230018" not in repr(logs)
    assert "30101995230018" not in repr(stage.bus.records("in.dlq"))
    assert {log["error"] for log in logs if log["event"] == "handler.failed"} == {"ValueError"}


def test_a_dead_letter_reads_back_as_it_was_built() -> None:
    headers = (("ce_id", b"1"), ("ce_long", b"x" * 300), ("authorization", b"secret"), ("traceparent", b"00"))
    origin = Record("in", 3, 42, 1_234, b"key", b"bytes", headers)
    built = dead_letter(origin, code="undecodable", group="g", first_failed_ms=5, last_failed_ms=6, attempts=2)
    assert (built.topic, built.partition, built.key, built.value) == ("in.dlq", 0, b"key", b"bytes")
    letter, original = read_dead_letter(Record(built.topic, 0, 9, 9_999, built.key, built.value, built.headers))
    assert original == origin._replace(headers=(headers[0], headers[3]))
    assert (letter.code, letter.group, letter.attempts) == ("undecodable", "g", 2)
    assert (letter.first_failed_ms, letter.last_failed_ms) == (5, 6)


@pytest.mark.parametrize(
    "headers",
    [(), (("dlq_code", b"x"),), (("dlq_code", b"\xff"),)],
    ids=["none", "too few", "not ascii"],
)
def test_a_dead_letter_of_somebody_else_is_refused(headers: tuple[tuple[str, bytes], ...]) -> None:
    with pytest.raises(UndecodableError):
        read_dead_letter(Record("in.dlq", 0, 0, 0, b"k", b"v", headers))


def test_a_dead_letter_with_words_for_numbers_is_refused() -> None:
    built = dead_letter(record(1), code="c", group="g", first_failed_ms=1, last_failed_ms=1, attempts=1)
    headers = tuple((name, b"many" if name == "dlq_attempts" else value) for name, value in built.headers)
    with pytest.raises(UndecodableError):
        read_dead_letter(Record("in.dlq", 0, 0, 0, b"k", b"v", headers))


def test_outputs_are_what_was_given() -> None:
    one = Outgoing("t", 0, b"k", b"v")
    assert Outputs() == Outputs((), ())
    assert Outputs(before=[one]).before == [one]
