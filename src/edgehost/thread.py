"""A host in a thread of its own, for callers that are not asynchronous: ordinary tests, scripts."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from edgehost.broker import EMBEDDED
from edgehost.components import STEADY_S
from edgehost.lifecycle import MAX_ERRORS
from edgehost.nucleus import DEFAULT_THING_NAME, EdgeHost
from edgehost.profile import CLASSIC, Profile

T = TypeVar("T")


class ThreadedHost:
    """An EdgeHost whose event loop runs elsewhere.

    ``host`` may be read from here; whatever it does is done there: ``call(host.deploy(…))``.
    """

    def __init__(self, host: EdgeHost, loop: asyncio.AbstractEventLoop) -> None:
        self.host = host
        self._loop = loop

    def call(self, coroutine: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine in the host's loop and wait for its result."""
        return self.submit(coroutine).result(timeout_s)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the host's loop without waiting."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


@contextmanager
def run_in_thread(
    root: Path,
    *,
    profile: Profile = CLASSIC,
    broker: str = EMBEDDED,
    thing_name: str = DEFAULT_THING_NAME,
    max_errors: int = MAX_ERRORS,
    steady_s: float = STEADY_S,
) -> Iterator[ThreadedHost]:
    """A running host; it stops, and its components with it, at the end of the block."""
    started: Future[ThreadedHost] = Future()
    over: Future[None] = Future()

    async def live() -> None:
        async with EdgeHost(
            root,
            profile=profile,
            broker=broker,
            thing_name=thing_name,
            max_errors=max_errors,
            steady_s=steady_s,
        ) as host:
            started.set_result(ThreadedHost(host, asyncio.get_running_loop()))
            await asyncio.wrap_future(over)

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # carried to the caller's thread, which raises it
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="edgehost")
    thread.start()
    try:
        yield started.result()
    finally:
        over.set_result(None)
        thread.join()
