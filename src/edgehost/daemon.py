"""What a nucleus that is made of daemons loses when one of them restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edgehost.errors import IpcError


@dataclass(frozen=True, slots=True)
class Daemon:
    """One of the nucleus's processes, as IPC depends on it."""

    subscriptions: frozenset[str] = frozenset()
    """The operations whose subscriptions die with it: without a word, and unary requests go on."""
    answers: Mapping[str, tuple[type[IpcError], str]] = field(default_factory=lambda: MappingProxyType({}))
    """Operation -> what it is answered with as long as the daemon is away."""
    holds_connections: bool = False
    """Whether all connections end with it, and no token issued before is good any more."""
    holds_broker: bool = False
    """Whether the connection to the broker ends with it."""
