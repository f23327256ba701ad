"""What the register holds after each act, and whom it knows.

Acts go in one by one; an entry is an act as look-ups see it. Three acts change what others look like:

- a correction supersedes an act of its kind, which keeps an annotation that says so;
- a change of number makes two numbers one person, who is then found by both;
- an adoption rewrites the child's act of birth, under its number and day, to what it would be had the adopters been the
  parents from the start, withdraws what else the register had on the child's origin, and renames the child where it
  stands in other acts until then (of its own child). It has no entry of its own and leaves no annotation, whatever
  day is asked for: what look-ups read afterwards is, row by row, what they would read had there been no adoption. The
  acts themselves stay in the journal, which no look-up reads.

How entries are stored is left to the store, what follows from them to `family`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from chopar.errors import InvalidEntryError, NotFoundError
from services.registry_office.model.acts import PARENTS, Act, ActKind, Participant, Role, check_death_follows_birth
from services.registry_office.model.days import PartialDate

GENERATIONS = 3
"""How far up a person's file reaches: to great-grandparents, which is as far as a named kinship goes."""

OF_OTHERS = (Role.CHILD, Role.DECEASED)
"""In which roles the acts of those who are named in a person's own acts belong to the person's file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An act as look-ups see it.

    Attributes:
        act: as recorded; of a child that was adopted, as it stands since.
        persons: a key for each participant that is the same under all numbers of a person; None where the act has no
            number.
        superseded_by, superseded_on: the act that stands in its place, and since when.
    """

    act: Act
    persons: tuple[str | None, ...] = field(repr=False)
    superseded_by: str | None = None
    superseded_on: date | None = None

    def in_force_on(self, day: date) -> bool:
        """Whether it was recorded by that day and not yet superseded."""
        return self.act.recorded_on <= day and (self.superseded_on is None or day < self.superseded_on)

    @property
    def annotation(self) -> str | None:
        """What is noted on an act that stands no more."""
        if self.superseded_by is None:
            return None
        return f"superseded by {self.superseded_by} on {self.superseded_on}"

    def named(self, *roles: Role) -> tuple[tuple[Participant, str | None], ...]:
        """The people of these roles with their keys."""
        pairs = zip(self.act.participants, self.persons, strict=True)
        return tuple((one, person) for one, person in pairs if one.role in roles)

    def has(self, person: str, *roles: Role) -> bool:
        """Whether a person is in it in one of these roles."""
        return any(key == person for _, key in self.named(*roles))


@dataclass(frozen=True, slots=True)
class PersonFile:
    """All that answers about a person need, whatever is asked.

    Attributes:
        person: the key of the person.
        entries: the person's own acts, the acts of origin of the person and of the ancestors (see `GENERATIONS`), and
            origin and death of those named in the person's own; by day and number.
    """

    person: str = field(repr=False)
    entries: tuple[Entry, ...]


def person_file(person: str, entries: Iterable[Entry]) -> PersonFile:
    """A file with its entries in order."""
    return PersonFile(person, tuple(sorted(entries, key=lambda entry: (entry.act.recorded_on, entry.act.number))))


