"""Lint finds each flaw it names in lists where one thing was changed, and no error in those that are shipped."""

import gc
import time
from collections.abc import Callable
from datetime import date

import pytest

from chopar.errors import ConfigurationError
from gateway.bundle import list_files
from gateway.flaw import Flaw, Level
from gateway.lint import errors, lint, require_sound
from gateway.list_version import DOCUMENTS, GROUNDS, GROUPS, PROHIBITED, REGULATIONS, ListVersion
from tests.edited_lists import Files, added, edited, put, tables, without
from tests.standing import LISTS

TODAY = date(2026, 11, 26)
SHIPPED = list_files(LISTS)
TAX = {"id": "tax-debt-certificate-communal"}
DISPENSARY = {"id": "narcological-registration-certificate-communal"}


def flaws(files: Files) -> list[Flaw]:
    return lint(ListVersion.from_files(files), TODAY)


KNOWN = flaws(SHIPPED)


def found(files: Files) -> set[tuple[Level, str, str]]:
    """What is there beyond the flaws of the shipped lists."""
    return {(flaw.level, flaw.code, flaw.entry) for flaw in flaws(files) if flaw not in KNOWN}


def test_the_shipped_lists_have_no_error() -> None:
    assert errors(KNOWN) == []
    assert {flaw.code for flaw in KNOWN} == {"barred_replacement"}  # labour book: resolved again, as facts say


def entry(key: dict[str, str], **changes: object) -> Callable[[], Files]:
    return lambda: edited(SHIPPED, PROHIBITED, "entry", key, **changes)


def ended_group() -> Files:
    members = [
        {**member, "member_until": date(2024, 1, 1)} if member["group"] == "communal-organisations" else member
        for member in tables(SHIPPED, GROUPS, "member")
    ]
    return put(SHIPPED, GROUPS, "member", members)


