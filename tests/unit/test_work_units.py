"""How a run by several processes is divided: what shares something stays together, and the dear comes first."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from xdist.remote import Producer

from tests.work_units import DEAREST, UnitScheduling, in_order, unit_of


def test_a_file_is_one_unit_and_all_that_asks_the_stack_is_another() -> None:
    assert unit_of("tests/unit/test_x.py::test_a[b::c]") == unit_of("tests/unit/test_x.py::test_d")
    assert unit_of("tests/e2e/test_x.py::test_a") == unit_of("tests/e2e/test_y.py::test_b")
    assert unit_of("tests/unit/test_x.py::test_a") != unit_of("tests/unit/test_y.py::test_a")


def test_what_is_dear_begins(request: pytest.FixtureRequest) -> None:
    items = in_order(request.session.items)
    assert sorted(item.nodeid for item in items) == sorted(item.nodeid for item in request.session.items)
    ranks = [[item.nodeid.startswith(start) for start in DEAREST].index(True) for item in items if _is_dear(item)]
    assert ranks == sorted(ranks)
    assert all(map(_is_dear, items[: len(ranks)]))


def _is_dear(item: pytest.Item) -> bool:
    return item.nodeid.startswith(DEAREST)


class _Process:
    """A worker of pytest-xdist, as far as the scheduler asks it."""

    def __init__(self) -> None:
        self.gateway = SimpleNamespace(id="gw")
        self.given: list[int] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.given += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_each_unit_goes_to_one_process_in_the_order_of_the_collection() -> None:
    tests = [f"tests/unit/test_{name}.py::test_{number}" for name in "ab" for number in range(5)]
    tests += [f"tests/e2e/test_{name}.py::test_{number}" for name in "ab" for number in range(5)]
    config = pytest.Config.fromdictargs({"tx": ["2*popen"], "dist": "loadgroup"}, ["-p", "xdist"])
    scheduling, processes = UnitScheduling(config, Producer("units", enabled=False)), [_Process(), _Process()]
    for process in processes:
        scheduling.add_node(cast("Any", process))
    for process in processes:
        scheduling.add_node_collection(cast("Any", process), tests)
    scheduling.schedule()
    assert [process.given for process in processes] == [list(range(5)), list(range(5, 10))]
    for index in range(4):
        scheduling.mark_test_complete(cast("Any", processes[0]), index)
    assert processes[0].given == [*range(5), *range(10, 20)]
