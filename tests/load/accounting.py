"""What processes cost, as the kernel accounts for it: user and system time, memory, the load of the machine."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LIBRARIES = ("aiokafka", "faststream", "fastavro", "pydantic", "uvloop", "structlog", "sqlalchemy")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its ended threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    """The same of several processes, by name."""
    return {name: cpu_seconds(pid) for name, pid in pids.items()}


def resident_mib(pid: int) -> float:
    """Memory of a process that is in RAM now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mib(pid: int) -> float:
    """The most memory that a process has had in RAM."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def machine() -> dict[str, Any]:
    """Where a figure was measured, as far as it explains the figure."""
    from aiokafka.record import default_records

    record_code = default_records.DefaultRecordBatchBuilder.__module__
    return {
        "cores": os.cpu_count(),
        "system": platform.system(),
        "processor": _processor(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "aiokafka_c_records": "_crecords" in record_code,
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
