"""Access grounds of their own, dated memberships and the ways to the data that the committed lists do not show yet."""

from datetime import date

import pytest

from gateway.list_version import ListVersion
from gateway.resolver import NextStep, ResolvedDocument
from tests.oracle.asking import ask, list_files

DISCONNECT_ALL = ("directory.toml", "connected = true\n", "")
CONNECT_ALL = ("directory.toml", "due_hours = 72\n", "due_hours = 72\nconnected = true\n")


def changed(*changes: tuple[str, str, str]) -> ListVersion:
    """The committed lists with texts replaced; an empty `old` appends."""
    files = {name: content.decode() for name, content in list_files().items()}
    for name, old, new in changes:
        assert old in files[name]
        files[name] = files[name].replace(old, new) if old else files[name] + new
    return ListVersion.from_files({name: text.encode() for name, text in files.items()})


def own_ground(**values: str) -> tuple[str, str, str]:
    """A ground that was made from no entry: the notary learns of dwellings in the residential sale."""
    keys = {
        "id": '"own"',
        "requester_agencies": '["justice-notary"]',
        "procedures": '["real-estate-sale-notary-residential"]',
        "about": '["person"]',
        "document_type": '"private-housing-certificate"',
        "evidence_type": '"dwellings-owned"',
        "holder": '"cadastre-agency"',
        "fields": '["dwellings.address"]',
        "data_class": '"ordinary"',
        "act": '"an act of the test"',
        "text_read": '"official"',
        "basis": '"stated"',
        "from": "2024-01-01",
        "until": "2024-12-31",
    } | values
    return "grounds.toml", "", "\n[[ground]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def sale(version: ListVersion, document: str = "private-housing-certificate", **also: object) -> ResolvedDocument:
    (resolved,) = ask(
        requester="justice-notary",
        procedure="real-estate-sale-notary-residential",
        documents=[document],
        version=version,
        **{"day": "2024-06-01", **also},  # type: ignore[arg-type]
    ).documents
    return resolved


@pytest.mark.parametrize(
    ("day", "code"),
    [
        ("2023-12-31", "not_in_procedure"),
        ("2024-01-01", "ground"),
        ("2024-12-31", "ground"),
        ("2025-01-01", "not_in_procedure"),
    ],
)
def test_a_ground_of_its_own_opens_from_its_first_to_its_last_day(day: str, code: str) -> None:
    assert sale(changed(CONNECT_ALL, own_ground()), day=day).code == code


def test_a_ground_of_its_own_fetches_what_is_not_barred_and_not_named() -> None:
    document = sale(changed(CONNECT_ALL, own_ground()), mode="verified")

    assert (document.outcome, document.code, document.person_may_be_asked) == ("fetch", "ground", "no")
    assert (document.fields, document.ground_id) == (("dwellings.address",), "own")
    assert document.rule is not None
    assert (document.rule.entry, document.rule.act, document.rule.coverage) == (
        "own",
        "an act of the test",
        "not complete",
    )


@pytest.mark.parametrize(
    "changes",
    [
        (own_ground(),),
        (CONNECT_ALL, own_ground(text_read='"press"')),
        (CONNECT_ALL, own_ground(parameters='["period"]')),
        (CONNECT_ALL, own_ground(about='["business"]')),
        (CONNECT_ALL, own_ground(condition='"some-circumstance"')),
        (CONNECT_ALL, own_ground(procedures='["notary-identity-check"]')),
        (CONNECT_ALL, own_ground(requester_agencies='["pension-fund"]')),
    ],
    ids=["not-connected", "not-read", "no-parameter", "other-kind", "condition-unsaid", "other-procedure", "other"],
)
def test_a_ground_of_its_own_that_fails_a_test_changes_nothing(changes: tuple[tuple[str, str, str], ...]) -> None:
    document = sale(changed(*changes), mode="verified")
    assert (document.outcome, document.code) == ("refused", "not_in_procedure")
    assert document.next_step is NextStep.LEAVE_OUT_DOCUMENT


