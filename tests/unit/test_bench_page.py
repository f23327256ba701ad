"""The page of a benchmark: whole by itself, every figure on it, plots that are valid SVG."""

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.load.bench import figures_of
from tests.load.figures import promises
from tests.load.index import BEGIN, END, HEAD, with_index
from tests.load.page import page
from tests.load.plots import Bar, bars, lines, number, stacked
from tests.unit.test_bench_figures import run


def result() -> dict[str, Any]:
    """A result as the bench writes it."""
    ruler = {"cpu_seconds": {"broker": 0.2, "client": 0.4}, "messages": 60_000}
    percents = {"p50": 4.0, "p90": 6.0, "p99": 9.0, "most": 11.0}
    kinds = ("shipped", "echo", "plain", "latency shipped 10/s", "latency echo 10/s", "latency echo half of its own")
    runs = {"bare": [ruler], "bare_dressed": [ruler]} | {kind: [run(rate=10.0, latency_ms=percents)] for kind in kinds}
    figures = figures_of(runs, 874.2)
    summary = {key: figures["saturation"]["shipped"][key] for key in ("exchanges_per_second", "cpu_ms_per_exchange")}
    scaled = {"6": {**summary, "memory_mib": {"gateway": 60.0}}}
    drained = {
        "count": 20_000,
        "rate": 2000.5,
        "cpu_ms_per_demand": 0.4,
        "peak_mib": 70.1,
        "start_with_table_seconds": 2.0,
        "start_without_table_seconds": 2.5,
        "samples": [(0.0, 0, 60.0), (5.0, 10_000, 65.0), (10.0, 20_000, 66.0)],
    }
    figures |= {
        "answers": {"sent": 10, "lost": 0, "changed": 0, "doubled": 0},
        "drain": {"20000": drained},
        "idle_mib": 32.0,
        "stated_mib": {"lists": 0.6, "table": 3.0},
        "table": {"bytes_per_id": 74.0},
        "without": {"nothing": summary, "dedupe": summary},
        "partitions": scaled,
        "shapes": scaled,
        "agencies": scaled,
        "no_record": {"cpu_ratio_tax": 0.97},
    }
    machine = {
        "cores": 2,
        "processor": "a <fast> one",
        "memory_gib": 23.5,
        "python": "3.12.1",
        "libraries": {"aiokafka": "0.14.0"},
        "aiokafka_c_records": True,
    }
    return {
        "version": "0.1.0",
        "measured_at": "2026-11-26T05:00:00+00:00",
        "machine": machine,
        "load_average": [0.1],
        "figures": figures,
    }


def test_the_page_needs_nothing_else_and_says_every_promise() -> None:
    made = result()
    text = page(made, promises(made["figures"]))
    assert not re.search(r"(src|href|url\(|@import)", text)
    for row in promises(made["figures"]):
        assert row.goal in text
        assert row.measured in text
    assert "a &lt;fast&gt; one" in text
    assert "20,000" in text
    for picture in re.findall(r"<svg.*?</svg>", text):
        ElementTree.fromstring(picture)
    assert len(re.findall(r"<svg", text)) == 9


def test_a_page_of_a_short_run_has_what_was_measured() -> None:
    made = result()
    for name in ("without", "partitions", "shapes", "agencies", "no_record"):
        del made["figures"][name]
    made["figures"] |= {"drain": {}, "latency": {}}
    assert len(re.findall(r"<svg", page(made, promises(made["figures"])))) == 2


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.0158, "0.0158"), (0.5, "0.5"), (12.345, "12.3"), (1234.5, "1,234"), (9.999, "10")]
)
def test_a_number_is_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_the_longest_bar_fills_the_picture_and_the_others_are_to_its_scale() -> None:
    drawn = ElementTree.fromstring(bars([Bar("a & b", 100.0, 90.0, 120.0), Bar("b", 60.0, 60.0, 60.0)], "/s"))
    first, second = (float(rect.attrib["width"]) for rect in drawn.iter("rect"))
    assert first / second == pytest.approx(100 / 60, rel=0.01)
    assert [text.text for text in drawn.iter("text")] == ["a & b", "100 /s", "b", "60 /s"]


def test_stacked_parts_add_up() -> None:
    drawn = ElementTree.fromstring(stacked([("x", {"broker": 1.0, "gateway": 3.0}), ("y", {"broker": 2.0})], "ms"))
    widths = [float(rect.attrib["width"]) for rect in drawn.iter("rect")][:3]
    assert widths[1] / widths[0] == pytest.approx(3.0, rel=0.01)
    assert "4 ms" in [text.text for text in drawn.iter("text")]


def test_lines_by_powers_of_ten_leave_out_what_has_no_logarithm() -> None:
    drawn = ElementTree.fromstring(lines({"ours": [(0.0, 1.0), (1.0, 1.0), (10.0, 100.0)]}, "x", "y", log=True))
    assert len(list(drawn.iter("circle"))) == 2
    assert lines({}, "x", "y") == ""


def test_lines_go_up_with_their_values() -> None:
    drawn = ElementTree.fromstring(lines({"n": [(0.0, 0.0), (5.0, 50.0), (10.0, 200.0)]}, "s", "demands"))
    heights = [float(circle.attrib["cy"]) for circle in drawn.iter("circle")]
    assert heights == sorted(heights, reverse=True)


def test_the_index_has_the_newest_first_and_leaves_the_rest_of_the_page() -> None:
    older, newer = result(), {**result(), "measured_at": "2026-12-01T05:00:00+00:00"}
    results = {"0.1.0-2026-11-26": older, "0.2.0-2026-12-01": newer, "2026-11-25": {"figures": {}}}
    text = with_index(f"# Before\n\n{BEGIN}\nold\n{END}\n\nafter\n", results)
    assert text.startswith("# Before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    assert [line[3:8] for line in rows] == ["0.2.0", "0.1.0"]
    assert {line.count(" | ") for line in rows} == {len(HEAD) - 1}
    assert with_index(text, results) == text
