"""Which lists a command reads: a folder, a version on this machine, those in force, planned, or shipped.

*In force* is what holds at this moment. Where others are planned, this is said beside what is read.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from chopar.cli.session import Session
from chopar.errors import NotFoundError, UnavailableError
from chopar.messages.demand import FetchMode
from gateway.cli.in_force import InForce, bundle_of, in_force, short

if TYPE_CHECKING:
    from gateway.list_version import ListVersion

SHIPPED_FOLDER = Path(__file__).parents[1] / "lists"
IN_FORCE, PLANNED, SHIPPED = "in-force", "planned", "shipped"
_SHOWN = 12  # of a digest

ListsOption = Annotated[
    str,
    typer.Option(
        "--lists",
        help="A folder, a digest of a version on this machine, `in-force`, `planned` (those that will hold last) or "
        "`shipped`; those in force now if it is left out, where a stack runs, else those shipped.",
        metavar="LISTS",
    ),
]

ByOption = Annotated[
    str,
    typer.Option("--by", help="Who brings it into force, for `history`.  [default: the login name]", metavar="NAME"),
]


class Chosen(NamedTuple):
    """Lists, and which grounds they open: as they are in force, else as an activation does unless told otherwise."""

    version: "ListVersion"
    files: dict[str, bytes]
    fetch_mode: FetchMode


def files_of(session: Session, name: str) -> dict[str, bytes]:
    """The files of lists that somebody named; what is planned beside those in force is said.

    Raises:
        ConfigurationError: a folder holds no lists.
        NotFoundError: there is no folder and no version of that name, nothing was activated yet, or nothing is planned.
        UnavailableError: those in force are meant, and Kafka does not answer.
    """
    files, _, standing = _found(session, name)
    if standing is not None:
        which = standing.to_come[-1] if name == PLANNED else standing.held
        session.output.say(f"{name}: version {short(which)}")
        say_planned(session, standing, name)
    return files


def say_planned(session: Session, standing: InForce, name: str = IN_FORCE) -> None:
    """Say beside the lists in force which others are planned, if any are."""
    if name == IN_FORCE and standing.planned:
        session.output.say(
            f"planned, and not read here: {standing.planned} (`chopar prohibited diff in-force planned`)"
        )


def _found(session: Session, name: str) -> tuple[dict[str, bytes], FetchMode, InForce | None]:
    from gateway.bundle import list_files, load

    if name == SHIPPED:
        return list_files(SHIPPED_FOLDER), FetchMode.VERIFIED, None
    if name in (IN_FORCE, PLANNED):
        standing = session.run(lambda: in_force(session, session.bus()))
        if name == PLANNED and not standing.to_come:
            raise NotFoundError("no lists are planned: those in force hold on")
        which = standing.to_come[-1] if name == PLANNED else standing.held
        return bundle_of(session, which), which.message.fetch_mode, standing
    if Path(name).is_dir():
        return list_files(Path(name)), FetchMode.VERIFIED, None
    kept = session.home() / "gateway" / "lists"
    digests = sorted(path.name for path in kept.glob(f"{name}*") if path.is_dir()) if name.isalnum() else []
    if len(digests) != 1:
        what = "several versions begin so" if digests else "no folder, and no version of that digest on this machine"
        raise NotFoundError(f"{name}: {what}")
    return load(digests[0], kept), FetchMode.VERIFIED, None


def version_of(session: Session, name: str) -> "ListVersion":
    """The lists that somebody named.

    Raises:
        LawUnreadableError: they cannot be understood.
        as of `files_of`.
    """
    from gateway.list_version import ListVersion

    return ListVersion.from_files(files_of(session, name))


def chosen(session: Session, name: str) -> Chosen:
    """The lists that an option names, or those meant where it is left out; which they are is said beside the data.

    Raises:
        as of `version_of`.
    """
    from gateway.list_version import ListVersion

    why = ""
    if not name:
        name = IN_FORCE if "--bootstrap" in session.given else _where_one_runs(session)
        why = "" if name == IN_FORCE else ": no stack runs here that has others in force"
    files, fetch_mode, standing = _found(session, name)
    version = ListVersion.from_files(files)
    session.output.say(f"lists read: {name}, version {version.digest[:_SHOWN]}{why}")
    if standing is not None:
        say_planned(session, standing, name)
    return Chosen(version, files, fetch_mode)


def _where_one_runs(session: Session) -> str:
    try:
        return IN_FORCE if session.stack() else SHIPPED
    except UnavailableError:
        return SHIPPED


def counted(count: int, what: str) -> str:
    """A number of things, in the right number."""
    return f"{count} {what}{'' if count == 1 else 's'}"
