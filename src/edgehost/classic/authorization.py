"""Who may do what to which topic: a component's ``accessControl``, matched as the classic nucleus matches it.

Pure. Sources: ``AuthorizationHandler``, ``AuthorizationPolicyParser`` and ``WildcardTrie`` of the classic nucleus.

* ``*`` matches anything, slashes too. ``${*}``, ``${$}``, ``${?}`` stand for the character itself, and a bare ``?``
  is invalid: its policy grants nothing.
* For ``aws.greengrass.ipc.mqttproxy`` alone, ``+`` (a whole level) and ``#`` (the last levels, also none) match as in
  MQTT filters. Elsewhere they are ordinary characters.
* ``{iot:thingName}`` stays as it is: classic interpolates it in policies only with a nucleus option that is off.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edgehost.authorization import MQTT_PROXY, Variables

log = logging.getLogger(__name__)

_TOKEN = re.compile(r"\$\{(?P<escaped>.)\}|(?P<special>[*+#?])|(?P<text>[^*+#?$]+|\$)", re.DOTALL)


class PolicyError(ValueError):
    """A policy that grants nothing because it can't be understood."""


@dataclass(frozen=True, slots=True)
class Permission:
    """Operations (``*`` for all) allowed on the resources that match."""

    operations: frozenset[str]
    resource: re.Pattern[str]

    def allows(self, operation: str, resource: str) -> bool:
        """Whether this permission covers the operation on the resource."""
        named = "*" in self.operations or f"aws.greengrass#{operation}" in self.operations
        return named and self.resource.fullmatch(resource) is not None


def is_allowed(
    access_control: Any, service: str, operation: str, resource: str, variables: Variables
) -> bool:
    """Whether any policy of ``service`` in ``access_control`` allows it. ``variables`` are not filled in."""
    return any(permission.allows(operation, resource) for permission in permissions(access_control, service))


def permissions(access_control: Any, service: str) -> Iterator[Permission]:
    """The permissions that a component's accessControl (as found in its configuration) grants for a service."""
    policies = _lookup(access_control, service)
    for policy_id, policy in policies.items() if isinstance(policies, Mapping) else ():
        try:
            yield from _permissions_of(policy, service)
        except PolicyError as error:
            log.error("accessControl policy %s of %s grants nothing: %s", policy_id, service, error)


def resource_pattern(resource: str, *, mqtt: bool) -> re.Pattern[str]:
    """A policy's resource as a regular expression over whole resource names. Raises PolicyError for a bare ``?``."""
    parts = []
    for token in _TOKEN.finditer(resource):
        if (special := token["special"]) == "?":
            raise PolicyError(f"resource {resource!r} has a bare '?'; write ${{?}} for the character")
        parts.append(
            _wildcard(special, resource, token.start(), mqtt) if special else re.escape(_literal(token))
        )
    pattern = "".join(parts)
    return re.compile(pattern, re.DOTALL)


def _literal(token: re.Match[str]) -> str:
    return token["escaped"] or token["text"]


def _wildcard(special: str, resource: str, at: int, mqtt: bool) -> str:
    if special == "*":
        return ".*"
    starts_level = at == 0 or resource[at - 1] == "/"
    if mqtt and special == "+" and starts_level and resource[at + 1 : at + 2] in ("", "/"):
        return "[^/]*"
    if mqtt and special == "#" and starts_level and at == len(resource) - 1:
        return ".*"
    return re.escape(special)


def _permissions_of(policy: Any, service: str) -> Iterator[Permission]:
    operations = _texts(_lookup(policy, "operations"))
    if not operations:
        raise PolicyError("it names no operations")
    mqtt = service == MQTT_PROXY
    for resource in _texts(_lookup(policy, "resources")) or ["*"]:
        yield Permission(frozenset(operations), resource_pattern(resource, mqtt=mqtt))
        if mqtt and resource.endswith("/#"):
            yield Permission(frozenset(operations), resource_pattern(resource[:-2], mqtt=True))


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _lookup(mapping: Any, key: str) -> Any:
    if not isinstance(mapping, Mapping):
        return None
    return next((value for name, value in mapping.items() if name.casefold() == key.casefold()), None)
