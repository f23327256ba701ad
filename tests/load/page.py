"""The result of a bench as one HTML page that needs nothing else: the promises, plots, tables. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from tests.load.figures import Promise
from tests.load.plots import Bar, bars, lines, number, stacked

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #ddd}
svg{width:100%;height:auto}svg text{font-size:12px;fill:#222}.e{text-anchor:end}.m{text-anchor:middle}
.s{stroke:#111;stroke-width:1.5}.g{stroke:#ddd}.yes{color:#2a7d46}.no{color:#b3382c}.none{color:#777}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181a1b}svg text{fill:#ddd}th,td{border-color:#444}
.s{stroke:#eee}.g{stroke:#444}}
"""
_WITHOUT = "start_without_table_seconds"
SAID = {True: ("yes", "reached"), False: ("no", "not reached"), None: ("none", "")}


def page(result: Mapping[str, Any], promises: Sequence[Promise]) -> str:
    """The whole page."""
    figures, machine = result["figures"], result["machine"]
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    records = "C" if machine["aiokafka_c_records"] else "pure Python"
    parts = [
        f"<h1>Chopar {escape(result['version'])}, measured {escape(result['measured_at'][:16])} UTC</h1>",
        f"<p>{machine['cores']} cores ({escape(machine['processor'])}), {machine['memory_gib']} GiB, "
        f"Python {escape(machine['python'])}, {escape(libraries)}; aiokafka's records in {records}. Load average at "
        f"the start of each round: {', '.join(map(str, result['load_average']))}. CPU is user and system time of the "
        "processes; rates and latencies are this machine's, shared by broker, services and asker.</p>",
        "<h2>What is promised</h2>",
        table(
            ("", "figure", "goal", "measured", ""),
            [(row.name, row.what, row.goal, row.measured, SAID[row.reached][1]) for row in promises],
            [SAID[row.reached][0] for row in promises],
        ),
        f"<p>Answers: {', '.join(f'{count:,} {what}' for what, count in figures['answers'].items())}.</p>",
        *saturation(figures),
        *latency(figures),
        *drained(figures),
        *others(figures),
    ]
    title = f"Chopar {result['version']}: benchmark"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "".join(parts)
    return f'<!doctype html><html lang="en"><head>{head}<style>{STYLE}</style></head><body>{body}</body></html>\n'


def table(head: Sequence[str], rows: Iterable[Sequence[object]], classes: Sequence[str] = ()) -> str:
    """A table; the last cell of a row may have a class."""
    lines_ = ["<table><tr>", *(f"<th>{escape(name)}</th>" for name in head), "</tr>"]
    for index, row in enumerate(rows):
        cells = [f"<td>{escape(str(cell))}</td>" for cell in row]
        if classes:
            cells[-1] = cells[-1].replace("<td>", f'<td class="{classes[index]}">', 1)
        lines_ += ["<tr>", *cells, "</tr>"]
    return "".join([*lines_, "</table>"])


def saturation(figures: Mapping[str, Any]) -> list[str]:
    """Rates and cost at saturation, ours and the references."""
    kinds: Mapping[str, Any] = figures.get("saturation", {})
    if not kinds:
        return []
    rates = [Bar(name, *_three(kind["exchanges_per_second"])) for name, kind in kinds.items()]
    costs = [
        (name, {process: cost["median"] for process, cost in kind["cpu_ms_per_exchange"].items() if process != "total"})
        for name, kind in kinds.items()
    ]
    message = figures["bare"]["cpu_ms_per_message"]["median"]
    memory = next(iter(kinds.values()))["memory_mib"]
    return [
        "<h2>At saturation</h2><p>One-document exchanges a second, least to most; echo is bare aiokafka over the same "
        "hops with messages of the same sizes, without codec, law, register or order.</p>",
        bars(rates, "/s"),
        f"<p>CPU of one exchange, all processes (ms). One bare message of {figures['message_bytes']:.0f} bytes by "
        f"<code>send</code> and <code>getmany</code> costs {number(message)} ms, six of them {number(6 * message)} ms."
        "</p>",
        stacked(costs, "ms"),
        table(("process", "memory, MiB"), [(name, number(value["median"])) for name, value in memory.items()]),
    ]


