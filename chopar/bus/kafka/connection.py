"""Reaching a broker: settings of all clients, the retried start and what to say when it fails, aiokafka's log.

aiokafka's start makes one pass over the bootstrap list and gives up with "Unable to bootstrap", whatever the cause.
Here it is tried until a deadline, and the cause is looked for by connecting once more by hand.
"""

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from aiokafka.errors import BrokerResponseError, KafkaError, UnknownTopicOrPartitionError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition as KafkaTopicPartition

from chopar.bus.port import TopicPartition
from chopar.errors import BrokerUnavailableError

_RETRY_SECONDS = 0.25
_PROBE_SECONDS = 2.0
_SAME_LINE_SECONDS = 60.0
_LOGGERS = (
    "aiokafka",
    "aiokafka.client",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)


@dataclass(frozen=True, slots=True)
class KafkaClientSettings:
    """How our clients behave. Seconds unless the name says otherwise."""

    request_timeout_seconds: float = 8.0
    """Of a question, its second try included, and of joining a group, which waits for a dead member's session (6 s)."""

    hang_timeout_seconds: float = 4.0
    """How long a broker may owe an answer to producers and consumers: over the 3 s after which others have taken over
    from one that hangs. Also how long a topic that does not exist is waited for at start."""

    start_deadline_seconds: float = 30.0
    """How long a client tries to reach a broker before it says that it cannot."""

    delivery_deadline_seconds: float = 12.0
    """How long one `send` waits for its acknowledgements: idempotent sends never expire by themselves."""

    commit_deadline_seconds: float = 30.0
    """How long a commit is tried: it goes through once a broker is back, and given up it costs the group's session."""

    close_deadline_seconds: float = 5.0
    session_timeout_seconds: float = 6.0
    heartbeat_seconds: float = 1.0

    max_batch_bytes: int = 131_072
    """Of one produce batch: the size of the measured loop."""

    max_record_bytes: int = 1_048_576
    """A larger record is refused here, without asking the broker."""

    max_fetch_bytes: int = 4_194_304
    """Of one answer to a fetch, which is in memory up to three times while aiokafka takes it apart."""

    max_unread_bytes: int = 33_554_432
    """Held unread of all partitions together: bounds what a consumer behind a large backlog has in memory."""

    max_partition_bytes: int = 98_304
    """Held unread of one partition: some hundred records, so that a fetch costs next to nothing of theirs. A gateway
    behind a backlog needs as much CPU with it as with twice as much, and 4 MiB less: from 128 KiB on glibc keeps holes
    where such blocks were."""

    min_partition_bytes: int = 65_536
    """The same where there are so many partitions that less would be left: a fetch of less would not pay."""

    unanswered_seconds: float = 12.0
    """How long a consumer or reader may be without an answer before another client is asked whether it gets one, and
    then, if it does, until it is given up for a new one."""

    division_seconds: float = 60.0
    """How long a division of partitions may take: aiokafka gives the others 30 s to join anew, and what is asked of the
    broker then may take three times 8 s."""

    look_at_topics_seconds: float = 5.0
    """How often a consumer or reader looks whether its topics are the same still: one request."""

    fetch_sessions: bool = True
    """Whether a consumer tells a broker only what has changed since its last fetch, in place of all it reads."""

    transaction_timeout_seconds: float = 10.0

    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Handed to every aiokafka client: `security_protocol`, `ssl_context`, `sasl_mechanism`, ..."""

    def partition_bytes(self, partitions: int) -> int:
        """How much of each of so many partitions is asked for, and therefore at most held unread.

        aiokafka asks for a partition again only when it has given out all that it holds of it, but for the others
        meanwhile: behind a backlog everywhere it holds so much of each. A larger produce batch is still read, alone.
        """
        share = self.max_unread_bytes // max(1, partitions)
        return min(self.max_partition_bytes, max(self.min_partition_bytes, share))

    def patient(self, bootstrap: str, name: str) -> dict[str, Any]:
        """The arguments of a client that asks one broker for what may take long."""
        return {
            "bootstrap_servers": bootstrap.split(","),
            "client_id": name,
            "request_timeout_ms": int(self.request_timeout_seconds * 1000),
            **self.options,
        }

    def common(self, bootstrap: str, name: str) -> dict[str, Any]:
        """The arguments of a client that turns to another broker when one hangs."""
        seconds = min(self.hang_timeout_seconds, self.request_timeout_seconds)
        return {**self.patient(bootstrap, name), "request_timeout_ms": int(seconds * 1000)}


def record_code_is_native() -> bool:
    """Whether aiokafka's compiled record code is active; without it a record costs several times as much."""
    return bool("_crecords" in DefaultRecordBatchBuilder.__module__)


def place_of(partition: TopicPartition) -> Any:
    """A partition as aiokafka wants it: it checks the type."""
    return KafkaTopicPartition(partition.topic, partition.partition)


class Client(Protocol):
    """What producers and consumers of aiokafka share."""

    async def start(self) -> None:
        """Connect."""


T = TypeVar("T", bound=Client)


