"""What a message costs to read and write: our encoders and decoders beside fastavro and pydantic, in turn.

`python -m tests.load.codec_cpu` prints microseconds of CPU a message, medians of interleaved rounds.
"""

import argparse
import io
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import fastavro

from chopar.avro import SchemaFiles, decode_body, decode_message, encode_body
from chopar.messages.demand import Subject
from chopar.messages.evidence import EvidenceProvided, EvidenceRequested, TaxDebt
from chopar.messages.record import Message
from tests.builders import NOW, PERSON, demand, demand_id

FILES = SchemaFiles.shipped()
CALLS = 2000


def messages() -> list[Message]:
    """As they travel in the exchange that the bench measures."""
    evidence = TaxDebt(has_debt=True, fields_given=("has_debt",), source_register="register of taxpayers", as_of=NOW)
    common = {"demand_id": demand_id(), "requester": "electricity-het", "provider": "tax-committee"}
    return [
        demand(),
        EvidenceRequested(
            **common,
            request_id=bytes(32),
            evidence_type="tax-debt",
            subject=Subject(kind="person", id=PERSON),
            fields=("has_debt",),
            procedure="electricity-supply-contract",
            case_id="case-1",
            official="official-7",
            access_ground="VMQ-153-2017-5-4-electricity-het",
            act="Cabinet of Ministers resolution 153 of 2017",
            as_of=NOW,
            due=NOW + timedelta(days=1),
            expires_at=NOW + timedelta(days=7),
        ),
        EvidenceProvided(
            **common,
            request_id=bytes(32),
            evidence_type="tax-debt",
            final=True,
            nonce=bytes(32),
            body=encode_body(FILES.parsed(TaxDebt.RECORD), evidence),
            padding=bytes(700),
        ),
        evidence,
    ]


def ways(message: Message) -> dict[str, Callable[[], object]]:
    """Each way to write and read a message."""
    schema, model = FILES.parsed(message.RECORD), type(message)
    datum: dict[str, Any] = message.to_avro()
    body = encode_body(schema, message)

    def write_by_fastavro() -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, message.to_avro(), disable_tuple_notation=True)
        return out.getvalue()

    return {
        "write": lambda: encode_body(schema, message),
        "write by fastavro": write_by_fastavro,
        "read": lambda: decode_message(body, schema, schema, model),
        "read by fastavro and pydantic": lambda: model.from_avro(fastavro.schemaless_reader(io.BytesIO(body), schema)),
        "read as plain data": lambda: decode_body(body, schema),
        "read as plain data by fastavro": lambda: fastavro.schemaless_reader(io.BytesIO(body), schema),
        "validate": lambda: model.model_validate(datum),
        "construct": lambda: model.model_construct(**datum),
    }


def main() -> None:
    """Print the medians."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7)
    rounds = options.parse_args().rounds
    for message in messages():
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, way in ways(message).items():
                began = time.process_time()
                for _ in range(CALLS):
                    way()
                found.setdefault(name, []).append((time.process_time() - began) / CALLS * 1e6)
        sys.stdout.write(f"{type(message).__name__}\n")
        for name, values in found.items():
            sys.stdout.write(f"  {name:32}{statistics.median(values):7.2f} ({min(values):.2f}-{max(values):.2f})\n")


if __name__ == "__main__":
    main()
