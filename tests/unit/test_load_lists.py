"""The programs that measure large lists make lists that can be read: they are run by hand, and rarely."""

from datetime import date

from gateway.lint import lint
from gateway.list_version import ListVersion
from tests.load import lists_cpu, resolver_cpu
from tests.oracle.asking import lists


def test_enlarged_lists_are_lists() -> None:
    files = lists_cpu.enlarged(150)
    version = ListVersion.from_files(files)
    assert len(version.prohibited) == len(lists().prohibited) + 150
    assert lint(version, date(2026, 11, 26))


def test_lists_enlarged_for_the_resolver_are_resolved_by() -> None:
    version = resolver_cpu.enlarged(150)
    assert (len(version.prohibited), len(version.procedures)) == (150, resolver_cpu.PROCEDURES)
    assert resolver_cpu.documents_a_second(version, 2) > 0
