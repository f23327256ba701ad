"""Does a provider keep what Chopar promises of one? What an agency writes down of its own, and the checks of it."""

from chopar.conformance.kit import Finding, check
from chopar.conformance.rig import Case, Conformance, Example

__all__ = ["Case", "Conformance", "Example", "Finding", "check"]