async def connected(
    make: Callable[[], T], close: Callable[[T], Awaitable[None]], bootstrap: str, settings: KafkaClientSettings
) -> T:
    """Make a client and start it, again and again until the deadline.

    Args:
        make: makes a fresh one; one whose start failed is of no use.
        close: disconnects one.
        bootstrap: for the message.
        settings: the deadline.

    Raises:
        BrokerUnavailableError: says what was found, and what to do.
    """
    deadline = time.monotonic() + settings.start_deadline_seconds
    failure: BaseException | None = None
    while True:
        client = make()
        try:
            async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
                with foreign_cancellation():
                    await client.start()
            return client
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            if failure is None or not isinstance(error, TimeoutError):
                failure = error  # our own deadline says less than what came before it
            await closed(close(client), settings)
        except BaseException:
            await closed(close(client), settings)
            raise
        left = deadline - time.monotonic()
        if left <= 0:
            raise BrokerUnavailableError(await _why(bootstrap, failure)) from failure
        await asyncio.sleep(min(left, _RETRY_SECONDS * (0.5 + random.random())))


async def closed(closing: Awaitable[None], settings: KafkaClientSettings) -> None:
    """Disconnect, under a bound, whatever state the client is in."""
    with contextlib.suppress(KafkaError, OSError, TimeoutError, AssertionError):
        async with asyncio.timeout(settings.close_deadline_seconds):
            with foreign_cancellation():
                await closing


@contextlib.contextmanager
def foreign_cancellation() -> Iterator[None]:
    """Turn a cancellation that aiokafka lets out into a KafkaError, unless it is we who are being cancelled.

    aiokafka cancels fetches and routines of its own, and where it awaits one of these, its caller gets a
    CancelledError that no `except Exception` catches, and that looks as if somebody wanted the caller to end.
    Stands inside of `asyncio.timeout`, whose own cancellation is meant for us.
    """
    task = asyncio.current_task()
    # One that came while the task ran (a signal's handler does that) is counted already, and comes at the next await.
    before = task.cancelling() - getattr(task, "_must_cancel", False) if task else 0
    try:
        yield
    except asyncio.CancelledError as error:
        if task is None or task.cancelling() > before:
            raise
        raise KafkaError("the client cancelled its own work") from error


async def _why(bootstrap: str, failure: BaseException | None) -> str:
    """One sentence on what is wrong and what to do."""
    if isinstance(failure, UnknownTopicOrPartitionError):
        return f"the broker at {bootstrap} does not have all topics that are read here; make them first"
    if isinstance(failure, BrokerResponseError) and not failure.retriable:
        return f"the broker at {bootstrap} refuses us: {type(failure).__name__}"
    found = [await _probe(address) for address in bootstrap.split(",")]
    return "; ".join(found)


async def _probe(address: str) -> str:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except ConnectionRefusedError:
        return f"broker {address}: nothing listens on this port; start the broker or correct the address"
    except socket.gaierror:
        return f"broker {address}: there is no host of this name; correct the address"
    except TimeoutError:
        return f"broker {address}: no answer within {_PROBE_SECONDS:.0f} s; check the address and the network between"
    except OSError as error:
        return f"broker {address}: cannot be reached ({error.strerror or type(error).__name__}); check the address"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return (
        f"broker {address}: something listens there, but did not accept us as a Kafka client in time; "
        "if it is the broker, check credentials and TLS settings, else correct the address"
    )


@contextlib.asynccontextmanager
async def translated(what: str, deadline_seconds: float) -> AsyncIterator[None]:
    """Bound a call to the broker, and turn aiokafka's errors into ours."""
    try:
        async with asyncio.timeout(deadline_seconds):
            with foreign_cancellation():
                yield
    except TimeoutError as error:
        raise BrokerUnavailableError(f"{what}: the broker did not answer within {deadline_seconds:.0f} s") from error
    except (KafkaError, OSError) as error:
        raise BrokerUnavailableError(f"{what}: {type(error).__name__}") from error


class _Seldom(logging.Filter):
    """Lets the same message through once a minute: aiokafka repeats itself all the time while a broker is away."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        template = str(record.msg)
        if template.startswith("Unable connect"):
            return False  # said by us, with the cause
        now = time.monotonic()
        if now - self._last.get(template, -_SAME_LINE_SECONDS) < _SAME_LINE_SECONDS:
            return False
        self._last[template] = now
        return True


def quiet() -> None:
    """Keep aiokafka's log to errors, each once a minute. Its debug lines would show keys and values."""
    parent = logging.getLogger("aiokafka")
    if parent.level == logging.NOTSET or parent.level < logging.WARNING:
        parent.setLevel(logging.ERROR)
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(one, _Seldom) for one in logger.filters):
            logger.addFilter(_Seldom())


async def knows(client: Any, topics: Iterable[str]) -> None:
    """Have a consumer's client learn the leaders of all these topics by one request.

    Asked for offsets it would learn them one topic after another: 100 ms and more each time (aiokafka 0.14, which then
    sleeps its retry back-off; the upstream cure is to ask for all of them before the first ListOffsets).
    """
    network = client._client
    await network.set_topics(set(network.cluster.topics()) | set(topics))