def latency(figures: Mapping[str, Any]) -> list[str]:
    """Latency at fixed rates."""
    kinds: Mapping[str, Any] = figures.get("latency", {})
    if not kinds:
        return []
    series: dict[str, list[tuple[float, float]]] = {}
    rows: list[tuple[object, ...]] = []
    for who, by_rate in kinds.items():
        for label, kind in by_rate.items():
            rows.append(
                (
                    who,
                    label,
                    number(kind["rate"]["median"]),
                    *(number(p["median"]) for p in kind["latency_ms"].values()),
                )
            )
            for percent in ("p50", "p99"):
                point = (kind["rate"]["median"], kind["latency_ms"][percent]["median"])
                series.setdefault(f"{who} {percent}", []).append(point)
    drawn = {name: sorted(points) for name, points in series.items()}
    return [
        "<h2>Latency</h2><p>From the moment at which a demand was due to the document, three hops, at fixed rates.</p>",
        lines(drawn, "exchanges a second", "ms", log=True),
        table(("", "load", "a second", "p50 ms", "p90 ms", "p99 ms", "most ms"), rows),
    ]


def drained(figures: Mapping[str, Any]) -> list[str]:
    """The gateway behind waiting demands."""
    kinds: Mapping[str, Any] = figures.get("drain", {})
    if not kinds:
        return []
    rows = [
        (
            f"{kind['count']:,}",
            number(kind["rate"]),
            kind["cpu_ms_per_demand"],
            kind["peak_mib"],
            *(number(kind[what]) if what in kind else "" for what in ("start_with_table_seconds", _WITHOUT)),
        )
        for kind in kinds.values()
    ]
    head = ("waiting", "a second", "gateway CPU ms", "peak MiB", "start s, with table", "without")
    deepest = list(kinds.values())[-1]
    answered = [(sample[0], sample[1]) for sample in deepest["samples"]]
    memory = [(sample[0], sample[2]) for sample in deepest["samples"] if len(sample) > 2]
    stated, packages = figures.get("stated_mib", {}), figures.get("packages_mib")
    return [
        "<h2>Drain</h2><p>The gateway started behind waiting demands; nobody else runs.</p>",
        lines({"answered": answered}, "seconds", "demands"),
        *([lines({"memory": memory}, "seconds", "MiB")] if memory else []),
        table(head, rows),
        f"<p>An idle aiokafka process on the same topics takes {number(figures['idle_mib'])} MiB"
        f"{f', with the packages that are named {number(packages)} MiB' if packages else ''}; what the gateway "
        f"holds is stated as {number(sum(stated.values()))} MiB: "
        f"{', '.join(f'{escape(name)} {number(size)}' for name, size in stated.items())}.</p>",
    ]


def others(figures: Mapping[str, Any]) -> list[str]:
    """What only a full run has."""
    parts: list[str] = []
    safety: Mapping[str, Any] | None = figures.get("without")
    if safety:
        rows = [(name, {"": kind["cpu_ms_per_exchange"]["total"]["median"]}) for name, kind in safety.items()]
        parts += [
            "<h2>Without a safety feature</h2><p>CPU of an exchange with one taken out (ms).</p>",
            stacked(rows, "ms"),
        ]
    scales = {
        "shapes": "Kinds of demands that are not alike",
        "partitions": "Partitions of every topic",
        "agencies": "Agencies subscribed to",
    }
    for key, title in scales.items():
        kinds: Mapping[str, Any] | None = figures.get(key)
        if kinds:
            rates = [Bar(name, *_three(kind["exchanges_per_second"])) for name, kind in kinds.items()]
            cells = [
                (name, number(kind["cpu_ms_per_exchange"]["total"]["median"]), number(kind["memory_mib"]["gateway"]))
                for name, kind in kinds.items()
            ]
            parts += [f"<h2>{title}</h2>", bars(rates, "/s"), table((key, "CPU ms an exchange", "gateway MiB"), cells)]
    missing: Mapping[str, Any] | None = figures.get("no_record")
    if missing:
        ratios = [(name, value) for name, value in missing.items() if "ratio" in name]
        parts += ["<h2>No record against a hit</h2>", table(("ratio", ""), ratios)]
    return parts


def _three(values: Mapping[str, float]) -> tuple[float, float, float]:
    return values["median"], values["least"], values["most"]
