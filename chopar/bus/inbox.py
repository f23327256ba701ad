"""The inbox: an effect in a database happens once, whatever is delivered and however often.

    async with inbox.batch() as batch:
        took = await batch.act(effect, callback)

A row with the key of an effect and what the application's callback writes are of one transaction: either both stay or
neither does, and a second row with that key does not exist. The key says what was asked and never which message
brought the answer, so a repetition, a second gateway or a rebuilt topic finds the row.

No personal identifier is kept: the key is a digest, and the content is one keyed by it. SQLite serves one process or
a few on one machine, PostgreSQL any number; the statements are the same. Which answer is an effect,
`chopar.requester.effects` says.
"""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self, TypeAlias
from uuid import UUID

import prometheus_client
import structlog
from sqlalchemy import (
    Column,
    CursorResult,
    Executable,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    event,
    inspect,
    select,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncTransaction
from sqlalchemy.pool import ConnectionPoolEntry

from chopar.database import adding_new, database_address, open_engine
from chopar.errors import ConfigurationError, StoreUnavailableError
from chopar.identifiers import uuid7
from chopar.messages.demand import MAX_LIFE
from chopar.topics import EVIDENCE_PROVIDED, RETENTION_MS

# PostgreSQL's class of errors that a second try mends: deadlocks and what could not be put in an order.
_TRANSACTION_ROLLBACK = "40"

KEPT = MAX_LIFE + timedelta(milliseconds=(EVIDENCE_PROVIDED.retention_ms or 0) + RETENTION_MS) + timedelta(days=7)
"""How long a row is kept, from the time of its demand's id (75 days).

An answer is given while the demand lives, stays on its topic, is given up and stays among the dead letters; until then
it may be delivered again. The week is for what is late everywhere."""

_METADATA = MetaData()
_INBOX = Table(
    # It lies among the application's own tables.
    "chopar_inbox",
    _METADATA,
    Column("effect", LargeBinary(32), primary_key=True),
    # For people who look for a demand. Such an id begins with its time, so old rows can be deleted by it.
    Column("requester", String, nullable=False),
    Column("demand_id", String(36), nullable=False, index=True),
    Column("document_type", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("content", LargeBinary(32), nullable=False),
    sqlite_with_rowid=False,
)
# A row of a transaction that is still open is waited for: its commit makes this insert do nothing, its rollback lets it
# through. What was inserted is returned, as SQLAlchemy counts rows of inserts with SQLite alone.
_TAKE = {dialect: adding_new(_INBOX, dialect).returning(_INBOX.c.effect) for dialect in ("sqlite", "postgresql")}
_PURGED_AT_ONCE = 1000  # a short transaction: others wait for it
_PURGE = (
    delete(_INBOX)
    .where(
        _INBOX.c.effect.in_(
            select(_INBOX.c.effect).where(_INBOX.c.demand_id < bindparam("before")).limit(_PURGED_AT_ONCE)
        )
    )
    .returning(_INBOX.c.effect)
)
_FIRST = select(_INBOX.c.provider, _INBOX.c.content).where(_INBOX.c.effect == bindparam("of_effect"))

_log = structlog.get_logger()

Callback: TypeAlias = Callable[[AsyncConnection], Awaitable[object]]
"""What an application does on an answer, by the connection that it is given and nothing else: it must not commit or
roll back, and not act on the same batch. What it does elsewhere (a mail, a call) is not undone and may happen twice."""


@dataclass(frozen=True, slots=True)
class EffectKey:
    """What an effect is of. Two answers with one key are acted on once.

    Args:
        requester: the agency that asked.
        demand_id: of its demand.
        document_type: as the demand or its resolution names it.
        digest: SHA-256 over all that tells effects apart, parameters included.
    """

    requester: str
    demand_id: UUID
    document_type: str
    digest: bytes

    @classmethod
    def of(
        cls,
        requester: str,
        demand_id: UUID,
        document_type: str,
        about: str | None = None,
        parameters: Mapping[str, str] | None = None,
        correction: bytes | None = None,
    ) -> Self:
        """The key of a document's effect.

        Args:
            requester: the agency that asked.
            demand_id: of its demand.
            document_type: which paper.
            about: role of the party that it is about; None: the subject.
            parameters: of the document; their order does not count.
            correction: which correction of an answer it is; None: it is a first answer. Each correction is an effect
                of its own.
        """
        corrected = correction.hex() if correction is not None else None
        # Names and values stand apart in JSON, so no two keys meet; ASCII, as an odd surrogate has no UTF-8. The
        # demand id makes the digest of equal parameters another one in each demand.
        parts = [requester, str(demand_id), document_type, about, sorted((parameters or {}).items()), corrected]
        digest = hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode("ascii")).digest()
        return cls(requester, demand_id, document_type, digest)


@dataclass(frozen=True, slots=True)
class Effect:
    """An answer that may be acted on: what it is of, the SHA-256 of what it says, and who says it."""

    key: EffectKey
    content: bytes
    provider: str


class InboxMetrics:
    """What inboxes count, by outcome, when it is committed.

    `acted`; `repeated` (the same content again); `other_content` (the provider that was first now says something
    else); `contradicted` (another provider says something else: an alarm). One instance serves all inboxes of a
    process.

    Args:
        registry: where it is kept; a private one by default.
    """

    def __init__(self, registry: prometheus_client.CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else prometheus_client.CollectorRegistry()
        self.effects = prometheus_client.Counter(
            "chopar_inbox_effects", "Answers by what became of them", ["outcome"], registry=self.registry
        )


class Inbox:
    """The inbox in a database, which is the application's own. Nothing is opened before the first call.

    Args:
        url: `sqlite+aiosqlite:///FILE` (the folder must exist) or `postgresql+psycopg://...`; the driver may be left
            out.
        metrics: where effects are counted.
        timeout_seconds: within which each statement of the inbox itself must be done.

    Raises:
        ConfigurationError: the address is of another kind, or of a database that is gone with the process.
    """

    def __init__(self, url: str, *, metrics: InboxMetrics | None = None, timeout_seconds: float = 10.0) -> None:
        self._engine = _engine(url)
        self._timeout_seconds = timeout_seconds
        self.metrics = metrics if metrics is not None else InboxMetrics()

    async def create_schema(self, *more: MetaData) -> None:
        """Create the table if it is missing, and those of `more`.

        Raises:
            StoreUnavailableError: retriable; the database does not answer.
        """
        async with _answering(self._timeout_seconds), self._engine.begin() as connection:
            for tables in (_METADATA, *more):
                await connection.run_sync(tables.create_all)

    async def has_table(self, name: str) -> bool:
        """Whether the database holds a table of this name.

        Raises:
            StoreUnavailableError: retriable; the database does not answer.
        """
        async with _answering(self._timeout_seconds), self._engine.connect() as connection:
            return await connection.run_sync(lambda plain: inspect(plain).has_table(name))

    @asynccontextmanager
    async def batch(self) -> AsyncIterator["Batch"]:
        """One transaction for the effects of a batch of records: committed at its end, or rolled back if that raises.

        Commit offsets after it, not before. In SQLite batches wait for each other, so keep callbacks short.

        Raises:
            StoreUnavailableError: retriable; the database does not answer. Whether the commit went through may then be
                unknown: read the same records again, what stayed is found.
        """
        async with AsyncExitStack() as stack:
            async with _answering(self._timeout_seconds):
                connection = await stack.enter_async_context(self._engine.connect())
                transaction = await connection.begin()
            batch = Batch(connection, self._timeout_seconds)
            yield batch
            await batch.commit(transaction)
        for outcome, number in batch.outcomes.items():
            self.metrics.effects.labels(outcome).inc(number)

    def within(self, connection: AsyncConnection) -> "Batch":
        """A transaction of the application, in this database, as a batch; the application commits it."""
        return Batch(connection, self._timeout_seconds)

    async def purge(self, now: datetime) -> int:
        """Delete the rows of demands that are older than `KEPT`, some at a time; for once a day or so.

        By then no answer to them can be delivered any more, so that nothing is acted on twice.

        Args:
            now: aware UTC time.

        Returns:
            How many rows were deleted.

        Raises:
            StoreUnavailableError: retriable; the database does not answer. What was deleted stays so.
        """
        deleted = 0
        while True:
            async with self.batch() as batch:
                some = (await batch.execute(_PURGE, {"before": str(uuid7(now - KEPT, 0))})).all()
            deleted += len(some)
            if len(some) < _PURGED_AT_ONCE:
                return deleted

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


class Batch:
    """The effects of one transaction; made by `Inbox.batch`."""

    def __init__(self, connection: AsyncConnection, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout_seconds = timeout_seconds
        self._turn = asyncio.Lock()
        self._lost = False
        self.outcomes: Counter[str] = Counter()

    @property
    def lost(self) -> bool:
        """Whether this transaction cannot be committed any more: it is to be left, and its records read again."""
        return self._lost

    async def act(self, effect: Effect, callback: Callback, *, alone: bool = True) -> bool:
        """Run the callback, unless this effect has its row already. Callbacks of a batch run one after another.

        Args:
            effect: of a final answer; the first one wins.
            callback: runs after its row was inserted, in the same transaction.
            alone: whether a callback that raises undoes itself alone. If not, the batch is lost with it: half the
                statements, for who then does the batch again with each of them alone.

        Returns:
            Whether the callback ran. False: the effect was there, and nothing has changed.

        Raises:
            StoreUnavailableError: retriable; the database does not answer, or has broken a deadlock. If it is lost, the
                batch is too: it cannot be committed any more.
            Exception: what the callback raised. Its row and what it wrote are undone, the rest of the batch is not; if
                it is let out of the batch, all is.
        """
        async with self._turn, self._part(alone) as savepoint:
            if not await self._take(effect):
                if savepoint is not None:
                    async with self._answered():
                        await savepoint.rollback()
                return False
            await callback(self._connection)
        self.outcomes["acted"] += 1
        return True

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`, for statements that differ."""
        return self._connection.dialect.name

    async def execute(self, statement: Executable, parameters: Any = None) -> CursorResult[Any]:
        """Run a statement in this transaction.

        Raises:
            StoreUnavailableError: retriable; the database does not answer, and the batch is lost.
        """
        async with self._answered():
            return await self._connection.execute(statement, parameters)

    @asynccontextmanager
    async def part(self, *, alone: bool = True) -> AsyncIterator[AsyncConnection]:
        """A part of the transaction, for what is no effect of an answer; `alone` as of `act`.

        Raises:
            StoreUnavailableError: as of `act`.
        """
        async with self._turn, self._part(alone):
            yield self._connection

    @asynccontextmanager
    async def _part(self, alone: bool) -> AsyncIterator[AsyncTransaction | None]:
        """What is undone alone if it raises, by a savepoint that may be ended within, or not alone."""
        if not alone:
            try:
                yield None
                self._require_statements_took()
            except BaseException:
                self._lost = True
                raise
            return
        async with self._answered():
            savepoint = await self._connection.begin_nested()
        try:
            yield savepoint
            self._require_statements_took()
        except BaseException as error:
            await self._undo(savepoint, error)
            raise
        if savepoint.is_active:
            async with self._answered():
                await savepoint.commit()

    def _require_statements_took(self) -> None:
        """Tell a callback that went on after the database had refused a statement of it.

        PostgreSQL takes nothing more in that transaction, and what failed then would look like a database that is away.
        """
        connection = self._connection.sync_connection
        if self.dialect != "postgresql" or connection is None or connection.closed or connection.invalidated:
            return
        driver: Any = connection.connection.driver_connection
        if driver.info.transaction_status.name == "INERROR":
            raise PendingRollbackError("a callback went on after a statement that had failed; it needs a savepoint")

    async def commit(self, transaction: AsyncTransaction) -> None:
        """Commit, if the database was there all along; `Inbox.batch` does it."""
        async with self._turn, self._answered():
            await transaction.commit()

    async def _take(self, effect: Effect) -> bool:
        """Insert the row; False if there is one."""
        key = effect.key
        row = {
            "effect": key.digest,
            "requester": key.requester,
            "demand_id": str(key.demand_id),
            "document_type": key.document_type,
            "provider": effect.provider,
            # A plain digest of "owes nothing" would be the same in every row.
            "content": hmac.digest(key.digest, effect.content, "sha256"),
        }
        async with self._answered():
            inserted = await self._connection.execute(_TAKE[self.dialect], row)
            if inserted.first() is not None:
                return True
            first = (await self._connection.execute(_FIRST, {"of_effect": key.digest})).one()
        if hmac.compare_digest(first.content, row["content"]):
            self.outcomes["repeated"] += 1
        elif first.provider == effect.provider:
            self.outcomes["other_content"] += 1
        else:
            self.outcomes["contradicted"] += 1
            _log.error(
                "inbox.contradicted",
                demand_id=str(key.demand_id),
                document_type=key.document_type,
                first_provider=first.provider,
                provider=effect.provider,
            )
        return False

    async def _undo(self, savepoint: AsyncTransaction, error: BaseException) -> None:
        """Take back what a callback did; raises only if its error came of the database's state and not of its own."""
        try:
            async with self._answered():
                await savepoint.rollback()
                if self._connection.invalidated:  # then a rollback succeeds, as there is nothing to roll back
                    raise _unavailable(error)
        except StoreUnavailableError:
            if isinstance(error, Exception):
                raise
            return
        if isinstance(error, DBAPIError) and str(getattr(error.orig, "sqlstate", "")).startswith(_TRANSACTION_ROLLBACK):
            raise _unavailable(error) from None

    @asynccontextmanager
    async def _answered(self) -> AsyncIterator[None]:
        """As `_answering`; after a failure, a cancellation too, nobody knows what the transaction holds."""
        if self._lost:
            raise StoreUnavailableError("the inbox's transaction was lost; read the same records again")
        try:
            async with _answering(self._timeout_seconds):
                yield
        except BaseException:
            self._lost = True
            raise


@asynccontextmanager
async def _answering(timeout_seconds: float) -> AsyncIterator[None]:
    """Bound the time and translate what the database says into StoreUnavailableError."""
    try:
        async with asyncio.timeout(timeout_seconds):
            yield
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise _unavailable(error) from None


def _unavailable(error: BaseException) -> StoreUnavailableError:
    # The kind of error alone: the driver's own words may quote a row.
    cause = type(getattr(error, "orig", None) or error).__name__
    return StoreUnavailableError(f"the inbox does not answer ({cause})")


def _engine(url: str) -> AsyncEngine:
    address = database_address(url, "the inbox")
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise ConfigurationError("the inbox must be in a file: in memory it would forget what was acted on")
    engine = open_engine(address)
    if address.get_backend_name() == "sqlite":
        event.listen(engine.sync_engine, "connect", _leave_transactions_to_us)
        event.listen(engine.sync_engine, "begin", _begin_immediate)
    return engine


def _leave_transactions_to_us(connection: Any, _: ConnectionPoolEntry) -> None:
    # Python's driver would begin a transaction at the first change and not at a savepoint, whose release then commits.
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    # At once as a writer: a reader that becomes one while another writes is refused without waiting.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
