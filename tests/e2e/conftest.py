"""The fixtures of end-to-end tests, for pytest to find."""

from tests.e2e.stack_fixture import cli, firms, people, pinfl, stack

__all__ = ["cli", "firms", "people", "pinfl", "stack"]
