"""Each record fits what earlier releases wrote and read: the schema registry would refuse it otherwise."""

import json

import pytest

from chopar.avro import SchemaFiles
from chopar.avro.canonical import canonical_form
from chopar.avro.compatibility import DEFAULT_LEVEL, reasons
from tests.released import released, with_present

FILES = SchemaFiles.shipped()
EARLIER = released()


@pytest.mark.parametrize("record", sorted(FILES.texts))
def test_a_record_fits_all_its_earlier_releases(record: str) -> None:
    earlier = dict(enumerate(EARLIER.get(record, ()), start=1))
    assert reasons(DEFAULT_LEVEL, canonical_form(FILES.texts[record]), earlier) == []


def test_records_of_earlier_releases_are_still_there_to_be_read() -> None:
    assert EARLIER
    assert set(EARLIER) <= set(FILES.texts)


def test_a_release_adds_what_has_changed_in_more_than_words() -> None:
    record = sorted(FILES.texts)[0]
    now = with_present({})
    assert set(now) == set(FILES.texts)
    assert with_present(now) == now
    older = json.loads(json.dumps(now[record][0]))
    older["fields"] = older["fields"][:1]
    assert with_present({**now, record: [older]})[record] == [older, now[record][0]]
    assert '"doc"' not in json.dumps(now)