def circle() -> Files:
    once = edited(
        SHIPPED, PROHIBITED, "entry", DISPENSARY,
        disposition="replaced", replaced_by="psychoneurological-registration-certificate",
    )  # fmt: skip
    return edited(
        once, PROHIBITED, "entry", {"id": "psychoneurological-registration-certificate-communal"},
        disposition="replaced", replaced_by="narcological-registration-certificate",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "level", "code", "about"),
    [
        (entry(TAX, sources=None), Level.ERROR, "missing_source", TAX["id"]),
        (entry(TAX, in_force_from=date(1971, 1, 1)), Level.ERROR, "impossible_date", TAX["id"]),
        (entry(TAX, in_force_from=date(2202, 7, 1)), Level.ERROR, "impossible_date", TAX["id"]),
        (
            lambda: edited(SHIPPED, GROUNDS, "ground", {"id": "ground-identity-document-copy"}, until=date(2099, 1, 1)),
            Level.ERROR,
            "impossible_date",
            "ground-identity-document-copy",
        ),
        (
            lambda: edited(
                SHIPPED, REGULATIONS, "procedure", {"id": "birth-composite"}, legal_basis_from=date(1900, 1, 1)
            ),
            Level.ERROR,
            "impossible_date",
            "birth-composite",
        ),
        (
            lambda: added(
                SHIPPED, PROHIBITED, "entry", DISPENSARY, id="a-contradiction", disposition="abolished",
                disposition_basis="stated",
            ),
            Level.WARNING,  # one of the two is our reading
            "contradicting",
            "a-contradiction",
        ),
        (
            lambda: added(
                edited(SHIPPED, PROHIBITED, "entry", DISPENSARY, disposition_basis="stated"),
                PROHIBITED, "entry", DISPENSARY, id="a-contradiction", disposition="abolished",
            ),
            Level.ERROR,
            "contradicting",
            "a-contradiction",
        ),
        (
            lambda: added(SHIPPED, PROHIBITED, "entry", DISPENSARY, id="a-double", in_force_from=date(2023, 1, 1)),
            Level.WARNING,
            "overlapping",
            "a-double",
        ),
        (circle, Level.ERROR, "circular_replacement", "narcological-registration-certificate"),
        (
            entry(DISPENSARY, disposition="replaced", replaced_by="criminal-record-certificate"),
            Level.ERROR,
            "barred_replacement",
            DISPENSARY["id"],
        ),
        (
            entry(DISPENSARY, disposition="replaced", replaced_by="tax-debt-certificate"),
            Level.WARNING,
            "barred_replacement",
            DISPENSARY["id"],
        ),
        (
            entry(DISPENSARY, disposition="fetch", holder="health-ministry", holder_basis="inferred"),
            Level.ERROR,
            "ground_not_read",
            DISPENSARY["id"],
        ),
        (entry(TAX, holder="egov-operator"), Level.WARNING, "holder_not_in_directory", TAX["id"]),
        (
            lambda: without(SHIPPED, GROUNDS, "ground", made_from=TAX["id"]),
            Level.WARNING,
            "no_ground",
            TAX["id"],
        ),
        (
            lambda: edited(
                SHIPPED, GROUNDS, "ground", {"id": "ground-military-service-period-document-pension"},
                data_class="special", text_read="none", basis="inferred",
            ),
            Level.ERROR,
            "ground_not_read",
            "ground-military-service-period-document-pension",
        ),
        (
            entry({"id": "length-of-service-document-pension"}, data_class="special"),
            Level.ERROR,
            "class_lowered",
            "ground-length-of-service-document-pension",
        ),
        (entry(TAX, disposition="abolished"), Level.WARNING, "ground_of_no_use", f"ground-{TAX['id']}"),
        (
            lambda: added(SHIPPED, DOCUMENTS, "document", {"id": "photo"}, id="ph\u043eto"),  # an o that is Cyrillic
            Level.ERROR,
            "bad_id",
            r"ph\u043eto",
        ),
        (
            lambda: added(SHIPPED, DOCUMENTS, "document", {"id": "photo"}, id="p" * 500),
            Level.ERROR,
            "bad_id",
            "p" * 120 + "…",
        ),
        (lambda: added(SHIPPED, PROHIBITED, "entry", TAX, id="Tax Debt"), Level.ERROR, "bad_id", "Tax Debt"),
        (entry(TAX, name_en="Tax \u202edebt"), Level.ERROR, "forbidden_characters", TAX["id"]),
        (entry(TAX, note="a\x07bell"), Level.ERROR, "forbidden_characters", TAX["id"]),
        (entry(TAX, act="x" * 4001), Level.ERROR, "too_long", TAX["id"]),
        (entry(TAX, sources=["x" * 4001]), Level.ERROR, "too_long", TAX["id"]),
        (entry(TAX, name_ru="Сп\u0430вка o долге".replace("вка o", "вкao")), Level.WARNING, "mixed_letters", TAX["id"]),
        (entry(TAX, in_force_from=date(9999, 12, 31)), Level.ERROR, "impossible_date", TAX["id"]),
        (entry(TAX, in_force_from=date(1, 1, 1)), Level.ERROR, "impossible_date", TAX["id"]),
        (ended_group, Level.ERROR, "empty_group", "communal-organisations"),
        (
            lambda: added(
                SHIPPED, GROUPS, "member", {"group": "communal-organisations", "agency": "electricity-het"},
                member_from=date(2025, 1, 1),
            ),
            Level.WARNING,
            "member_twice",
            "communal-organisations: electricity-het",
        ),
        (
            lambda: added(SHIPPED, "documents.toml", "document", {"id": "photo"}, id="never-named"),
            Level.WARNING,
            "unused_document",
            "never-named",
        ),
    ],
)  # fmt: skip
def test_each_flaw_is_found_by_its_name(make: Callable[[], Files], level: Level, code: str, about: str) -> None:
    assert (level, code, about) in found(make())


def test_special_data_that_say_their_ground_was_not_read_are_no_flaw_and_open_nothing() -> None:
    files = edited(
        SHIPPED, PROHIBITED, "entry", DISPENSARY, disposition="fetch", holder="health-ministry",
        holder_basis="inferred", reason_code="ground_not_read",
    )  # fmt: skip
    assert not [one for one in found(files) if one[1] == "ground_not_read"]
    assert not ListVersion.from_files(files).grounds_for[DISPENSARY["id"]]


def test_what_differs_in_condition_scope_or_addressee_is_no_contradiction() -> None:
    for changes in (
        {"condition": "non-resident"},
        {"scope": "assignment of a state pension"},
        {"from_whom": ["business"]},
    ):
        files = added(
            edited(SHIPPED, PROHIBITED, "entry", DISPENSARY, disposition_basis="stated", from_whom=["person"]),
            PROHIBITED, "entry", DISPENSARY, id="another", disposition="abolished", **changes,
        )  # fmt: skip
        assert not [one for one in found(files) if one[1] == "contradicting"]


