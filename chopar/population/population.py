"""The whole synthetic population of one seed."""

from dataclasses import dataclass
from datetime import date

from chopar.identifiers import PersonId
from chopar.population import registers
from chopar.population.addresses import AddressBook
from chopar.population.civil_status import CivilHistory, civil_history
from chopar.population.draws import Draws
from chopar.population.families import Families
from chopar.population.firms import Firms
from chopar.population.model import Firm, OwedTax, Person
from chopar.population.registers import RegisterKind

DEFAULT_SEED = 1
"""The population that the services' registers and `chopar population list` share unless told otherwise."""

REFERENCE_DAY = date(2026, 1, 15)
"""The day on which ages are counted, unless another is given; a constant, as a clock would change the people."""


@dataclass(frozen=True, slots=True)
class Population:
    """People and firms; equal seeds, sizes and days give equal populations, on every machine.

    Attributes:
        seed: what everything follows from.
        on: the day on which ages are counted; nothing happens after it.
        people: parents before their children.
        firms: in no particular order.
    """

    seed: int
    on: date
    people: tuple[Person, ...]
    firms: tuple[Firm, ...]

    @classmethod
    def make(cls, seed: int, people: int = 10_000, firms: int = 500, *, on: date = REFERENCE_DAY) -> "Population":
        """Draw a population.

        Args:
            seed: any whole number.
            people: exactly so many; more people leave those before as they are but for spouses who now appear.
            firms: exactly so many, if there is an adult to found them.
            on: the day on which ages are counted.
        """
        # One stream each, so that a change in one part does not move the others. Families and firms share the
        # addresses, as no two may get the same.
        addresses = AddressBook(Draws(seed * 4))
        everybody = Families(Draws(seed * 4 + 1), Draws(seed * 4 + 2), addresses, on).people(people)
        return cls(seed, on, everybody, Firms(Draws(seed * 4 + 3), addresses, on).firms(firms, everybody))

    def stands_in(self, kind: RegisterKind, who: Person | Firm) -> bool:
        """Whether a person or firm stands in a register of this kind."""
        return registers.stands_in(self.seed, kind, who, self.on)

    def in_every_register(self, who: Person | Firm) -> bool:
        """Whether a person or firm stands in all kinds of register that the seed fills."""
        return all(self.stands_in(kind, who) for kind in RegisterKind)

    def taxes_owed(self, who: Person | Firm) -> tuple[OwedTax, ...]:
        """What a person or firm owes, one entry a tax; empty for those who are not in the tax register."""
        return registers.taxes_owed(self.seed, who, self.on)

    def civil_history(self) -> CivilHistory:
        """Marriages and divorces, changes of name, paternities and adoptions; worked out anew at each call."""
        return civil_history(self.seed, self.people, self.on)

    def people_for_examples(self) -> tuple[Person, ...]:
        """Everybody; living adults with an entry in every register come first, then the others, each in their order."""
        return tuple(sorted(self.people, key=lambda person: not self._fit_for_example(person)))

    def firms_for_examples(self) -> tuple[Firm, ...]:
        """All firms; those with an entry in every register come first."""
        return tuple(sorted(self.firms, key=lambda firm: not self.in_every_register(firm)))

    def by_pinfl(self) -> dict[PersonId, Person]:
        """Everybody by number, to follow mother, father, spouse and founders."""
        return {person.pinfl: person for person in self.people}

    def _fit_for_example(self, person: Person) -> bool:
        return person.died_on is None and person.adult_on(self.on) and self.in_every_register(person)
