"""What makes topics or processes for a while takes them away when it is ended by a signal."""

import asyncio
import signal
import sys

import pytest

from chopar.bus.kafka import KafkaBus

pytestmark = pytest.mark.broker

DEADLINE_SECONDS = 90
POLL_SECONDS = 0.1
HEARING = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from chopar.cli.main import main; raise SystemExit(main())"
)
"""Whoever runs the tests in the background has shut its children's ears to SIGINT."""


async def bench_topics(bootstrap: str) -> set[str]:
    """The runs of `chopar bench` whose topics are there."""
    admin = KafkaBus(bootstrap).admin()
    await admin.start()
    try:
        return {topic.split(".")[1] for topic in await admin.partitions() if topic.startswith("bench.")}
    finally:
        await admin.stop()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
async def test_a_bench_that_is_ended_by_a_signal_takes_its_topics_away(
    bootstrap: str, number: signal.Signals, code: int
) -> None:
    before = await bench_topics(bootstrap)
    command = ["-c", HEARING, "bench", "--bootstrap", bootstrap, "--seconds", "60", "--partitions", "1"]
    bench = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while await bench_topics(bootstrap) == before:
                await asyncio.sleep(POLL_SECONDS)
            bench.send_signal(number)
            _, said = await bench.communicate()
    finally:
        if bench.returncode is None:
            bench.kill()
            await bench.wait()
    assert bench.returncode == code, said.decode()
    assert b"Traceback" not in said
    assert await bench_topics(bootstrap) == before
