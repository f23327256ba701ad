"""Every error that leaves a public function of Chopar, on one page.

    ChoparError                     code, retriable
      IdentifierError               a value is not what it should be; never repeats the value
        MalformedIdentifierError      malformed_identifier
        WrongIdentifierKindError      wrong_identifier_kind   (a STIR where a PINFL is due, and the reverse)
        ForbiddenCharactersError      forbidden_characters    (control, right-to-left, full-width, NUL)
      RecordError                   a record on a topic cannot be handled; it becomes a dead letter
        NotOurFramingError            not_our_framing         (magic byte, length)
        UndecodableError              undecodable             (truncated, random, trailing bytes, not a model)
        UnknownSchemaError            unknown_schema          (the schema registry does not know the id)
        WrongRecordError              wrong_record            (a schema of another record)
        TooLargeError                 too_large               (over the topic's limit)
        UnsolicitedAnswerError        unsolicited_answer      (an answer to no demand of ours)
        DisputeRefusedError           dispute_refused         (of no answer that it could be about)
        HandlerFailedError            handler_failed          (our code failed on it three times)
        KilledItsProcessError         killed_its_process      (three processes died while they handled it)
      UnavailableError (retriable)  a thing we depend on does not answer; try again later
        BrokerUnavailableError        broker_unavailable
          NoLongerMemberError           no_longer_member        (a consumer group has gone on without this process)
        SchemaRegistryUnavailableError  schema_registry_unavailable
        SchemaNotYetKnownError        schema_not_yet_known    (asked again for a while, then UnknownSchemaError)
        RegisterUnavailableError      register_unavailable
        StoreUnavailableError         store_unavailable       (what this process keeps on disk cannot be written)
        DeliveryError                 delivery_failed         (the broker did not acknowledge)
          NoSuchTopicError              no_such_topic           (the broker knows no such topic or partition)
        LawIncompleteError            law_incomplete          (a list version, secret or rules number is not here yet)
        LawNotReadError               law_not_read            (what holds at a record's time is not known yet)
      StopError                     this process must not go on; somebody has to look
        OffsetOutOfRangeError         offset_out_of_range     (records were deleted before they were read)
        TopicReplacedError            topic_replaced          (a topic was deleted and made again under its reader)
        TopicLayoutError              topic_layout            (partitions or settings are not those of topics.py)
        FencedError                   fenced                  (another process has taken over as the one writer)
        FirstRecordsLostError         first_records_lost      (what decides on repetitions may have left the log)
        LawUnreadableError            law_unreadable          (an activation or a list cannot be understood)
        RegisterRevisionError         register_revision       (a database's tables are not those of this version)
      ConfigurationError            a setting, an address or a file is wrong; says which and what to do
        IncompatibleSchemaError       incompatible_schema     (a schema that does not fit its earlier versions)
      NotFoundError                 what was asked for by name does not exist
      InvalidEntryError             an entry breaks the rules of the register it is meant for
      NotAnEffectError              an answer that the inbox cannot act on: not final, or of no document of the demand

The consume loop decides by `retriable` alone: read again with back-off, or the dead letter topic at once. What the
law or the business expects (no ground, no such record) is a message with a code, not an exception.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class ChoparError(Exception):
    """The base of all. `code` is stable text that is published; `retriable` says whether a later try can succeed."""

    code: ClassVar[str] = "error"
    retriable: ClassVar[bool] = False


class IdentifierError(ChoparError):
    """A value that should identify a person, business or object does not. The message never repeats the value."""

    code = "malformed_identifier"


class MalformedIdentifierError(IdentifierError):
    """Wrong length, wrong check digit, an impossible date: ask again."""


class WrongIdentifierKindError(IdentifierError):
    """The identifier of another kind of subject stands where this one is due."""

    code = "wrong_identifier_kind"


class ForbiddenCharactersError(IdentifierError):
    """Control, right-to-left or full-width characters, or NUL."""

    code = "forbidden_characters"


class RecordError(ChoparError):
    """A record that cannot be handled, now or later."""

    code = "bad_record"


class NotOurFramingError(RecordError):
    """The value does not begin with the magic byte 0 and a 4-byte schema id."""

    code = "not_our_framing"


class UndecodableError(RecordError):
    """The body does not decode by its schema, has bytes left over, or is not a valid message."""

    code = "undecodable"


class UnknownSchemaError(RecordError):
    """The schema registry says that it does not know this schema id."""

    code = "unknown_schema"


class WrongRecordError(RecordError):
    """The schema id belongs to a record that does not travel on this topic."""

    code = "wrong_record"


class TooLargeError(RecordError):
    """The record is larger than its topic takes."""

    code = "too_large"


class UnsolicitedAnswerError(RecordError):
    """An answer whose request id belongs to no demand of this requester."""

    code = "unsolicited_answer"


class DisputeRefusedError(RecordError):
    """A dispute of nothing that was asked, or of something whose time is over; the message says which."""

    code = "dispute_refused"


class HandlerFailedError(RecordError):
    """Our own code failed on this record, three times."""

    code = "handler_failed"


class KilledItsProcessError(RecordError):
    """Three processes died, without a word, while they handled this record."""

    code = "killed_its_process"


class UnavailableError(ChoparError):
    """A dependency does not answer; a later try can succeed."""

    code = "unavailable"
    retriable = True


class BrokerUnavailableError(UnavailableError):
    """No broker answers, or it refuses us."""

    code = "broker_unavailable"


class NoLongerMemberError(BrokerUnavailableError):
    """A consumer group has gone on without this member, or is being divided anew; it joins again by itself."""

    code = "no_longer_member"


class SchemaRegistryUnavailableError(UnavailableError):
    """The schema registry does not answer, and the schema is not cached."""

    code = "schema_registry_unavailable"


class SchemaNotYetKnownError(UnavailableError):
    """The schema registry does not know the id yet (a follower may lag); asked again until a deadline."""

    code = "schema_not_yet_known"


class RegisterUnavailableError(UnavailableError):
    """The register (database) of a service does not answer."""

    code = "register_unavailable"


class StoreUnavailableError(UnavailableError):
    """A file that this process keeps for itself cannot be read or written: a full disk, a lock."""

    code = "store_unavailable"


class DeliveryError(UnavailableError):
    """The broker did not acknowledge what was sent."""

    code = "delivery_failed"


class NoSuchTopicError(DeliveryError):
    """The broker knows no topic or partition of this name: it is made later, or never."""

    code = "no_such_topic"


class LawIncompleteError(UnavailableError):
    """A list version, secret, schema or rules number that is in force is not on this machine: paused, with an alarm."""

    code = "law_incomplete"


class LawNotReadError(UnavailableError):
    """`law.activated` was not read far enough to say what holds at a record's time."""

    code = "law_not_read"