def test_two_lists_that_differ_only_in_how_many_entries_stand_together_are_compared_alike() -> None:
    """A hundred entries on one paper hide no contradiction between two of them."""
    files = edited(SHIPPED, PROHIBITED, "entry", DISPENSARY, disposition_basis="stated")
    entries = tables(files, PROHIBITED, "entry")
    [model] = [table for table in entries if table["id"] == DISPENSARY["id"]]
    others = [{**model, "id": f"other-{number}", "name_en": f"Paper {number}"} for number in range(100)]
    against = {**model, "id": "a-contradiction", "disposition": "abolished"}
    found_there = found(put(files, PROHIBITED, "entry", [*entries, *others, against]))
    assert [about for _, code, about in found_there if code == "contradicting"] == ["a-contradiction"]


def test_what_is_said_of_a_flaw_can_be_read_whatever_the_lists_call_things() -> None:
    for name in ("a\u202eb", "y" * 100_000, "\x1b[31mred"):
        for flaw in flaws(added(SHIPPED, PROHIBITED, "entry", TAX, id=name)):
            assert (flaw.entry + flaw.said).replace("…", "").isascii()
            assert flaw.entry.isprintable()
            assert len(flaw.entry + flaw.said) < 800


def chain(length: int, *, closed: bool) -> ListVersion:
    """Papers of which each is replaced by the next."""
    documents, entries = tables(SHIPPED, DOCUMENTS, "document"), tables(SHIPPED, PROHIBITED, "entry")
    [model] = [table for table in entries if table["id"] == DISPENSARY["id"]]
    kinds = [{**documents[0], "id": f"paper-{number}"} for number in range(length + 1)]
    links = [
        {**model, "id": f"link-{number}", "document_type": f"paper-{number}", "disposition": "replaced",
         "replaced_by": f"paper-{0 if closed and number == length - 1 else number + 1}"}
        for number in range(length)
    ]  # fmt: skip
    files = put(SHIPPED, DOCUMENTS, "document", [*documents, *kinds])
    return ListVersion.from_files(put(files, PROHIBITED, "entry", [*entries, *links]))


def test_a_long_chain_of_replacements_is_followed_once() -> None:
    open_end, closed = (
        [flaw for flaw in lint(chain(300, closed=closed), TODAY) if flaw.code == "circular_replacement"]
        for closed in (False, True)
    )
    assert (len(open_end), len(closed)) == (0, 300)


def test_lists_that_are_not_sound_are_refused_with_what_is_wrong_and_not_with_all_of_it() -> None:
    require_sound(ListVersion.from_files(SHIPPED), TODAY)
    with pytest.raises(ConfigurationError, match=r"those that hold stay:(?s:.)*_replacement(?s:.)* and 250 more"):
        require_sound(chain(300, closed=True), TODAY)


def many(count: int) -> ListVersion:
    documents = tables(SHIPPED, "documents.toml", "document")
    entries = tables(SHIPPED, PROHIBITED, "entry")
    [model] = [table for table in entries if table["id"] == DISPENSARY["id"]]
    kinds = [{**documents[0], "id": f"paper-{number}"} for number in range(count // 10)]
    more = [
        {**model, "id": f"entry-{number}", "document_type": f"paper-{number % len(kinds)}"} for number in range(count)
    ]
    files = put(SHIPPED, "documents.toml", "document", [*documents, *kinds])
    return ListVersion.from_files(put(files, PROHIBITED, "entry", [*entries, *more]))


def test_the_time_lint_takes_grows_with_the_number_of_entries_and_not_with_its_square() -> None:
    small, large = many(200), many(2_000)

    def cpu(lists: ListVersion) -> float:
        """The least of some runs; what the garbage of other tests costs is not lint's."""
        took = []
        for _ in range(5):
            gc.collect()
            gc.disable()
            try:
                began = time.process_time()
                lint(lists, TODAY)
                took.append(time.process_time() - began)
            finally:
                gc.enable()
        return min(took)

    assert cpu(large) < 40 * max(cpu(small), 0.001)  # ten times the entries; a square would be a hundred times
