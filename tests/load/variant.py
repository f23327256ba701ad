"""Runs a process of ours otherwise than it ships: other partition counts, other agencies, a safety feature taken out.

`python -m tests.load.variant OPTIONS MODULE ARGUMENTS...`. The switches exist here alone: the product has none. Each
one fails if what it replaces is not there any more, so that no figure is of something else than it says.
"""

import argparse
import runpy
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

FEATURES = ("validation", "access_record", "dedupe")


def replace(owner: Any, name: str, value: Any) -> None:
    """Replace an attribute that is there."""
    if not hasattr(owner, name):
        raise AttributeError(f"{owner} has no {name}: the bench has to follow the code")
    setattr(owner, name, value)


def with_partitions(count: int) -> None:
    """All topics of a demand's way have so many partitions; to be called before anything else is imported."""
    from chopar import topics

    usual = topics.PARTITIONS
    replace(topics, "PARTITIONS", count)
    for topic in topics.TOPICS:
        if topic.partitions == usual:
            object.__setattr__(topic, "partitions", count)


def with_agencies(count: int) -> None:
    """So many agencies are connected: the two that it takes, others of the lists, and behind them silent ones."""
    from chopar.identifiers import agency_id
    from gateway import list_version
    from tests.load.asker import AGENCY

    read = list_version.connected_agencies

    def chosen(folder: Any) -> Any:
        listed = read(folder)
        needed = (AGENCY, "tax-committee")
        others = [*(agency for agency in listed if agency not in needed), *silent_agencies(count)]
        return [agency_id(agency) for agency in [*needed, *others][:count]]

    replace(list_version, "connected_agencies", chosen)


def silent_agencies(count: int) -> list[str]:
    """Names of agencies that are on no list."""
    return [f"load-{number:03d}" for number in range(count)]


class NoTable:
    """A table of first records that holds nothing: every record is the first of its id."""

    def __init__(self, folder: Any = None, is_dispute: Any = None) -> None:
        pass

    def open(self, partition: Any) -> None:
        """Nothing was folded."""

    def clear(self, partition: Any) -> None:
        """Nothing is there."""

    def close(self, partitions: Iterable[Any]) -> None:
        """Nothing is held."""

    def fold(self, record: Any) -> None:
        """Nothing is kept."""

    def first(self, record: Any, demand_id: Any = None) -> None:
        """Nothing was seen."""

    def write(self) -> None:
        """Nothing is written."""

    def forget_before(self, partition: Any, offset: int, timestamp_ms: int) -> int:
        """Nothing is forgotten."""
        return 0

    def sizes(self) -> Mapping[Any, int]:
        """Nothing."""
        return {}


def without_dedupe() -> None:
    """No table of first records: a repetition is answered as if it were new."""
    from gateway import handlers

    async def nothing_read(*_: Any) -> int:
        return 0

    replace(handlers, "FirstRecords", NoTable)
    replace(handlers, "rebuild", nothing_read)


def without_access_record() -> None:
    """No ExchangeRecorded is sent by anybody. A provider still encodes it: with its answer, in one go."""
    from chopar.bus.consume import Outputs
    from chopar.provider.provider import ProviderHandler
    from chopar.topics import EXCHANGE_RECORDED
    from gateway.handlers import GatewayHandler

    recorded = EXCHANGE_RECORDED.of()
    answered, provided = GatewayHandler.handle, ProviderHandler._outputs

    def silent(outputs: Outputs) -> Outputs:
        return Outputs(tuple(out for out in outputs.before if out.topic != recorded), outputs.after)

    replace(GatewayHandler, "handle", lambda self, record: silent(answered(self, record)))
    replace(ProviderHandler, "_outputs", lambda self, *given: silent(provided(self, *given)))


def without_validation() -> None:
    """Nothing is checked of what was decoded: no lengths, no ranges, no check digits. What is converted still is."""
    from dataclasses import replace as changed

    from chopar.avro.reader import _Maker
    from gateway import rendering

    conditions, checks = _Maker._conditions, rendering._checks

    def unchecked(self: Any, check: Any, target: str, pad: str) -> Iterator[str]:
        bare = None if check is None else changed(check, least=None, most=None, smallest=None)
        return conditions(self, bare, target, pad)

    def nothing_checked(demand: Any) -> tuple[Callable[[str], None], ...]:
        return tuple(lambda text: None for _ in checks(demand))

    replace(_Maker, "_conditions", unchecked)
    replace(rendering, "_checks", nothing_checked)


WITHOUT: dict[str, Callable[[], None]] = {
    "validation": without_validation,
    "access_record": without_access_record,
    "dedupe": without_dedupe,
}


def main() -> None:
    """Change what is asked for, then be that module."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--partitions", type=int)
    arguments.add_argument("--agencies", type=int)
    arguments.add_argument("--without", choices=FEATURES, action="append", default=[])
    arguments.add_argument("module")
    arguments.add_argument("rest", nargs=argparse.REMAINDER)
    options = arguments.parse_args()
    sys.argv = [options.module, *options.rest]
    if options.partitions:
        with_partitions(options.partitions)
    for feature in options.without:
        WITHOUT[feature]()
    if options.agencies:
        with_agencies(options.agencies)
    runpy.run_module(options.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
