"""From runs to figures: medians and spreads, ratios, and the promises of the design with what was measured. Pure."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

ANSWER_FAULTS = ("lost", "changed", "doubled")
HOPS = 3
"""From the asker to the gateway, to the holder, and back to the asker."""


class Promise(NamedTuple):
    """A figure of the design beside what was measured."""

    name: str
    what: str
    goal: str
    measured: str
    reached: bool | None
    """None: not measured by this run."""


def spread(values: Sequence[float], digits: int = 4) -> dict[str, float]:
    """Median, smallest and largest."""
    return {
        "median": round(statistics.median(values), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
    }


def per_exchange_ms(run: Mapping[str, Any]) -> dict[str, float]:
    """CPU of each process for one exchange, and of all."""
    cost = {name: seconds * 1000 / max(1, run["exchanges"]) for name, seconds in run["cpu_seconds"].items()}
    return {**cost, "total": sum(cost.values())}


def exchange_figures(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of some runs of the same kind."""
    costs = [per_exchange_ms(run) for run in runs]
    percents = [name for name in runs[0]["latency_ms"] if all(name in run["latency_ms"] for run in runs)]
    return {
        "runs": len(runs),
        "rate": spread([run["rate"] for run in runs], 1),
        "exchanges_per_second": spread([run["exchanges"] / run["seconds"] for run in runs], 1),
        "cpu_ms_per_exchange": {name: spread([cost[name] for cost in costs]) for name in costs[0]},
        "latency_ms": {p: spread([run["latency_ms"][p] for run in runs], 2) for p in percents},
        "latency_count": sum(run["latency_count"] for run in runs),
        "memory_mib": {name: spread([run["memory_mib"][name] for run in runs], 1) for name in runs[0]["memory_mib"]},
    }


def efficiency(messages: int, message_ms: float, exchange_ms: float) -> float:
    """What the messages alone would cost, over what the exchange costs."""
    return round(messages * message_ms / exchange_ms, 4)


def ratio(above: float, below: float, digits: int = 2) -> float:
    """One figure over another."""
    return round(above / below, digits) if below else 0.0


def rate_between(samples: Sequence[tuple[float, float]], first: float = 0.1, last: float = 0.9) -> float:
    """How much a second a count grew while it went from one share of its last value to another.

    Args:
        samples: (seconds, count), in order; the last count is the whole.
        first: the share at which it begins, so that a start is not measured.
        last: the share at which it ends.
    """
    whole = samples[-1][1]
    (from_, began), (to, ended) = (
        next(sample for sample in samples if sample[1] >= share * whole) for share in (first, last)
    )
    return (ended - began) / (to - from_) if to > from_ else whole / max(1e-9, samples[-1][0] - samples[0][0])


