"""Lists in which a paper may be proved by several holders. No source names such a paper: these rows are invented.

What communal organisations ask the tax committee is, in that order, also asked of two others: `SECOND` and `THIRD`.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from gateway.bundle import list_files
from gateway.list_version import DIRECTORY, GROUNDS, ListVersion, bundle_digest
from tests.edited_lists import Files, added, edited, put
from tests.standing import LISTS

PAPER = "tax-debt-certificate"
FIRST = ("tax-committee", "tax-debt")
SECOND = ("mia-migration", "debt-statement")
THIRD = ("justice-notary", "debt-statement")
ORDER = (FIRST, SECOND, THIRD)
GROUND = "ground-tax-debt-certificate-communal"

TAX = {"provider": "tax-committee", "evidence_type": "tax-debt"}


def written(place: tuple[str, str]) -> str:
    return "/".join(place)


def with_alternatives(
    order: Iterable[tuple[str, str]] = ORDER,
    *,
    grounds_for: Iterable[tuple[str, str]] = (SECOND, THIRD),
    connected: Iterable[tuple[str, str]] = ORDER,
    ground: Mapping[str, object] = {},
) -> Files:
    """The committed lists with such an order for the tax paper.

    Args:
        order: of the directory; empty: none.
        grounds_for: the places besides the first that communal organisations have a ground to ask.
        connected: the places whose holder answers.
        ground: what else the invented grounds say.
    """
    made = _with_holders()
    for provider, evidence_type in ORDER:
        if (provider, evidence_type) not in connected:
            key = {"provider": provider, "evidence_type": evidence_type}
            made = edited(made, DIRECTORY, "holding", key, connected=None)
    for number, (holder, evidence_type) in enumerate(grounds_for):
        more = {"made_from": None, "holder": holder, "evidence_type": evidence_type, **ground}
        made = added(made, GROUNDS, "ground", {"id": GROUND}, id=f"ground-invented-{number}", **more)
    in_order = [written(place) for place in order]
    if not in_order:
        return made
    table = {"document_type": PAPER, "in_order": in_order, "basis": "inferred", "note": "invented for tests"}
    return put(made, DIRECTORY, "alternatives", [table])


@cache
def _with_holders() -> Files:
    """The committed lists with the invented holders, all connected."""
    made = list_files(LISTS)
    for provider, evidence_type in (SECOND, THIRD):
        made = added(made, DIRECTORY, "holding", TAX, provider=provider, evidence_type=evidence_type)
    return made


@cache
def _version(digest: str, files: tuple[tuple[str, bytes], ...]) -> ListVersion:
    return ListVersion.from_files(dict(files))


def version_of(files: Files) -> ListVersion:
    """Lists as the resolver reads them; the same are read once."""
    return _version(bundle_digest(files), tuple(files.items()))


def written_to(folder: Path, files: Files) -> Path:
    """A folder that holds these lists."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder
