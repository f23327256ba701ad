"""The gateway behind many waiting demands: how fast it drains them, how much memory that takes, how fast it starts.

Nobody answers meanwhile: the demands stay open, and the tax service is not running.
"""

import shutil
import time
from typing import Any

from tests.load.accounting import cpu_seconds, folder_bytes, resident_mib
from tests.load.asker import AGENCY
from tests.load.figures import rate_between
from tests.load.running import child, counting
from tests.load.stack import Stack

LOOK_SECONDS = 0.5
LONGEST_SECONDS = 3600.0
NEW = 120
"""So many ids fall into all partitions."""
SLOWEST_A_SECOND = 150.0
"""Slower than that counts as hanging."""


def drain(here: Stack, count: int) -> dict[str, Any]:
    """Put so many demands on the log, then start the gateway and watch."""
    fed = feed(here, count)
    answered = f"demand.resolved.{AGENCY}"
    with counting(here, answered) as count_now:
        before = count_now()
    samples: list[tuple[float, float]] = []
    memory: list[float] = []
    deadline = time.monotonic() + 60 + count / SLOWEST_A_SECOND
    with here.running("gateway"), counting(here, answered) as count_now:
        pid = here.pids["gateway"]
        began = cpu_seconds(pid)
        while not samples or samples[-1][1] < count:
            if time.monotonic() > deadline:
                break
            samples.append((time.monotonic(), count_now() - before))
            memory.append(resident_mib(pid))
            time.sleep(LOOK_SECONDS)
        cpu, peak = cpu_seconds(pid) - began, here.peak_mib("gateway")
    table = here.home / "gateway" / "first_records"
    found: dict[str, Any] = {
        "count": count,
        "fed_a_second": round(count / fed["seconds"], 1),
        "lost": int(max(0, count - samples[-1][1])),
        "doubled": int(max(0, samples[-1][1] - count)),
        "rate": round(rate_between(samples), 1),
        "cpu_ms_per_demand": round(cpu * 1000 / count, 4),
        "memory_mib": {"first": round(memory[0], 1), "last": round(memory[-1], 1)},
        "peak_mib": round(peak, 1),
        "table_bytes": folder_bytes(table),
        "samples": [
            (round(at - samples[0][0], 2), int(number)) for at, number in samples[:: max(1, len(samples) // 60)]
        ],
    }
    found["start_with_table_seconds"] = round(started(here), 2)
    shutil.rmtree(table)
    found["start_without_table_seconds"] = round(started(here), 2)
    return found


def feed(here: Stack, count: int) -> dict[str, Any]:
    """Put so many demands on the log."""
    options = ["--bootstrap", here.bootstrap, "--registry", here.registry, "--count", str(count)]
    return child(here, "feeder", *options, limit=LONGEST_SECONDS)


def started(here: Stack) -> float:
    """How long the gateway takes from its start until it has answered some new demands, in every partition."""
    topic = f"demand.resolved.{AGENCY}"
    with counting(here, topic) as count_now:
        due = count_now() + NEW
        feed(here, NEW)
        began = time.monotonic()
        with here.running("gateway", ready=LONGEST_SECONDS):
            while count_now() < due:
                if time.monotonic() - began > LONGEST_SECONDS:
                    raise RuntimeError("the gateway does not answer after a start")
                time.sleep(0.1)
            return time.monotonic() - began
