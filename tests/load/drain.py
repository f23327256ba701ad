"""The gateway behind many waiting demands: how fast it drains them, how much memory that takes, how fast it starts.

Nobody answers meanwhile: the demands stay open, and the tax service is not running. Every wait has its bound, so that a
gateway that stands or a machine that is too busy ends the run with what was measured.
"""

import shutil
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.load.accounting import cpu_seconds, folder_bytes, resident_mib
from tests.load.asker import AGENCY
from tests.load.figures import rate_between
from tests.load.running import child, counting
from tests.load.stack import Stack

LOOK_SECONDS = 0.5
LONGEST_FEED_SECONDS = 900.0
LONGEST_START_SECONDS = 900.0
STANDS_SECONDS = 60.0
"""Without one more answer for so long, it is not slow but stands: what is missing is lost."""
SLOWEST_A_SECOND = 700.0
"""A drain that would take longer is broken off: what was measured counts, and it is said that it was not the whole."""
NEW = 120
"""So many ids fall into all partitions."""
SHARES = (0.1, 0.5, 0.9)
"""Of the demands, when memory is looked at: from the first to the last of them it must not grow."""


class Sample(NamedTuple):
    """One look at a gateway that drains."""

    at: float
    answered: int
    memory_mib: float


def drain(here: Stack, count: int) -> dict[str, Any]:
    """Put so many demands on the log, then start the gateway and watch."""
    fed = feed(here, count)
    topic = f"demand.resolved.{AGENCY}"
    with counting(here, topic) as count_now:
        before = count_now()
    samples: list[Sample] = []
    began = time.monotonic()
    with here.running("gateway"), counting(here, topic) as count_now:
        pid = here.pids["gateway"]
        cpu_before = cpu_seconds(pid)
        end = time.monotonic() + STANDS_SECONDS + count / SLOWEST_A_SECOND
        stands_at = time.monotonic() + STANDS_SECONDS
        while (now := time.monotonic()) < min(end, stands_at):
            answered = count_now() - before
            if not samples or answered > samples[-1].answered:
                stands_at = now + STANDS_SECONDS
            samples.append(Sample(now, answered, resident_mib(pid)))
            if answered >= count:
                break
            time.sleep(LOOK_SECONDS)
        cpu, peak = cpu_seconds(pid) - cpu_before, here.peak_mib("gateway")
    answered = samples[-1].answered
    broken_off = answered < count and time.monotonic() < stands_at
    table = here.home / "gateway" / "first_records"
    found: dict[str, Any] = {
        "count": count,
        "answered": answered,
        "fed_a_second": round(count / fed["seconds"], 1),
        "lost": 0 if broken_off else max(0, count - answered),
        "doubled": max(0, answered - count),
        "rate": round(rate_between([(sample.at, sample.answered) for sample in samples]), 1),
        "cpu_ms_per_demand": round(cpu * 1000 / max(1, answered), 4),
        "memory_mib": memory_at(samples),
        "peak_mib": round(peak, 1),
        "table_bytes": folder_bytes(table),
        "samples": [
            (round(one.at - samples[0].at, 2), one.answered, round(one.memory_mib, 1))
            for one in samples[:: max(1, len(samples) // 60)]
        ],
    }
    if answered >= count:
        found["start_with_table_seconds"] = round(started(here), 2)
        shutil.rmtree(table)
        found["start_without_table_seconds"] = round(started(here), 2)
    found["took_seconds"] = round(time.monotonic() - began, 1)
    return found


def memory_at(samples: Sequence[Sample]) -> dict[str, float]:
    """Memory when a share of the demands was answered, and by what factor it grew from the first share to the last."""
    last = samples[-1].answered
    seen = [next(one for one in samples if one.answered >= share * last).memory_mib for share in SHARES]
    named = {f"{share:.0%}": round(memory, 1) for share, memory in zip(SHARES, seen, strict=True)}
    return {**named, "grown": round(seen[-1] / max(seen[0], 0.1), 3)}


def feed(here: Stack, count: int) -> dict[str, Any]:
    """Put so many demands on the log."""
    options = ["--bootstrap", here.bootstrap, "--registry", here.registry, "--count", str(count)]
    return child(here, "feeder", *options, limit=LONGEST_FEED_SECONDS)


def started(here: Stack) -> float:
    """How long the gateway takes from its start until it has answered some new demands, in every partition."""
    topic = f"demand.resolved.{AGENCY}"
    with counting(here, topic) as count_now:
        due = count_now() + NEW
        feed(here, NEW)
        began = time.monotonic()
        with here.running("gateway", ready=LONGEST_START_SECONDS):
            while count_now() < due:
                if time.monotonic() - began > LONGEST_START_SECONDS:
                    raise RuntimeError("the gateway does not answer after a start")
                time.sleep(0.1)
            return time.monotonic() - began
