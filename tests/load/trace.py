"""Notes when a process of ours, or of the bare echo, comes to each step of an exchange: for `lone_exchange`.

`python -m tests.load.trace FILE MODULE ARGUMENTS...` runs a module and writes a line for each step: nanoseconds of the
machine's monotonic clock, nanoseconds of the process's CPU, the step. Lines are written with the heartbeats, which are
on no record's way. A step that is not there any more fails: nobody reads figures of something else.
"""

import functools
import inspect
import runpy
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

_MANY = 200


class Trace:
    """Steps of this process.

    Args:
        file: where they are written.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._steps: list[tuple[int, int, str]] = []

    def step(self, name: str) -> None:
        """It has come to a step."""
        self._steps.append((time.monotonic_ns(), time.process_time_ns(), name))
        if len(self._steps) >= _MANY and name.startswith("written Heartbeat"):
            self.write()

    def write(self) -> None:
        """Write down what was noted."""
        steps, self._steps = self._steps, []
        self._file.writelines(f"{at} {cpu} {name}\n" for at, cpu, name in steps)
        self._file.flush()

    def around(self, owner: Any, name: str, *, before: str = "", after: str = "") -> None:
        """Note when a method is called, and when it has ended; a fetch only where it gave something."""
        method: Callable[..., Any] = getattr(owner, name)
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def traced(*args: Any, **options: Any) -> Any:
                if before:
                    self.step(before)
                result = await method(*args, **options)
                if after and (result or after != "given"):
                    self.step(after)
                return result

            setattr(owner, name, traced)
            return

        @functools.wraps(method)
        def traced_at_once(*args: Any, **options: Any) -> Any:
            if before:
                self.step(before)
            result = method(*args, **options)
            if after:
                self.step(after)
            return result

        setattr(owner, name, traced_at_once)

    def connections(self) -> None:
        """Note what is written to a broker, and read from it."""
        from aiokafka.conn import AIOKafkaConnection

        send, handle = AIOKafkaConnection.send, AIOKafkaConnection._handle_frame

        def sent(connection: Any, request: Any, expect_response: bool = True) -> Any:
            future = send(connection, request, expect_response=expect_response)
            self.step(f"written {_named(connection._requests[-1][1])}")
            return future

        def handled(connection: Any, frame: Any) -> None:
            self.step(f"read {_named(connection._requests[0][1])}")
            handle(connection, frame)

        AIOKafkaConnection.send, AIOKafkaConnection._handle_frame = sent, handled

    def ours(self) -> None:
        """Note the steps of what stands on the library."""
        from chopar.bus.consume import ConsumeLoop
        from chopar.bus.kafka.fetcher import KafkaFetcher
        from chopar.bus.release import Release
        from chopar.bus.trial import Trial
        from chopar.requester.requester import Requester
        from chopar.schema_registry import Decoder

        self.around(Requester, "compose", before="begun")
        self.around(KafkaFetcher, "_fetch", after="given")
        self.around(Decoder, "message_now", after="decoded")
        self.around(Trial, "gate", after="ready")
        self.around(Trial, "run", after="handled")
        self.around(Release, "run", after="released")
        self.around(ConsumeLoop, "_batch", after="done")

    def echo(self) -> None:
        """Note the steps of the bare echo."""
        from aiokafka import AIOKafkaConsumer

        from tests.load.echo_parts import Batches

        self.around(AIOKafkaConsumer, "getmany", after="given")
        self.around(Batches, "add", before="begun")


def _named(request: Any) -> str:
    return type(request).__name__.partition("Request")[0]


def main() -> None:
    """Trace a module."""
    path, module, *rest = sys.argv[1:]
    sys.argv = [module, *rest]
    with open(path, "w", encoding="ascii") as file:
        trace = Trace(file)
        trace.connections()
        if "echo" in module:
            trace.echo()
        else:
            trace.ours()
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        finally:
            trace.write()


if __name__ == "__main__":
    main()
