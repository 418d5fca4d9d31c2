"""Keeps the C library's allocator from holding more memory than is in use.

Python rebuilds its table of names, two megabytes, every few thousand images, and frames come and go; what is freed
among other blocks leaves holes. Where the C library has no such call nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes

_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""


def share_arena() -> None:
    """One arena for all threads, before there are any: a hole that one thread leaves is filled by the next."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


def give_back() -> None:
    """Unused memory goes back to the system. Takes a millisecond or less."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
