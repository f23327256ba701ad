"""How the bench makes figures of runs, and the promises beside them."""

import pytest

from chopar.cli.bench_run import percentiles
from tests.load.drain import Sample, memory_at
from tests.load.echo_parts import DEMAND, values
from tests.load.figures import (
    answers,
    efficiency,
    exchange_figures,
    per_exchange_ms,
    promises,
    rate_between,
    ratio,
    spread,
)
from tests.load.stated import bytes_of, stated_state


def run(**changes: object) -> dict[str, object]:
    """A run as an asker prints it."""
    return {
        "sent": 120,
        "lost": 0,
        "changed": 0,
        "doubled": 0,
        "exchanges": 100,
        "seconds": 2.0,
        "rate": 0.0,
        "cpu_seconds": {"broker": 0.05, "gateway": 0.1},
        "latency_ms": {"p50": 4.0, "p99": 9.0},
        "latency_count": 100,
        "memory_mib": {"broker": 200.0, "gateway": 60.0},
        **changes,
    }


def test_a_percentile_is_a_value_that_occurred() -> None:
    assert percentiles([float(n) for n in range(1, 101)]) == {"p50": 51.0, "p90": 91.0, "p99": 100.0, "most": 100.0}
    assert percentiles([7.0]) == {"p50": 7.0, "p90": 7.0, "p99": 7.0, "most": 7.0}
    assert percentiles([]) == {}


def test_a_spread_is_the_median_with_both_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "least": 1.0, "most": 3.0}


def test_cost_is_cpu_over_the_exchanges_of_the_window() -> None:
    assert per_exchange_ms(run()) == pytest.approx({"broker": 0.5, "gateway": 1.0, "total": 1.5})
    assert per_exchange_ms(run(exchanges=0))["total"] == pytest.approx(150.0)


def test_figures_of_runs_are_medians_over_them() -> None:
    found = exchange_figures([run(), run(exchanges=300), run(exchanges=200)])
    assert found["exchanges_per_second"] == {"median": 100.0, "least": 50.0, "most": 150.0}
    assert found["cpu_ms_per_exchange"]["total"]["median"] == 0.75
    assert found["latency_count"] == 300


def test_a_percentile_that_a_run_lacks_is_left_out() -> None:
    assert exchange_figures([run(), run(latency_ms={})])["latency_ms"] == {}


def test_efficiency_and_ratios() -> None:
    assert efficiency(6, 0.0158, 0.987) == 0.096
    assert ratio(9.0, 3.0) == 3.0
    assert ratio(9.0, 0.0) == 0.0


def test_a_drain_is_measured_between_a_tenth_and_nine_tenths() -> None:
    samples = [(0.0, 0.0), (3.0, 0.0), (4.0, 100.0), (12.0, 900.0), (20.0, 1000.0)]
    assert rate_between(samples) == 100.0
    assert rate_between([(0.0, 0.0), (2.0, 1000.0)]) == 500.0


def test_what_went_wrong_is_summed_over_all_runs() -> None:
    assert answers([run(), run(lost=2, doubled=1)]) == {"sent": 240, "lost": 2, "changed": 0, "doubled": 1}


def test_every_promise_has_its_goal_beside_it_and_what_was_not_measured_says_so() -> None:
    rows = promises({})
    assert {row.name for row in rows} == {"P1", "P2", "P3", "P4", "", "R1", "R2", "R3", "R4", "T1", "U1"}
    assert all(row.goal and row.measured for row in rows)
    assert {row.measured for row in rows if row.name in ("P1", "P2", "P3", "P4")} == {"not measured"}
    assert all(row.reached is None for row in rows)


def test_a_promise_is_judged_by_its_goal() -> None:
    figures = {
        "efficiency_shipped": 0.31,
        "saturation": {
            "shipped": exchange_figures([run(exchanges=1000)]),
            "plain": exchange_figures([run()]),
            "faststream_usual": exchange_figures([run(exchanges=200)]),
        },
        "latency": {"shipped": {"10/s": exchange_figures([run()])}},
        "idle_mib": 20.0,
        "packages_mib": 40.0,
        "stated_mib": {"lists": 4.0, "table": 6.0},
        "drain": {
            "20000": {"rate": 100.0, "peak_mib": 40.0, "start_without_table_seconds": 1.0},
            "1000000": {"rate": 80.0, "peak_mib": 60.0, "start_with_table_seconds": 2.0, "memory_mib": {"grown": 1.1}},
        },
    }
    reached = {(row.name, row.what): (row.measured, row.reached) for row in promises(figures)}
    assert reached["P1", "efficiency as shipped"] == ("0.31", True)
    assert reached["P2", "times the plain loop's rate"] == ("10 (by CPU 10)", True)
    assert reached["P2", "times the rate of FastStream's usual style"] == ("5 (by CPU 5)", False)
    assert reached["P3", "a hop when idle (10/s), median"] == ("1.33 ms", True)
    assert reached["P4", "drain rate behind 1,000,000 over 20,000"] == ("0.8", False)
    assert reached["P4", "memory behind 1,000,000, times idle aiokafka and state"] == ("2", False)
    assert reached["", "the same, times the named packages, idle, and state"] == ("1.2", None)
    assert reached["", "memory at nine tenths of a million over a tenth"] == ("1.1", False)


def test_memory_is_looked_at_when_a_share_of_the_demands_is_answered() -> None:
    looks = [Sample(float(at), at * 100, 60.0 + at) for at in range(11)]
    assert memory_at(looks) == {"10%": 61.0, "50%": 65.0, "90%": 69.0, "grown": 1.131}
    assert memory_at([Sample(0.0, 0, 50.0)])["grown"] == 1.0


def test_the_stated_state_follows_from_lists_sizes_and_settings() -> None:
    sizes = {
        f"{topic}.x": {"value": 1000.0, "key_and_headers": 24.0} for topic in ("demand.submitted", "demand.resolved")
    }
    stated, wider = stated_state(sizes, waiting=6), stated_state(sizes, waiting=12)
    assert wider["table"] == 2 * stated["table"] == 1.5
    assert wider["unread"] == pytest.approx(2 * stated["unread"], abs=0.01)
    assert stated["a batch"] == pytest.approx(500 * 3 * 1024 / 2**20, abs=0.001)
    assert 0.1 < stated["lists"] < 10
    assert stated_state({}, waiting=6)["a batch"] == 0


def test_what_an_object_takes_is_counted_once() -> None:
    text = "x" * 10_000
    assert bytes_of([text, text]) < 11_000 < bytes_of([text, text + "y"])


def test_the_echos_messages_are_as_large_as_they_are_told() -> None:
    assert len(values(f'{{"{DEMAND}": 321}}')[DEMAND]) == 321
