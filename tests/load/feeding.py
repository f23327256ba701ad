"""How a run is fed and watched: so many open at once, or at fixed times; what is measured lies in a window.

The askers (`asker.py`, `echo_asker.py`) bring `send`, `open`, `answered`, `latencies`, `freed` and a task that reads.
"""

import argparse
import asyncio
import json
import math
import os
import time
from dataclasses import dataclass
from typing import Any, Protocol

from chopar.cli.bench_run import percentiles
from tests.load.accounting import cpu_of, resident_mib

BATCH = 500
ANSWER_SECONDS = 60.0


class Feedable(Protocol):
    """What asks."""

    open: dict[bytes, Any]
    freed: asyncio.Event
    latencies: list[tuple[float, float]]
    sent: int

    @property
    def answered(self) -> int:
        """How many were answered in full."""

    async def send(self, due: list[float]) -> None:
        """Ask as often as there are times at which it was due."""


@dataclass
class Window:
    """When what is measured ends: known once it has begun, which is late where the first answers are."""

    end: float = math.inf


async def closed_loop(asker: Feedable, in_flight: int, window: Window) -> None:
    """Keep so many open until the window ends."""
    while (now := time.perf_counter()) < window.end:
        room = min(in_flight - len(asker.open), BATCH)
        if room >= min(BATCH, in_flight) // 4 or (room > 0 and len(asker.open) < BATCH):
            await asker.send([now] * room)
        else:
            asker.freed.clear()
            await asker.freed.wait()


async def open_loop(asker: Feedable, rate: float, window: Window) -> None:
    """Send at fixed times, whatever the answers do: a late one is late from when it was due."""
    due_at = time.perf_counter()
    while due_at < window.end:
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        due: list[float] = []
        while due_at <= time.perf_counter() and due_at < window.end:
            due.append(due_at)
            due_at += 1 / rate
        if due:
            await asker.send(due)


async def watched(asker: Feedable, reading: asyncio.Task[None], options: argparse.Namespace) -> dict[str, Any]:
    """Feed, look at both ends of the window, wait for what is open; figures of the window."""
    pids: dict[str, int] = {**json.loads(options.pids), "requester": os.getpid()}
    looks: list[tuple[float, int, dict[str, float]]] = []
    window = Window()

    def look() -> None:
        looks.append((time.perf_counter(), asker.answered, cpu_of(pids)))

    async def look_twice() -> None:
        await asyncio.sleep(options.warm)
        late = time.perf_counter() + ANSWER_SECONDS
        while not asker.answered and time.perf_counter() < late:
            await asyncio.sleep(0.02)
        window.end = time.perf_counter() + options.seconds
        look()
        await asyncio.sleep(options.seconds)
        look()

    looking = asyncio.create_task(look_twice())
    loop = open_loop(asker, options.rate, window) if options.rate else closed_loop(asker, options.in_flight, window)
    feeding = asyncio.create_task(loop)
    await asyncio.wait({feeding, reading}, return_when=asyncio.FIRST_COMPLETED)
    if reading.done():
        reading.result()
    feeding.result()
    await looking
    deadline = time.perf_counter() + ANSWER_SECONDS
    while asker.open and time.perf_counter() < deadline and not reading.done():
        asker.freed.clear()
        await asyncio.wait([reading], timeout=0.05)
    (from_, first, before), (to, last, after) = looks
    # By when a demand was due, not by when it was answered: a pause that swallows the window's end counts.
    took = [took for at, took in asker.latencies if from_ <= at - took <= to] or [t for _, t in asker.latencies]
    return {
        "sent": asker.sent,
        "lost": len(asker.open),
        "exchanges": last - first,
        "seconds": to - from_,
        "rate": options.rate,
        "cpu_seconds": {name: after[name] - before[name] for name in pids},
        "latency_ms": percentiles([seconds * 1000 for seconds in took]),
        "latency_count": len(took),
        "memory_mib": {name: round(resident_mib(pid), 1) for name, pid in pids.items()},
    }


def arguments() -> argparse.ArgumentParser:
    """The options that every asker has."""
    made = argparse.ArgumentParser()
    made.add_argument("--bootstrap", required=True)
    made.add_argument("--pids", default="{}")
    made.add_argument("--warm", type=float, default=2.0)
    made.add_argument("--seconds", type=float, default=6.0)
    made.add_argument("--in-flight", type=int, default=3000)
    made.add_argument("--rate", type=float, default=0.0)
    return made
