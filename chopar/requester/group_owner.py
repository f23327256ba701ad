"""One consumer group, one database: which one that is, and refusing any other.

Two databases that read by one group take each other's answers. A new one for a group that was read before is refused
by the group's offsets alone. Where two are new at the same time neither sees any: so each has an id, and writes it down
for the group just before it joins. Who writes last is the owner, and whoever was before it learns so when the
partitions are dealt out anew, as they are for each that joins: exactly one goes on.
"""

from collections.abc import Sequence

from sqlalchemy import Column, Integer, String, Table, select

from chopar.bus.inbox import Inbox
from chopar.bus.port import Admin, TopicPartition
from chopar.database import adding_new
from chopar.errors import ConfigurationError
from chopar.identifiers import AgencyId
from chopar.requester import store

OWNER = ".database"
"""Behind a group's name: under which its owner stands, at the broker, as the note of a group that nobody joins."""

_SELF = Table(
    "chopar_database",
    store.TABLES,
    Column("only", Integer, primary_key=True),
    Column("id", String, nullable=False),
    sqlite_with_rowid=False,
)


class GroupOwner:
    """Whether this database may read by a group.

    Args:
        inbox: in the database.
        agency: that asks.
        group: by which it reads.
        topics: what it reads.
        fresh_id: gives an id that nobody else has; asked for a new database.
    """

    def __init__(self, inbox: Inbox, agency: AgencyId, group: str, topics: Sequence[str], fresh_id: str) -> None:
        self._inbox = inbox
        self._agency = agency
        self._group = group
        self._topics = frozenset(topics)
        self._place = TopicPartition(min(topics), 0)
        self._id = fresh_id

    async def check(self, admin: Admin) -> None:
        """Create the tables that are missing, unless the group is another database's.

        Raises:
            ConfigurationError: it is.
            UnavailableError: database or broker do not answer.
        """
        if await store.is_new(self._inbox):
            read = any(place.topic in self._topics for place in await admin.committed(self._group))
            read = read or bool(await admin.noted(self._group + OWNER, self._place))
            # Another process may have made the tables, and begun to read, since they were looked for.
            if read and await store.is_new(self._inbox):
                raise self._refused()
        await store.create_schema(self._inbox)
        async with self._inbox.batch() as batch:
            await batch.execute(adding_new(_SELF, batch.dialect), [{"only": 0, "id": self._id}])
            self._id = str((await batch.execute(select(_SELF.c.id))).scalar_one())
        await self._noted(admin)

    async def take(self, admin: Admin) -> None:
        """To be called before the group is joined: it is this database's, unless it is another's.

        Raises:
            ConfigurationError, UnavailableError: as of `check`.
        """
        if not await self._noted(admin):
            await admin.note(self._group + OWNER, self._place, self._id)

    async def require(self, admin: Admin) -> None:
        """To be asked whenever partitions were dealt out, before anything of them is handled.

        Raises:
            ConfigurationError: another database has taken the group over.
            UnavailableError: the broker does not answer.
        """
        await self._noted(admin)

    async def keep(self, admin: Admin) -> None:
        """Write it down again, as a broker forgets it in the end.

        Raises:
            ConfigurationError, UnavailableError: as of `require`.
        """
        await self._noted(admin)
        await admin.note(self._group + OWNER, self._place, self._id)

    async def _noted(self, admin: Admin) -> bool:
        noted = await admin.noted(self._group + OWNER, self._place)
        if noted and noted != self._id:
            raise self._refused()
        return bool(noted)

    def _refused(self) -> ConfigurationError:
        return ConfigurationError(
            f"the consumer group {self._group} is read with another database than this one: the two would take each "
            f"other's answers. Start with the first database (by its absolute path); if that is lost, or this is "
            f"another system of {self._agency}, give DurableRequester a group of its own, as group='{self._group}.2', "
            f"and ask again what this database has asked. If nothing was ever read with the other, deleting the group "
            f"{self._group}{OWNER} at the broker makes it this one's"
        )
