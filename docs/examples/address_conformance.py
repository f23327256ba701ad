"""What `chopar provider check address_conformance:conformance` tries the provider with."""

from pathlib import Path

from address_provider import ENTRIES, RegisteredAddress, provider

from chopar import PersonId, SchemaFiles
from chopar.conformance import Case, Conformance, Example

FILES = SchemaFiles.shipped().with_texts(SchemaFiles.from_folder(Path(__file__).parent / "schemas").texts)


def conformance() -> Conformance:
    known, unknown = Example(PersonId("30101900010018")), Example(PersonId("43112990020153"))
    case = Case("registered-address", RegisteredAddress, hit=known, unknown=unknown)
    return Conformance(provider, ENTRIES, [case], FILES)