class StopError(ChoparError):
    """Going on would lose or falsify something; the process stops with an alarm."""

    code = "stopped"


class OffsetOutOfRangeError(StopError):
    """The records at the committed offset are gone: something was deleted before it was read."""

    code = "offset_out_of_range"


class TopicReplacedError(StopError):
    """A topic was deleted and made again under its reader: to read on by the old offset would skip what is new."""

    code = "topic_replaced"


class TopicLayoutError(StopError):
    """A topic's partitions or settings differ from `topics.py`."""

    code = "topic_layout"


class FencedError(StopError):
    """A newer incarnation of this writer has started; this one must not write any more."""

    code = "fenced"


class FirstRecordsLostError(StopError):
    """What tells a repeated demand from a new one is neither on disk nor in the log any more."""

    code = "first_records_lost"


class LawUnreadableError(StopError):
    """A record of `law.activated`, or a list version, cannot be understood."""

    code = "law_unreadable"


class RegisterRevisionError(StopError):
    """A database is of a newer revision than this code, of none that it knows, or a migration of it failed."""

    code = "register_revision"


class ConfigurationError(ChoparError):
    """A setting, an address or a file is wrong; the message says which and what to do."""

    code = "configuration"


class IncompatibleSchemaError(ConfigurationError):
    """The schema registry refuses schemas that do not fit earlier versions; the message says where and why.

    Args:
        reasons: for each record, by full name, one sentence for each place.
    """

    code = "incompatible_schema"

    def __init__(self, reasons: Mapping[str, Sequence[str]]) -> None:
        lines = []
        for subject, said in reasons.items():
            lines += [f"{subject} does not fit its earlier versions:", *(f"  {sentence}" for sentence in said)]
        super().__init__("\n".join(lines))
        self.reasons = {subject: tuple(said) for subject, said in reasons.items()}


class NotFoundError(ChoparError):
    """What was asked for by name does not exist."""

    code = "not_found"


class InvalidEntryError(ChoparError):
    """An entry breaks the rules of the register it is meant for; the message says which rule and repeats no value."""

    code = "invalid_entry"


class NotAnEffectError(ChoparError):
    """An answer that is not acted on: it is not final, or of no document of the demand that it is said to be of."""

    code = "not_an_effect"
