"""Everything that an answer is made with while one activation holds: lists, schemas, secret, rules.

Made once from what lies on disk, checked against the activation, and pure from then on.
"""

import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from chopar.avro import ParsedSchema, decode_body, encode_body, frame, parse_schema, unframe
from chopar.errors import ConfigurationError, LawIncompleteError, UndecodableError
from chopar.messages.demand import Demand, DemandResolved, FetchMode
from chopar.messages.dispute import EvidenceDisputed
from chopar.messages.evidence import EvidenceRequested
from chopar.messages.exchange import ExchangeRecorded
from chopar.messages.law import ListActivated
from chopar.messages.record import Message
from chopar.secret_files import read_secret
from gateway.bundle import load, schema_texts
from gateway.list_version import ListVersion

_M = TypeVar("_M", bound=Message)

RULES_NUMBER = 2
"""Number of the resolver's rules and limits. A change of outcome by code alone gets the next one.

2: the directory may name alternatives, and a demand may follow another and pass over whom that one asked. By lists
and demands without these the outcomes are those of 1.
"""

KNOWN_RULES = frozenset({RULES_NUMBER - 1, RULES_NUMBER})
_WITHOUT_ALTERNATIVES = 1

ACCEPTED = (Demand, EvidenceDisputed)
"""Records that agencies may write on `demand.submitted`. A list version may lack disputes: then there are none."""

OUTPUTS = (DemandResolved, EvidenceRequested, ExchangeRecorded)
"""Records that the gateway writes."""


def secret_name(version: int) -> str:
    """The file name of a version of the gateway's secret."""
    return f"gateway-{version}"


def secret_check(secret: bytes) -> bytes:
    """The check value of a secret: tells whether two gateways hold the same one."""
    return hmac.digest(secret, b"chopar gateway secret check", "sha256")[:8]


class Standing:
    """What holds.

    Args:
        message: the activation.
        files: the bundle that it names.
        secret: the secret whose version it names.

    Raises:
        LawIncompleteError: secret, schema texts or rules are not those of the activation.
    """

    def __init__(self, message: ListActivated, files: Mapping[str, bytes], secret: bytes) -> None:
        if message.rules_number not in KNOWN_RULES:
            raise LawIncompleteError(
                f"rules {message.rules_number} are in force; this gateway knows {sorted(KNOWN_RULES)}"
            )
        if not hmac.compare_digest(secret_check(secret), message.secret_check):
            raise LawIncompleteError(f"the gateway's secret {message.secret_version} is not the one in force")
        self.lists = ListVersion.from_files(files)
        if self.lists.alternatives and message.rules_number == _WITHOUT_ALTERNATIVES:
            raise LawIncompleteError("the lists name alternatives, and the rules in force know none: activate again")
        self.list_digest = message.list_digest
        self.fetch_mode: FetchMode = message.fetch_mode
        self.rules_number = message.rules_number
        self.secret = secret
        texts = schema_texts(files)
        self._accepted: dict[str, dict[int, ParsedSchema]] = {model.RECORD: {} for model in ACCEPTED}
        self._outputs: dict[str, tuple[int, ParsedSchema]] = {}
        for schema in message.schemas:
            text = texts.get(schema.sha256)
            if text is None:
                raise LawIncompleteError(f"the schema of {schema.record} is not the one in force")
            parsed = parse_schema(text)
            if schema.record in self._accepted:
                self._accepted[schema.record][schema.id] = parsed
            # The first of a record is the one that is written, and read by; others are of libraries of before.
            self._outputs.setdefault(schema.record, (schema.id, parsed))
        missing = {model.RECORD for model in (Demand, *OUTPUTS)} - set(self._outputs)
        if missing:
            raise LawIncompleteError(f"no schema was activated for {', '.join(sorted(missing))}")

    @classmethod
    def from_disk(cls, message: ListActivated, *, home: Path, lists_folder: Path) -> "Standing":
        """Read what an activation names.

        Raises:
            LawIncompleteError: something of it is not here.
            LawUnreadableError: the bundle was changed or cannot be understood.
        """
        try:
            secret = read_secret(home, secret_name(message.secret_version))
        except ConfigurationError as error:
            raise LawIncompleteError(str(error)) from error
        return cls(message, load(message.list_digest, lists_folder), secret)

    def decode_demand(self, value: bytes) -> Demand:
        """Read a demand by the schemas that are accepted.

        Raises:
            RecordError: it cannot be read; for the asker all of these are `unreadable`.
        """
        return self._decode_accepted(value, Demand)

    def decode_dispute(self, value: bytes) -> EvidenceDisputed:
        """Read a dispute by the schemas that are accepted.

        Raises:
            RecordError: it cannot be read.
        """
        return self._decode_accepted(value, EvidenceDisputed)

    def _decode_accepted(self, value: bytes, model: type[_M]) -> _M:
        schema_id, body = unframe(value)
        writer = self._accepted[model.RECORD].get(schema_id)
        if writer is None:
            raise UndecodableError(f"not a schema that is accepted of {model.__name__}")
        return model.from_avro(decode_body(body, writer, self._outputs[model.RECORD][1]))

    def decode_request(self, value: bytes) -> EvidenceRequested:
        """Read a request that the gateway has made by this.

        Raises:
            RecordError: it was made by something else.
        """
        schema_id, body = unframe(value)
        known, schema = self._outputs[EvidenceRequested.RECORD]
        if schema_id != known:
            raise UndecodableError("not a request by the schema that is in force")
        return EvidenceRequested.from_avro(decode_body(body, schema))

    @property
    def accepted(self) -> Mapping[int, ParsedSchema]:
        """The schemas that are accepted for demands, by id."""
        return self._accepted[Demand.RECORD]

    def encode(self, message: Message) -> bytes:
        """The framed value of one of the gateway's outputs.

        Raises:
            TooLargeError: see `chopar.avro.encode_body`.
        """
        schema_id, schema = self._outputs[message.RECORD]
        return frame(schema_id, encode_body(schema, message))