class Book:
    """A register, or the part of one that an act touches.

    Args:
        entries: that are there already.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries: dict[str, Entry] = {}
        self._by_number_of_person: dict[str, set[str]] = {}
        self._by_person: dict[str, set[str]] = {}
        for entry in entries:
            self._put(entry)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """All entries by number of act."""
        return self._entries

    def record(self, act: Act) -> None:
        """Take an act in.

        Raises:
            InvalidEntryError: the register has an act of this number, or it contradicts what the register has.
            NotFoundError: there is no act of the number that it supersedes or concerns.
        """
        if act.number in self._entries:
            raise InvalidEntryError("the register has an act of this number")
        self._check(act)
        if act.kind is ActKind.ADOPTION:
            self._adopt(act)
            return
        if act.supersedes is not None:
            before = self._other(act.supersedes, act.kind)
            if before.superseded_by is not None:
                raise InvalidEntryError("the act is superseded already")
            self._put(replace(before, superseded_by=act.number, superseded_on=act.recorded_on))
        if act.kind is ActKind.DIVORCE and act.concerns is not None:
            self._other(act.concerns, ActKind.MARRIAGE)
        self._put(self._entry(act))
        if act.kind is ActKind.NUMBER_CHANGE:
            self._join(act)

    def file_of(self, pinfl: str) -> PersonFile | None:
        """The file of whoever has this number; None for somebody the register does not know."""
        numbers = self._by_number_of_person.get(pinfl)
        if not numbers:
            return None
        person = self._person_of(pinfl)
        own = self._by_person[person]
        found = set(own)
        generation = {person}
        for _ in range(GENERATIONS):
            origins = [entry for one in generation for entry in self._of(one) if entry.has(one, Role.CHILD)]
            found |= {entry.act.number for entry in origins}
            generation = {key for entry in origins for _, key in entry.named(*PARENTS) if key is not None}
        for number in own:
            for key in self._entries[number].persons:
                if key is not None:
                    found |= {entry.act.number for entry in self._of(key) if entry.has(key, *OF_OTHERS)}
        return person_file(person, (self._entries[number] for number in found))

    def _check(self, act: Act) -> None:
        for one in act.of(Role.DECEASED, Role.CHILD):
            person = None if one.pinfl is None else self._person_of(one.pinfl.text)
            for entry in [] if person is None else self._of(person):
                if entry.superseded_by is not None or entry.act.number == act.supersedes:
                    continue
                other = entry.act
                if act.died_on is not None and other.kind is ActKind.BIRTH and entry.has(person or "", Role.CHILD):
                    check_death_follows_birth(act.died_on, other.participants[0].born_on)
                if act.kind is ActKind.BIRTH and other.died_on is not None:
                    check_death_follows_birth(other.died_on, one.born_on)
                if (
                    act.kind is ActKind.PATERNITY
                    and other.kind is ActKind.BIRTH
                    and entry.has(person or "", Role.CHILD)
                ):
                    self._check_no_other_father(act, entry)

    def _check_no_other_father(self, act: Act, birth: Entry) -> None:
        [father] = act.of(Role.FATHER)
        for _, key in birth.named(Role.FATHER):
            if key is not None and (father.pinfl is None or key != self._person_of(father.pinfl.text)):
                raise InvalidEntryError("the act of birth names another father, and has to be corrected first")

    def _adopt(self, adoption: Act) -> None:
        birth = self._other(adoption.concerns or "", ActKind.BIRTH)
        if birth.superseded_by is not None:
            raise InvalidEntryError("the act of birth is superseded; the adoption concerns the later one")
        [(before, person)] = birth.named(Role.CHILD)
        [adopted] = adoption.of(Role.CHILD)
        if adopted.pinfl is not None and self._person_of(adopted.pinfl.text) != person:
            raise InvalidEntryError("the act of birth is of another child")
        child = replace(adopted, pinfl=before.pinfl, born_on=adopted.born_on or before.born_on, name_after=None)
        rewritten = replace(birth.act, participants=(child, *adoption.of(*PARENTS)), supersedes=None)
        own = [] if person is None else self._of(person)
        changes = [one for entry in own if entry.act.kind is ActKind.NAME_CHANGE for one in entry.act.participants]
        former = {before.name, *(name for one in changes for name in (one.name, one.name_after) if name is not None)}
        for entry in own:
            of_origin = entry.act.kind in (ActKind.BIRTH, ActKind.PATERNITY) and entry.has(person or "", Role.CHILD)
            earlier = entry.act.recorded_on <= adoption.recorded_on
            if of_origin or (earlier and entry.act.kind is ActKind.NAME_CHANGE):
                self._withdraw(entry.act.number)
            elif earlier and entry.act.kind is ActKind.NUMBER_CHANGE:
                people = tuple(replace(one, name=adopted.name) for one in entry.act.participants)
                self._put(replace(entry, act=replace(entry.act, participants=people)))
            elif earlier:  # who married or had a child as a minor is named there, too
                named = zip(entry.act.participants, entry.persons, strict=True)
                people = tuple(
                    replace(one, name=adopted.name) if key == person and one.name in former else one
                    for one, key in named
                )
                self._put(replace(entry, act=replace(entry.act, participants=people)))
        self._withdraw(birth.act.number)
        self._put(self._entry(rewritten))

    def _join(self, act: Act) -> None:
        [_, after] = act.participants
        old_key, new_key = self._entries[act.number].persons
        assert after.pinfl is not None  # the act itself sees to it
        joined = after.pinfl.text
        for key in {old_key, new_key}:
            for entry in self._of(key or ""):
                persons = tuple(joined if one in (old_key, new_key) else one for one in entry.persons)
                self._put(replace(entry, persons=persons))

    def _other(self, number: str, kind: ActKind) -> Entry:
        entry = self._entries.get(number)
        if entry is None:
            raise NotFoundError("the register has no act of the number that this one names")
        if entry.act.kind is not kind:
            raise InvalidEntryError("the act that this one names is of another kind")
        return entry

    def _entry(self, act: Act) -> Entry:
        return Entry(
            act, tuple(None if one.pinfl is None else self._person_of(one.pinfl.text) for one in act.participants)
        )

    def _person_of(self, pinfl: str) -> str:
        for number in self._by_number_of_person.get(pinfl, ()):
            entry = self._entries[number]
            for one, key in zip(entry.act.participants, entry.persons, strict=True):
                if one.pinfl is not None and one.pinfl.text == pinfl and key is not None:
                    return key
        return pinfl

    def _of(self, person: str) -> list[Entry]:
        return [self._entries[number] for number in self._by_person.get(person, ())]

    def _put(self, entry: Entry) -> None:
        self._withdraw(entry.act.number)
        self._entries[entry.act.number] = entry
        for one, key in zip(entry.act.participants, entry.persons, strict=True):
            if one.pinfl is not None and key is not None:
                self._by_number_of_person.setdefault(one.pinfl.text, set()).add(entry.act.number)
                self._by_person.setdefault(key, set()).add(entry.act.number)

    def _withdraw(self, number: str) -> None:
        entry = self._entries.pop(number, None)
        if entry is None:
            return
        for one, key in zip(entry.act.participants, entry.persons, strict=True):
            if one.pinfl is not None and key is not None:
                self._by_number_of_person[one.pinfl.text].discard(number)
                self._by_person[key].discard(number)


def born_on(entry: Entry, person: str) -> PartialDate | None:
    """When an act says that a person was born."""
    return next((one.born_on for one, key in entry.named(*Role) if key == person and one.born_on is not None), None)
