"""A dead letter always fits: whole where it can be, cut where a broker took more than it gives back."""

import hashlib

import pytest

from chopar.bus.dead_letter import LARGEST_BYTES, Cut, dead_letter, read_dead_letter
from chopar.bus.port import Headers, Outgoing, Record, size_bytes
from chopar.errors import UndecodableError
from chopar.identifiers import agency_id
from chopar.topics import DEAD_LETTER_SUFFIX, layouts

MEBIBYTE = 1024 * 1024
LONG_TOPIC = "t" * (249 - len(DEAD_LETTER_SUFFIX))
OURS: Headers = (("ce_id", b"a" * 256), ("traceparent", b"00"))


def letter_of(key: bytes | None, value: bytes | None, headers: Headers = OURS) -> Outgoing:
    record = Record(LONG_TOPIC, 5, 2**62, 2**41, key, value, headers)
    return dead_letter(
        record, code="c" * 40, group="g" * 200, first_failed_ms=2**41, last_failed_ms=2**41, attempts=2**31
    )


def as_read(letter: Outgoing) -> Record:
    return Record(letter.topic, 0, 0, 0, letter.key, letter.value, letter.headers)


def test_every_dead_letter_topic_takes_the_largest_letter() -> None:
    agency = agency_id("tax-committee")
    dead = [layout for layout in layouts([agency], [agency]) if layout.name.endswith(DEAD_LETTER_SUFFIX)]
    assert dead
    assert {int(layout.settings["max.message.bytes"]) for layout in dead} == {LARGEST_BYTES}


@pytest.mark.parametrize("key_bytes", [36, 500_000])
def test_whatever_a_topic_takes_uncompressed_is_kept_whole(key_bytes: int) -> None:
    value = bytes(MEBIBYTE - key_bytes)
    letter = letter_of(bytes(key_bytes), value)
    assert size_bytes(letter) <= LARGEST_BYTES
    noted, original = read_dead_letter(as_read(letter))
    assert noted.cut is None
    assert (original.key, original.value, original.headers) == (bytes(key_bytes), value, OURS)


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"key", bytes(20 * MEBIBYTE)), (b"k" * 2 * MEBIBYTE, b"small"), (None, b"v" * 2 * MEBIBYTE)],
    ids=["value", "key", "no key"],
)
def test_what_does_not_fit_is_cut_and_says_what_it_was(key: bytes | None, value: bytes) -> None:
    letter = letter_of(key, value)
    assert size_bytes(letter) <= LARGEST_BYTES
    noted, original = read_dead_letter(as_read(letter))
    assert noted.cut == Cut(len(key or b""), len(value), hashlib.sha256(value).hexdigest())
    assert dict(letter.headers)["dlq_cut"] == b"true"
    assert (noted.code, noted.topic, noted.offset) == ("c" * 40, LONG_TOPIC, 2**62)
    assert original.value == value[:65_536]
    assert original.key == (key and key[:65_536])
    assert original.headers == OURS


def test_a_header_that_comes_very_often_is_kept_once() -> None:
    many = tuple(("ce_id", b"%d" % number) for number in range(200_000))
    letter = letter_of(b"key", b"value", many)
    assert size_bytes(letter) <= LARGEST_BYTES
    noted, original = read_dead_letter(as_read(letter))
    assert noted.cut is not None
    assert original.headers == (("ce_id", b"0"),), "the first is the one that counts"


def test_a_cut_letter_without_its_sizes_is_not_one_of_ours() -> None:
    letter = letter_of(b"key", bytes(2 * MEBIBYTE))
    headers = tuple(header for header in letter.headers if header[0] != "dlq_value_bytes")
    with pytest.raises(UndecodableError, match="dlq_value_bytes"):
        read_dead_letter(as_read(letter._replace(headers=headers)))