def test_a_ground_of_its_own_may_rest_on_a_condition_that_is_said() -> None:
    version = changed(CONNECT_ALL, own_ground(condition='"some-circumstance"'))
    assert sale(version, circumstances={"some-circumstance": "yes"}).code == "ground"
    assert sale(version, circumstances={"some-circumstance": "no"}).code == "not_in_procedure"


def test_fetching_does_not_settle_whether_the_person_may_be_asked() -> None:
    own = own_ground(
        requester_agencies='["mia-migration"]',
        procedures='["travel-passport"]',
        document_type='"military-id-copy"',
        evidence_type='"military-service-periods"',
        holder='"defence-ministry"',
        fields='["periods.kind"]',
    )

    def passport(day: str, **circumstances: str) -> ResolvedDocument:
        said = {"liable-for-service-18-27": circumstances["liable"]} if circumstances else {}
        (document,) = ask(
            requester="mia-migration",
            procedure="travel-passport",
            documents=["military-id-copy"],
            day=day,
            circumstances=said,
            version=changed(CONNECT_ALL, own),
        ).documents
        return document

    unsaid, no, yes = passport("2024-06-01"), passport("2024-06-01", liable="no"), passport("2024-06-01", liable="yes")
    assert (unsaid.outcome, unsaid.person_may_be_asked) == ("fetch", "undetermined")
    assert (no.outcome, no.person_may_be_asked) == ("fetch", "yes")
    # Barred and abolished: no ground opens what the list says is not needed.
    assert (yes.outcome, yes.code, yes.person_may_be_asked) == ("not_needed", "abolished", "no")


def test_a_ground_of_its_own_serves_a_barred_document_that_is_fetched() -> None:
    own = own_ground(
        requester_agencies='["electricity-het"]',
        procedures='["electricity-supply-contract"]',
    )
    (document,) = ask(
        requester="electricity-het",
        procedure="electricity-supply-contract",
        documents=["private-housing-certificate"],
        day="2024-06-01",
        mode="verified",
        version=changed(CONNECT_ALL, own),
    ).documents
    assert (document.outcome, document.ground_id, document.person_may_be_asked) == ("fetch", "own", "no")
    assert document.rule is not None
    assert document.rule.entry == "private-housing-certificate-communal"


def test_the_first_row_whose_ground_comes_to_fetch_is_taken() -> None:
    """Two rows bind on gas debts in the non-residential sale; the one for it decides, unless only the other fetches."""

    def gas(version: ListVersion) -> ResolvedDocument:
        (document,) = ask(
            requester="justice-notary",
            procedure="real-estate-sale-notary-non-residential",
            documents=["gas-debt-certificate"],
            kind="business",
            given=["account_address"],
            day="2024-06-01",
            version=version,
        ).documents
        return document

    special, general = "gas-debt-certificate-notary", "gas-debt-certificate-notary-real-estate"
    both = gas(changed(CONNECT_ALL))
    only_general = gas(
        changed(
            CONNECT_ALL,
            ("grounds.toml", f'id = "ground-{special}"\n', f'id = "ground-{special}"\nuntil = 2023-12-31\n'),
        )
    )
    neither = gas(changed(DISCONNECT_ALL))
    assert both.rule is not None
    assert (both.rule.entry, both.rule.also_binding) == (special, (general,))
    assert only_general.rule is not None
    assert (only_general.outcome, only_general.rule.entry, only_general.rule.also_binding) == (
        "fetch",
        general,
        (special,),
    )
    assert neither.rule is not None
    assert (neither.outcome, neither.rule.entry) == ("gap", special)


def test_members_of_a_group_are_those_of_the_day() -> None:
    version = changed(
        (
            "groups.toml",
            'agency = "electricity-het"\n',
            'agency = "electricity-het"\nmember_from = 2023-01-01\nmember_until = 2023-12-31\n',
        )
    )

    def code(day: str) -> str:
        (document,) = ask(
            requester="electricity-het",
            procedure="electricity-supply-contract",
            documents=["tax-debt-certificate"],
            day=day,
            version=version,
        ).documents
        return document.code

    assert [code(day) for day in ("2022-12-31", "2023-01-01", "2023-12-31", "2024-01-01")] == [
        "not_in_procedure",
        "ground",
        "ground",
        "not_in_procedure",
    ]


