"""What `doctor` looks at in a running stack: whether each part answers, and whether the clocks agree."""

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from chopar.broker.explain import how_it_ended, last_error, restarted_lately, what_is_missing
from chopar.broker.running_stack import running_stack
from chopar.broker.stack import STACK_FILE
from chopar.bus.port import Bus, TopicPartition
from chopar.cli.doctor_machine import Check
from chopar.cli.session import Session, as_url
from chopar.errors import ChoparError, ConfigurationError, UnavailableError
from chopar.topics import LAW_ACTIVATED

_SECONDS = 5.0
_CLOCKS_APART_MS = 2000
"""More than this ahead, and a demand's id may be refused as of the future before long (`clock`, from 2 minutes on)."""

_MARK_AGE_MS = 60_000
"""Gateways mark `law.activated` every sixth of its lead; a whole lead without one says that none is reading."""

_LISTEN_SECONDS = 2.0


async def stack_checks(session: Session) -> list[Check]:
    """Everything that needs a running stack; one note where there is none."""
    checks = supervisor(session.home())
    try:
        addresses = {
            "broker": session.bootstrap,
            "schema registry": session.registry,
            "gateway": session.gateway,
        }
    except UnavailableError as error:
        return checks or [Check("stack", "note", str(error), "chopar up")]
    except ConfigurationError as error:
        return checks or [Check("stack", "fail", str(error), "correct the address")]
    broker = await _broker(session.bus(), addresses["broker"])
    of_processes = processes(session.home(), session.now())
    checks.append(broker)
    for name, path in (("schema registry", "/subjects"), ("gateway", "/ready")):
        answer = await _http(name, addresses[name], path)
        said = of_processes.get(as_url(addresses[name]))
        if answer.state == "ok" or said is None or said.state != "fail":  # else that one says more
            checks.append(answer)
    checks += of_processes.values()
    if broker.state == "ok":
        checks.append(await clocks(session.bus(), int(time.time() * 1000)))
    return checks


def supervisor(home: Path) -> list[Check]:
    """Whether somebody would start again what dies; nothing where no stack was started from this home."""
    try:
        stack = running_stack(home)
    except UnavailableError as error:
        return [Check("supervisor", "fail", str(error), "chopar down")]
    except ConfigurationError as error:
        return [Check("supervisor", "fail", str(error), f"rm {home / STACK_FILE}; chopar up")]
    if stack is None:
        return []
    if stack.supervised:
        return [Check("supervisor", "ok", f"pid {stack.supervisor_pid} keeps {len(stack.processes)} entries running")]
    reason = f"pid {stack.supervisor_pid} has ended: what dies now is not started again"
    return [Check("supervisor", "fail", reason, "chopar up (takes over what still runs)")]


def processes(home: Path, now: datetime) -> dict[str, Check]:
    """What the processes of a running stack wait for or failed by, by address; nothing of those that are just ready.

    Asks each that is not ready.
    """
    try:
        stack = running_stack(home)
    except (UnavailableError, ConfigurationError):
        return {}  # said by `supervisor`
    found: dict[str, Check] = {}
    for one in stack.processes if stack else ():
        again = restarted_lately(one, now)
        if one.kind == "process" and (not one.ready or (again and one.exit)):
            missing = "" if one.ready else what_is_missing(one) or one.problem or "is not ready"
            why = how_it_ended(one, now) if again else last_error(one, now)
            found[as_url(one.address) if one.address else one.name] = Check(
                one.name,
                "note" if one.ready else "fail",
                "; ".join(filter(None, (missing, why))),
                f"see its log {one.log}",
            )
    return found


async def clocks(bus: Bus, now_ms: int) -> Check:
    """Compare our clock with the broker's, by the newest mark of a gateway."""
    partition = TopicPartition(LAW_ACTIVATED.of(), 0)
    try:
        newest = await _newest_stamp(bus, partition)
    except ChoparError as error:
        return Check("clocks", "note", f"cannot be compared: {error}")
    if newest is None:
        return Check("clocks", "note", "cannot be compared: no lists were activated yet", "chopar up")
    age_ms = now_ms - newest
    if age_ms < -_CLOCKS_APART_MS:
        return Check("clocks", "fail", f"the broker's clock is {-age_ms / 1000:.1f} s ahead of ours", "set both by NTP")
    if age_ms > _MARK_AGE_MS:
        reason = f"the gateway's newest mark is {age_ms / 1000:.0f} s old: it does not read, or our clock is ahead"
        return Check("clocks", "fail", reason, "chopar status")
    return Check("clocks", "ok", f"the gateway's newest mark is {max(0, age_ms) / 1000:.1f} s old by our clock")


async def _newest_stamp(bus: Bus, partition: TopicPartition) -> int | None:
    admin = bus.admin()
    await admin.start()
    try:
        if partition.topic not in await admin.partitions():
            return None
        ends: Mapping[TopicPartition, int] = await admin.end_offsets([partition])
    finally:
        await admin.stop()
    if ends[partition] == 0:
        return None
    reader = bus.reader({partition: ends[partition] - 1})
    await reader.start()
    try:
        records = (await reader.fetch(10, _LISTEN_SECONDS)).get(partition, [])
    finally:
        await reader.stop()
    return records[-1].timestamp_ms if records else None


async def _broker(bus: Bus, address: str) -> Check:
    admin = bus.admin()
    try:
        await admin.start()
        try:
            count = len(await admin.partitions())
        finally:
            await admin.stop()
    except ChoparError as error:
        return Check("broker", "fail", str(error), "chopar up")
    return Check("broker", "ok", f"{address} answers, {count} topics")


async def _http(name: str, address: str, path: str) -> Check:
    import httpx2

    url = as_url(address)
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=_SECONDS) as client:
            answer = await client.get(path)
    except httpx2.HTTPError as error:
        return Check(name, "fail", f"{url} does not answer ({type(error).__name__})", "chopar status")
    if answer.status_code != httpx2.codes.OK:
        return Check(name, "fail", f"{url}{path} answers {answer.status_code}: {answer.text[:200]}", "chopar status")
    return Check(name, "ok", f"{url} answers")
