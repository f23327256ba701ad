"""The table of first records filled by itself: bytes on the disk and CPU for each id. Prints one line of JSON."""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from uuid import UUID

from chopar.bus.port import Record, TopicPartition, partition_of
from chopar.topics import PARTITIONS
from gateway.store import FirstRecords
from tests.load.accounting import folder_bytes, resident_mib

TOPIC = "demand.submitted.electricity-het"
BATCH = 500
PER_MILLISECOND = 2
"""How many ids share a millisecond: a country's peak times twenty-five."""


def uuid7(milliseconds: int) -> UUID:
    """A fresh UUIDv7 of a time."""
    random = int.from_bytes(os.urandom(10), "big")
    bits = milliseconds << 80 | random
    return UUID(int=bits & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62)


def fill(count: int, folder: Path) -> dict[str, float]:
    """Fold so many ids, as they would come."""
    table = FirstRecords(folder)
    offsets = [0] * PARTITIONS
    for partition in range(PARTITIONS):
        table.open(TopicPartition(TOPIC, partition))
    start_ms, before, began = time.time_ns() // 1_000_000, resident_mib(os.getpid()), time.process_time()
    for number in range(count):
        at = start_ms + number // PER_MILLISECOND
        key = str(uuid7(at)).encode()
        partition = partition_of(key, PARTITIONS)
        table.fold(Record(TOPIC, partition, offsets[partition], at, key, key, ()))
        offsets[partition] += 1
        if number % BATCH == BATCH - 1:
            table.write()
    table.write()
    cpu, after = time.process_time() - began, resident_mib(os.getpid())
    ids = sum(table.sizes().values())
    table.close(list(table.sizes()))
    return {
        "ids": ids,
        "bytes_per_id": folder_bytes(folder) / ids,
        "cpu_us_per_id": cpu * 1e6 / ids,
        "memory_grown_mib": after - before,
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--ids", type=int, default=200_000)
    with tempfile.TemporaryDirectory(prefix="chopar-bench-table-") as made:
        sys.stdout.write(json.dumps(fill(arguments.parse_args().ids, Path(made))) + "\n")
