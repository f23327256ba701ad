"""The buses of the contract suite: the same tests run on memory and on a real Kafka."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.contract.bus_rig import Bench, KafkaRig, MemoryRig, Rig


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.broker)])
def rig(request: pytest.FixtureRequest) -> Rig:
    """One bus under test."""
    return MemoryRig() if request.param == "memory" else KafkaRig(request.getfixturevalue("bootstrap"))


@pytest.fixture
async def bench(rig: Rig) -> AsyncIterator[Bench]:
    """The bus, and clients that are closed at the end."""
    async with AsyncExitStack() as stack:
        yield Bench(rig, stack)