def answers(runs: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many were asked, and what went wrong, over all runs."""
    return {what: sum(run[what] for run in runs) for what in ("sent", *ANSWER_FAULTS)}


def _judged(
    name: str,
    what: str,
    goal: str,
    value: float | None,
    reached: bool | None,
    unit: str = "",
    by_cpu: float | None = None,
) -> Promise:
    if value is None:
        return Promise(name, what, goal, "not measured", None)
    beside = "" if by_cpu is None else f" (by CPU {by_cpu:g})"
    return Promise(name, what, goal, f"{value:g}{unit}{beside}", reached)


def _at(figures: Mapping[str, Any], *path: str) -> Any:
    found: Any = figures
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def _over(above: Any, below: Any) -> float | None:
    return ratio(above, below) if above is not None and below else None


def _memory(figures: Mapping[str, Any], drained: Mapping[str, Any], beside: str) -> float | None:
    """A gateway's peak over what an idle process beside it has and what the gateway states that it holds."""
    process, stated = _at(figures, beside), _at(figures, "stated_mib")
    if process is None or stated is None:
        return None
    return _over(_at(drained, "peak_mib"), process + sum(stated.values()))


def promises(figures: Mapping[str, Any]) -> list[Promise]:
    """Every figure of section 9 of the design: those that the bench measures, and who measures the others."""
    shipped = _at(figures, "efficiency_shipped")
    saturation: Mapping[str, Any] = _at(figures, "saturation") or {}
    rate = _at(figures, "saturation", "shipped", "exchanges_per_second", "median")
    plain = _over(rate, _at(figures, "saturation", "plain", "exchanges_per_second", "median"))
    usual = _over(rate, _at(figures, "saturation", "faststream_usual", "exchanges_per_second", "median"))
    cost = {kind: _at(found, "cpu_ms_per_exchange", "total", "median") for kind, found in saturation.items()}
    plain_cpu, usual_cpu = (_over(cost.get(kind), cost.get("shipped")) for kind in ("plain", "faststream_usual"))
    idle = _at(figures, "latency", "shipped", "10/s", "latency_ms", "p50", "median")
    hop = round(idle / HOPS, 2) if idle is not None else None
    floor = _at(figures, "latency", "echo_that_waits", "10/s", "latency_ms", "p50", "median")
    floor_hop = round(floor / HOPS, 2) if floor is not None else None
    half = _over(
        _at(figures, "latency", "shipped", "50 %", "latency_ms", "p99", "median"),
        _at(figures, "latency", "echo", "50 %", "latency_ms", "p99", "median"),
    )
    few, many = _at(figures, "drain", "20000"), _at(figures, "drain", "1000000")
    drained = _over(_at(many or {}, "rate"), _at(few or {}, "rate"))
    deepest = many or few or {}
    drained_cpu = _over(_at(few or {}, "cpu_ms_per_demand"), _at(many or {}, "cpu_ms_per_demand"))
    memory, of_packages = (_memory(figures, deepest, beside) for beside in ("idle_mib", "packages_mib"))
    grown = _at(many or {}, "memory_mib", "grown")
    disk = _at(figures, "table", "bytes_per_id")
    disk_gib = round(disk * 1e7 / 2**30, 3) if disk is not None else None
    start = _at(many or {}, "start_with_table_seconds")
    rebuilt = _at(deepest, "start_without_table_seconds")
    behind = "1,000,000" if many else "20,000"
    rows = [
        _judged("P1", "efficiency as shipped", "0.30", shipped, (shipped or 0) >= 0.30),
        _judged("P2", "times the plain loop's rate", "10", plain, (plain or 0) >= 10, by_cpu=plain_cpu),
        _judged("P2", "times the rate of FastStream's usual style", "10", usual, (usual or 0) >= 10, by_cpu=usual_cpu),
        _judged("P3", "a hop when idle (10/s), median", "2 ms", hop, (hop or 9) <= 2, " ms"),
        _judged("", "the same of an echo that waits as ours does", "the floor", floor_hop, None, " ms"),
        _judged("P3", "p99 at half load, times the echo's at that rate", "4", half, (half or 9) <= 4),
        _judged(
            "P4", "drain rate behind 1,000,000 over 20,000", "0.9", drained, (drained or 0) >= 0.9, by_cpu=drained_cpu
        ),
        _judged("P4", f"memory behind {behind}, times idle aiokafka and state", "1.5", memory, (memory or 9) <= 1.5),
        _judged("", "the same, times the named packages, idle, and state", "the floor: 1", of_packages, None),
        _judged("", "memory at nine tenths of a million over a tenth", "flat: 1.05", grown, (grown or 9) <= 1.05),
        _judged("", "start behind 1,000,000 with the table", "30 s", start, (start or 99) <= 30, " s"),
        _judged("", f"start behind {behind} without it", "as reading takes", rebuilt, None, " s"),
        _judged("", "ten million ids on the disk", "1 GiB", disk_gib, (disk_gib or 9) <= 1, " GiB"),
    ]
    others = [
        ("R1", "nothing lost, nothing acted on twice", "0 and 0", "make test-fault"),
        ("R2", "longest silence after a kill: broker, worker", "10 s, 8 s", "make test-fault"),
        ("R3", "mutated records; simulation seeds", "100,000; 10,000", "make test"),
        ("R4", "two gateways on one log", "equal byte for byte", "make test"),
        ("T1", "the log verifies with foreign code", "six mutations found", "make verify-log"),
        ("U1", "clean machine to the first document; make test", "60 s; 10 min", "CI"),
    ]
    return rows + [Promise(name, what, goal, f"by {where}", None) for name, what, goal, where in others]
