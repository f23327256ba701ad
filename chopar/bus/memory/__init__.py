"""The bus's twin in memory: partitions, offsets, groups, rebalance, redelivery, and faults on demand.

It keeps the port's promises and runs the same consume loop, so agencies and our own tests need no broker. What it does
not do: compaction (everything is kept) and durability.
"""

from chopar.bus.memory.bus import MemoryBus
from chopar.bus.memory.faults import Faults, SendFault

__all__ = ["Faults", "MemoryBus", "SendFault"]