def test_an_entry_can_bind_an_agency_by_itself() -> None:
    version = changed(
        (
            "prohibited.toml",
            'id = "photos-school"\n',
            'id = "photos-school"\nbarred_agencies = ["preschool-school-ministry"]\n',
        )
    )
    (document,) = ask(
        requester="preschool-school-ministry",
        procedure="school-first-grade",
        documents=["photo"],
        day="2024-06-01",
        version=version,
    ).documents
    assert document.rule is not None
    # It opens less than the row for any public service, so it decides.
    assert (document.code, document.rule.entry) == ("abolished", "photos-school")
    assert document.rule.also_binding == ("photo-prescribed-format",)


def test_without_a_day_of_change_the_procedure_names_its_documents_on_any_day() -> None:
    version = changed(
        (
            "regulations.toml",
            'documents_named = ["identity-document-copy", "birth-certificate-copy", "photo"]\n'
            'documents_named_basis = "stated"\nchanged_on = 2022-06-01\n',
            'documents_named = ["character-reference"]\ndocuments_named_basis = "stated"\n',
        )
    )
    for day in (date(1990, 1, 1), date(2026, 1, 1)):
        (document,) = ask(
            requester="general-school",
            procedure="school-first-grade",
            documents=["character-reference"],
            day=day.isoformat(),
            version=version,
        ).documents
        assert (document.code, document.person_may_be_asked) == ("named", "yes")


def test_nobody_fetches_from_itself() -> None:
    own = own_ground(requester_agencies='["cadastre-agency"]', procedures='["cadastral-passport"]')
    (document,) = ask(
        requester="cadastre-agency",
        procedure="cadastral-passport",
        documents=["private-housing-certificate"],
        day="2024-06-01",
        version=changed(CONNECT_ALL, own),
    ).documents
    assert (document.outcome, document.code) == ("refused", "not_in_procedure")


LABOUR_BOOK = (
    'confidence = "stated"\ncoverage = "references-73"\nnote = "effective date not found; electronic labour book'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LABOUR_BOOK, LABOUR_BOOK.replace("stated", "inferred", 1)),
        ('id = "labour-book"\n', 'id = "labour-book-later"\n'),
        ("in_force_from = 2022-04-20\n", "in_force_from = 2022-04-21\n"),
        ("in_force_from = 2022-04-20\n", ""),
    ],
    ids=["stated-before-inferred", "by-id", "earlier-first", "no-date-first"],
)
def test_of_two_rows_that_differ_in_one_thing_only_that_decides(old: str, new: str) -> None:
    """The labour book and its copy are barred alike; each change puts the copy first."""
    text = list_files()["prohibited.toml"].decode()
    start, copy = text.index('id = "labour-book"\n'), text.index('id = "labour-book-copy"\n')
    entry, copied = text[start:copy], text[copy:]
    if new:
        assert old in entry
        entry = entry.replace(old, new)
    else:
        copied = copied.replace(old, new, 1).replace(
            'in_force_basis = "not_later_than"', 'in_force_basis = "unknown"', 1
        )
    grounds = list_files()["grounds.toml"].decode()
    if "later" in new:
        grounds = grounds.replace('made_from = "labour-book"\n', 'made_from = "labour-book-later"\n')
    version = ListVersion.from_files(
        {
            **list_files(),
            "prohibited.toml": (text[:start] + entry + copied).encode(),
            "grounds.toml": grounds.encode(),
        }
    )
    (document,) = ask(
        requester="pension-fund",
        procedure="old-age-pension",
        documents=["labour-book"],
        day="2024-06-01",
        version=version,
    ).documents
    assert document.rule is not None
    assert document.rule.entry == "labour-book-copy"
    assert document.rule.also_binding in (("labour-book",), ("labour-book-later",))
