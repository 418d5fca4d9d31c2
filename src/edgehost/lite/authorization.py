"""Who may do what to which topic: a component's ``accessControl``, matched as Greengrass Lite matches it.

Pure. Sources: ``ipc_authz.c`` and ``services/mqttproxy/mqttproxy.c`` of ggipcd, ``policy_validation.c``.

* ``*`` matches anything, slashes too. What is in ``${…}`` stands for itself. A topic that is asked for with a ``?``,
  or with a ``${`` that escapes none of ``*``, ``?`` and ``$``, is refused.
* Recipe variables in resources are filled in; a resource with one that has no value grants nothing.
* For ``aws.greengrass.ipc.mqttproxy`` alone, a resource may be a filter instead: ``+`` matches the rest of a level
  wherever it stands, and ``#`` all that follows; ``a/#`` does not match ``a``. A filter with a ``*`` or an escape in
  it matches nothing as a filter: the first attempt at matching has written over them.
* Operations and resources are both required, and keys compare with case. All policies of a service are refused where
  they take more than 4,096 bytes of memory.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from edgehost.authorization import MQTT_PROXY, Variables
from edgehost.lite import json_text

log = logging.getLogger(__name__)

MAX_POLICY_BYTES = 4096

_WELL_FORMED = re.compile(r"(?:[^?$]|\$(?!\{)|\$\{[*?$]\})*")
_ESCAPE = re.compile(r"\$\{([^}]*)\}?")
_VARIABLE = re.compile(r"(?<!\$)\{[^}]*\}?")
_WILDCARD = "\0"


def is_allowed(
    access_control: Any, service: str, operation: str, resource: str, variables: Variables
) -> bool:
    """Whether any policy of ``service`` in ``access_control`` allows it."""
    if not _WELL_FORMED.fullmatch(resource):
        log.error("topic %r is refused: it has a bare '?', or an escape that is none", resource)
        return False
    return any(
        matches(policy_resource, resource, is_filter=service == MQTT_PROXY)
        for policy_resource in _resources(_policies(access_control, service), operation, variables)
    )


def matches(pattern: str, resource: str, *, is_filter: bool) -> bool:
    """Whether a policy's resource covers the one asked for; ``is_filter``: it may be an MQTT filter."""
    overwritten = _overwrite(pattern)
    parts = map(re.escape, overwritten.split(_WILDCARD))
    if re.fullmatch(".*".join(parts), resource, re.DOTALL):
        return True
    return is_filter and _is_covered(overwritten + pattern[len(overwritten) :], resource)


def _policies(access_control: Any, service: str) -> list[Any]:
    policies = access_control.get(service) if isinstance(access_control, Mapping) else None
    if not isinstance(policies, Mapping):
        return []
    if (needed := json_text.memory_bytes(policies, with_texts=True)) > MAX_POLICY_BYTES:
        log.error("policies of %s take %d bytes, and there are %d", service, needed, MAX_POLICY_BYTES)
        return []
    return list(policies.values())


def _resources(policies: list[Any], operation: str, variables: Variables) -> Iterator[str]:
    """The resources on which the operation is allowed, filled in."""
    for policy in policies:
        if not isinstance(policy, Mapping):
            log.error("accessControl holds %r, which is no policy; those after it count for nothing", policy)
            return
        operations: Any = policy.get("operations")
        resources: Any = policy.get("resources")
        if not (_are_texts(operations) and _are_texts(resources)):
            log.error("an accessControl policy grants nothing: it needs lists of operations and resources")
        elif "*" in operations or f"aws.greengrass#{operation}" in operations:
            yield from _filled_in(resources, variables)


def _filled_in(resources: list[str], variables: Variables) -> Iterator[str]:
    for resource in resources:
        try:
            yield _VARIABLE.sub(lambda match: variables[match[0]], resource)
        except KeyError as error:
            log.warning("accessControl resource %r grants nothing: %s has no value", resource, error)


def _overwrite(pattern: str) -> str:
    """The pattern with its wildcards as zeros and its escapes as what they stand for."""
    pieces, end = [], 0
    for escape in _ESCAPE.finditer(pattern):
        pieces += [pattern[end : escape.start()].replace("*", _WILDCARD), escape[1]]
        end = escape.end()
    return "".join([*pieces, pattern[end:].replace("*", _WILDCARD)])


def _is_covered(topic_filter: str, resource: str) -> bool:
    at = 0
    for character in topic_filter:
        if character == "#":
            return True
        if character == "+":
            at = resource.find("/", at) if "/" in resource[at:] else len(resource)
        elif resource[at : at + 1] == character:
            at += 1
        else:
            return False
    return at == len(resource)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
