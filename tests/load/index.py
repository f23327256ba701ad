"""The index of results in `docs/benchmarks/README.md`: one row a result, made from the JSON files beside it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.load.figures import promises

BEGIN, END = "<!-- results: made by the bench -->", "<!-- end of results -->"
HEAD = ("result", "load average", "P1", "P2 plain", "P2 FastStream", "P3 hop", "P3 p99", "P4 rate", "P4 memory", "lost")
_MEASURED = ("P1", "P2", "P3", "P4")


def row(name: str, result: Mapping[str, Any]) -> str:
    """One result as a row of the table.

    Args:
        name: of its files, without what follows the dot.
        result: what the JSON file holds.
    """
    figures = result["figures"]
    loads = result["load_average"]
    measured = [promise.measured for promise in promises(figures) if promise.name in _MEASURED]
    wrong = sum(count for what, count in figures["answers"].items() if what != "sent")
    told = f"[{name}]({name}.html) ([JSON]({name}.json))"
    cells = [told, f"{min(loads):g}-{max(loads):g}", *measured, f"{wrong} of {figures['answers']['sent']:,}"]
    return "| " + " | ".join(cells) + " |"


def with_index(text: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """A page whose part between the two marks is the table of these results, the newest first.

    Args:
        text: the page, with both marks.
        results: by name; those of an older form, which name no version, are left out.
    """
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    rows: Sequence[str] = [
        row(name, result)
        for name, result in sorted(results.items(), key=lambda pair: str(pair[1].get("measured_at")), reverse=True)
        if "version" in result
    ]
    lines = [BEGIN, "", f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD), *rows, "", END]
    return before + "\n".join(lines) + after
