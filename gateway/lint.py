"""What is wrong with lists that can be read: contradictions, gaps, days that cannot be, data opened without an act.

What cannot be read at all (an unknown name, a key that is missing or misspelt) is refused by `list_version`. A flaw is
an error where an answer would be wrong or data would be opened without a ground; activation refuses these. The rest
are warnings: for whoever keeps the lists to look at. Pure; the day is an argument.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import date

from chopar.errors import ConfigurationError
from chopar.identifiers import AgencyId, DocumentType, SubjectKind
from gateway.access_ground import AccessGround
from gateway.flaw import Flaw, Level
from gateway.lint_texts import LONGEST_ID, texts
from gateway.list_version import ListVersion
from gateway.lists.reading import called
from gateway.lists.vocabulary import Basis, DataClass, Disposition, TextRead
from gateway.prohibited_list import ProhibitedEntry

EARLIEST = date(1991, 9, 1)
"""Independence: an act of the country is not older."""

YEARS_AHEAD = 10
GROUND_NOT_READ = "ground_not_read"
"""The reason code of an entry that fetches special or secret data although no ground was read."""

_MOST_TOLD = 50
_LONGEST = 600  # characters of what is said of a flaw
_MORE = 2  # agencies that are named after the first


def lint(lists: ListVersion, on: date) -> list[Flaw]:
    """Look lists through.

    Args:
        lists: a version that could be read.
        on: today, in Tashkent; only days that lie far ahead and groups that have no member any more depend on it.

    Returns:
        Every flaw, errors first.
    """
    found = {_fit(flaw) for check in _CHECKS for flaw in check(lists, on)}
    return sorted(found, key=lambda flaw: (flaw.level, flaw.code, flaw.entry, flaw.said))


def _fit(flaw: Flaw) -> Flaw:
    """What the lists call things may be endless, or turn round what stands beside it."""
    if len(flaw.said) <= _LONGEST and (flaw.entry + flaw.said).isascii() and (flaw.entry + flaw.said).isprintable():
        return flaw if len(flaw.entry) <= LONGEST_ID else replace(flaw, entry=called(flaw.entry))
    said = flaw.said if flaw.said.isascii() and flaw.said.isprintable() else ascii(flaw.said)[1:-1]
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}…"
    return replace(flaw, entry=called(flaw.entry), said=said)


def errors(flaws: Iterable[Flaw]) -> list[Flaw]:
    """Those that keep lists out of force."""
    return [flaw for flaw in flaws if flaw.level is Level.ERROR]


def require_sound(lists: ListVersion, on: date) -> None:
    """Refuse lists that may not come into force.

    Raises:
        ConfigurationError: names every error.
    """
    wrong = errors(lint(lists, on))
    if wrong:
        told = "\n".join(f"  {flaw.entry}: {flaw.code}: {flaw.said}" for flaw in wrong[:_MOST_TOLD])
        more = f"\n  and {len(wrong) - _MOST_TOLD} more: see lint" if len(wrong) > _MOST_TOLD else ""
        raise ConfigurationError(f"these lists do not come into force; those that hold stay:\n{told}{more}")


def _sources(lists: ListVersion, on: date) -> Iterator[Flaw]:
    for entry in lists.prohibited.values():
        if not entry.sources:
            yield Flaw(Level.ERROR, "missing_source", entry.id, "it names no source")
    for ground in lists.grounds.values():
        if not ground.sources:
            yield Flaw(Level.ERROR, "missing_source", ground.id, "it names no source")
    for coverage in lists.coverages.values():
        if not coverage.sources:
            yield Flaw(Level.WARNING, "missing_source", coverage.id, "the announced list names no source")
    for procedure, basis in lists.legal_bases.items():
        if not basis.sources and basis.confidence is Basis.STATED:
            yield Flaw(Level.WARNING, "missing_source", procedure, "it is called stated and names no source")


def _days(lists: ListVersion, on: date) -> Iterator[Flaw]:
    latest = date(on.year + YEARS_AHEAD, 12, 31)

    def impossible(name: str, what: str, day: date | None) -> Iterator[Flaw]:
        if day is not None and not EARLIEST <= day <= latest:
            yield Flaw(Level.ERROR, "impossible_date", name, f"{what} {day} lies before {EARLIEST} or after {latest}")

    for entry in lists.prohibited.values():
        yield from impossible(entry.id, "in force from", entry.in_force_from)
    for ground in lists.grounds.values():
        yield from impossible(ground.id, "from", ground.in_force_from)
        yield from impossible(ground.id, "until", ground.in_force_until)
    for membership in lists.memberships:
        name = f"{membership.group}: {membership.agency}"
        yield from impossible(name, "a member from", membership.member_from)
        yield from impossible(name, "a member until", membership.member_until)
    for procedure, basis in lists.legal_bases.items():
        yield from impossible(procedure, "in force from", basis.act_from)
        yield from impossible(procedure, "in force until", basis.act_until)
        yield from impossible(procedure, "changed on", basis.changed_on)


def _bound(lists: ListVersion) -> Callable[[ProhibitedEntry], frozenset[AgencyId]]:
    """The agencies that an entry binds, on whatever day; each set of groups looked up once."""
    members: dict[str, set[AgencyId]] = {}
    for membership in lists.memberships:
        members.setdefault(membership.group, set()).add(membership.agency)
    known: dict[tuple[frozenset[AgencyId], frozenset[str]], frozenset[AgencyId]] = {}

    def bound(entry: ProhibitedEntry) -> frozenset[AgencyId]:
        key = (entry.barred_agencies, entry.barred_groups)
        if key not in known:
            known[key] = entry.barred_agencies.union(*(members.get(group, set()) for group in entry.barred_groups))
        return known[key]

    return bound


def _pairs(lists: ListVersion, on: date) -> Iterator[Flaw]:
    """Two entries on one document that bind the same requester in the same scope."""
    bound = _bound(lists)
    together: dict[tuple[object, ...], list[ProhibitedEntry]] = {}
    for entry in lists.prohibited.values():
        # Where condition or parameters differ, each holds where the other need not.
        alike = (entry.document_type, entry.scope, entry.condition, entry.parameters)
        together.setdefault(alike, []).append(entry)
    for entries in together.values():
        if len(entries) > 1:
            yield from _clashes(sorted(entries, key=lambda entry: entry.id), bound)


def _clashes(
    entries: Iterable[ProhibitedEntry], bound: Callable[[ProhibitedEntry], frozenset[AgencyId]]
) -> Iterator[Flaw]:
    """Each entry against the first ones that speak to the same requester of the same kind; not pair by pair."""
    decided: dict[tuple[AgencyId, SubjectKind, date | None], dict[Disposition, ProhibitedEntry]] = {}
    named: dict[tuple[AgencyId, SubjectKind, str], ProhibitedEntry] = {}
    against: dict[tuple[str, str], tuple[ProhibitedEntry, ProhibitedEntry, set[AgencyId]]] = {}
    alike: dict[tuple[str, str], tuple[ProhibitedEntry, ProhibitedEntry, set[AgencyId]]] = {}
    for entry in entries:
        name = entry.name_en.casefold()
        for agency in bound(entry):
            for kind in entry.from_whom:
                before = decided.setdefault((agency, kind, entry.in_force_from), {})
                for disposition, other in before.items():
                    if disposition is not entry.disposition:
                        against.setdefault((other.id, entry.id), (other, entry, set()))[2].add(agency)
                before.setdefault(entry.disposition, entry)
                same = named.setdefault((agency, kind, name), entry)
                if same is not entry:
                    alike.setdefault((same.id, entry.id), (same, entry, set()))[2].add(agency)
    for one, other, both in against.values():
        said = f"{one.disposition} here and {other.disposition} in {other.id}, from the same day, for {_some(both)}"
        stated = one.disposition_basis is Basis.STATED and other.disposition_basis is Basis.STATED
        yield Flaw(Level.ERROR if stated else Level.WARNING, "contradicting", one.id, said)
    for pair, (one, other, both) in alike.items():
        if pair not in against:
            yield Flaw(Level.WARNING, "overlapping", one.id, f"{other.id} says the same of {_some(both)}")


def _some(agencies: Iterable[AgencyId]) -> str:
    first, *rest = sorted(agencies)
    return ", ".join([first, *rest[:_MORE]]) + (" and others" if len(rest) > _MORE else "")


def _circles(lists: ListVersion, on: date) -> Iterator[Flaw]:
    """Documents whose replacement leads back to it, or to another that does."""
    to: dict[DocumentType, set[DocumentType]] = {}
    of: dict[DocumentType, set[DocumentType]] = {}
    for entry in lists.prohibited.values():
        if entry.replaced_by:
            to.setdefault(entry.document_type, set()).add(entry.replaced_by)
            of.setdefault(entry.replaced_by, set()).add(entry.document_type)
    ended = [document_type for document_type in of if document_type not in to]
    while ended:  # what is replaced by nothing that goes on is taken off; what stays goes on for ever
        done = ended.pop()
        for document_type in of.get(done, ()):
            to[document_type].discard(done)
            if not to[document_type]:
                del to[document_type]
                ended.append(document_type)
    for document_type in to:
        yield Flaw(Level.ERROR, "circular_replacement", document_type, "what replaces it leads into a circle")


def _replacements(lists: ListVersion, on: date) -> Iterator[Flaw]:
    """Entries whose replacement may itself not be asked for."""
    bound = _bound(lists)
    known: dict[tuple[object, ...], tuple[ProhibitedEntry, ...]] = {}
    for entry in lists.prohibited.values():
        if entry.replaced_by is None:
            continue
        who, whom = bound(entry), frozenset(entry.from_whom)
        key = (entry.replaced_by, entry.scope, who, whom)
        if key not in known:
            known[key] = tuple(
                other
                for other in lists.entries_of.get(entry.replaced_by, ())
                if (other.every_public_service or other.scope == entry.scope)
                and not who.isdisjoint(bound(other))
                and not whom.isdisjoint(other.from_whom)
            )
        if known[key]:
            other = known[key][0]  # they stand in the order of what opens least
            dead_end = other.disposition in (Disposition.ABOLISHED, Disposition.NOT_NEEDED)
            more = f" and {len(known[key]) - 1} more" if len(known[key]) > 1 else ""
            said = f"{entry.replaced_by} replaces it and is itself barred by {other.id} ({other.disposition}){more}"
            yield Flaw(Level.ERROR if dead_end else Level.WARNING, "barred_replacement", entry.id, said)


def _alternatives(lists: ListVersion, on: date) -> Iterator[Flaw]:
    read: list[ProhibitedEntry | AccessGround] = [*lists.prohibited.values(), *lists.grounds.values()]
    sensitive = {one.document_type: one.data_class for one in read if one.data_class is not DataClass.ORDINARY}
    for document_type, order in lists.alternatives.items():
        if document_type in sensitive:
            said = (
                f"who asks the next holder says in the log that one had no record, of {sensitive[document_type]} data"
            )
            yield Flaw(Level.ERROR, "sensitive_alternatives", document_type, said)
        if not order.sources and order.basis is Basis.STATED:
            yield Flaw(Level.ERROR, "missing_source", document_type, "its order is called stated and names no source")
        for place, times in Counter(order.in_order).items():
            if times > 1:
                said = f"after {place} the order leads back to it"
                yield Flaw(Level.ERROR, "circular_alternative", document_type, said)
        opened = {
            (ground.holder, ground.evidence_type)
            for ground in lists.grounds.values()
            if ground.document_type == document_type
        }
        for place in dict.fromkeys(order.in_order):
            if place not in opened:
                said = f"nobody has a ground to ask {place} for it"
                yield Flaw(Level.WARNING, "alternative_without_ground", document_type, said)


def _fetched(lists: ListVersion, on: date) -> Iterator[Flaw]:
    held = {provider for provider, _ in lists.directory}
    for entry in lists.prohibited.values():
        if entry.disposition is not Disposition.FETCH:
            continue
        if entry.holder is not None and entry.holder not in held:
            said = f"its holder {entry.holder} has no entry in the directory"
            yield Flaw(Level.WARNING, "holder_not_in_directory", entry.id, said)
        grounds = lists.grounds_for[entry.id]
        if entry.data_class is not DataClass.ORDINARY and not any(_read(ground) for ground in grounds):
            if entry.reason_code != GROUND_NOT_READ:
                said = f"{entry.data_class} data are fetched although no ground for it was read"
                yield Flaw(Level.ERROR, "ground_not_read", entry.id, said)
        elif not grounds:
            yield Flaw(Level.WARNING, "no_ground", entry.id, "it fetches, and nobody has a ground to know")


def _opened(lists: ListVersion, on: date) -> Iterator[Flaw]:
    """Grounds that open special or secret data, one by one: another that was read does not make up for it."""
    order = tuple(DataClass)
    for ground in lists.grounds.values():
        if ground.data_class is not DataClass.ORDINARY and not _read(ground):
            said = f"it opens {ground.data_class} data, and its act was not read at all"
            yield Flaw(Level.ERROR, "ground_not_read", ground.id, said)
        made_from = lists.prohibited.get(ground.made_from)
        about = [made_from] if made_from is not None else lists.entries_of.get(ground.document_type, ())
        least = min(about, key=lambda entry: order.index(entry.data_class), default=None)
        if least is not None and order.index(ground.data_class) < order.index(least.data_class):
            said = f"it calls data {ground.data_class} that {least.id} calls {least.data_class}"
            yield Flaw(Level.ERROR, "class_lowered", ground.id, said)
        if made_from is not None and made_from.disposition is not Disposition.FETCH:
            said = f"it was made from {made_from.id}, which fetches nothing ({made_from.disposition})"
            yield Flaw(Level.WARNING, "ground_of_no_use", ground.id, said)


def _read(ground: AccessGround) -> bool:
    return bool(ground.act) and ground.text_read is not TextRead.NONE


def _verified(lists: ListVersion, on: date) -> Iterator[Flaw]:
    read: list[ProhibitedEntry | AccessGround] = [*lists.prohibited.values(), *lists.grounds.values()]
    for one in read:
        if one.text_read is TextRead.OFFICIAL and one.verified is None:
            yield Flaw(Level.ERROR, "nobody_read", one.id, "its act is called read as published, and nobody says so")
        if one.verified is not None and one.verified.on > on:
            yield Flaw(
                Level.ERROR, "impossible_date", one.id, f"it was verified on {one.verified.on}, which is to come"
            )


def _groups(lists: ListVersion, on: date) -> Iterator[Flaw]:
    groups = {membership.group for membership in lists.memberships}
    alive = {
        membership.group
        for membership in lists.memberships
        if membership.member_until is None or membership.member_until >= on
    }
    used = {group for entry in lists.prohibited.values() for group in entry.barred_groups}
    used |= {group for procedure in lists.procedures.values() for group in procedure.conducted_by_groups}
    used |= {group for ground in lists.grounds.values() for group in ground.requester_groups}
    for group in sorted(groups - alive):
        yield Flaw(
            Level.ERROR if group in used else Level.WARNING, "empty_group", group, "no agency is a member any more"
        )
    twice: dict[tuple[str, AgencyId], list[tuple[date, date]]] = {}
    for membership in lists.memberships:
        first, last = membership.member_from or date.min, membership.member_until or date.max
        spans = twice.setdefault((membership.group, membership.agency), [])
        if any(first <= end and begin <= last for begin, end in spans):
            name = f"{membership.group}: {membership.agency}"
            yield Flaw(Level.WARNING, "member_twice", name, "it is a member twice on one day")
        spans.append((first, last))


def _unused(lists: ListVersion, on: date) -> Iterator[Flaw]:
    named = {entry.document_type for entry in lists.prohibited.values()}
    named |= {entry.replaced_by for entry in lists.prohibited.values() if entry.replaced_by}
    named |= {document for basis in lists.legal_bases.values() for document in basis.documents_named}
    named |= {ground.document_type for ground in lists.grounds.values()}
    for document_type in sorted(set(lists.documents) - named):
        yield Flaw(Level.WARNING, "unused_document", document_type, "no entry, procedure or ground speaks of it")


_CHECKS: tuple[Callable[[ListVersion, date], Iterator[Flaw]], ...] = (
    _sources,
    _days,
    _pairs,
    _circles,
    _replacements,
    _alternatives,
    _fetched,
    _opened,
    _verified,
    _groups,
    _unused,
    texts,
)
