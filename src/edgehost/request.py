"""What a deployment is asked to do, and the reading of its configuration changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgehost.configuration import Change, KeyPath

Policy = Literal["rollback", "nothing"]


class RequestError(ValueError):
    """A request that makes no sense; the message tells which part."""


@dataclass(frozen=True, slots=True)
class Request:
    """Versions of root components by name, where to find them, configuration changes, and what is to be removed."""

    recipes: Path | None
    artifacts: Path | None
    versions: Mapping[str, str]
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    policy: Policy = "rollback"
    # How long components may take to answer: classic's default for both policies is 60 s.
    answer_timeout_s: float = 60.0

    def roots(self, before: Mapping[str, str]) -> dict[str, str]:
        """The root components after it: those of earlier deployments stay. Raises RequestError."""
        if strangers := set(self.remove) - set(before):
            roots = ", ".join(before) or "none"
            raise RequestError(
                f"{', '.join(sorted(strangers))} can't be removed, being no root component; those are: {roots}"
            )
        return {name: version for name, version in before.items() if name not in self.remove} | dict(
            self.versions
        )

    def changes(self) -> dict[str, Change]:
        """The configuration changes by component. Raises RequestError."""
        return {name: _change(name, given) for name, given in self.config.items()}


def _change(component: str, given: Mapping[str, Any]) -> Change:
    """A mapping to merge, or MERGE and RESET as ``greengrass-cli --update-config`` takes them."""
    if not isinstance(given, Mapping):
        raise RequestError(f"the configuration for {component} is {given!r}, not an object")
    if not given or set(given) - {"MERGE", "RESET"}:
        return Change(given)
    merge, reset = given.get("MERGE", {}), given.get("RESET", [])
    if not isinstance(merge, Mapping):
        raise RequestError(f"MERGE for {component} is {merge!r}, not an object")
    if not isinstance(reset, list) or not all(isinstance(pointer, str) for pointer in reset):
        raise RequestError(f"RESET for {component} is {reset!r}, not a list of JSON pointers")
    return Change(merge, tuple(_key_path(component, pointer) for pointer in reset))


def _key_path(component: str, pointer: str) -> KeyPath:
    if not pointer:
        return ()
    if not pointer.startswith("/"):
        raise RequestError(f"RESET for {component}: {pointer!r} is no JSON pointer; it starts with /")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
