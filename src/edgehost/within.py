"""Waiting with a limit, and yet not missing that one is to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(seconds: float | None, awaitable: Awaitable[T]) -> T:
    """The result, if it comes in time; None is for ever. Raises asyncio.TimeoutError, after cancelling it.

    As ``asyncio.wait_for``, which before Python 3.12 forgets a cancellation that comes together with the result.
    """
    if seconds is None:
        return await awaitable
    awaited = asyncio.ensure_future(awaitable)
    try:
        done, _ = await asyncio.wait((awaited,), timeout=seconds)
    finally:
        awaited.cancel()
    if not done:
        raise asyncio.TimeoutError
    return awaited.result()
