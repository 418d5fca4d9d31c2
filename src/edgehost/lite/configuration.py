"""The configuration operations: get, update, subscribe. Nobody is asked to validate.

Sources, messages included: ``ggipcd/src/services/config`` and ``ggconfigd`` (``db_corebus.c``, ``db_interface.c``).

* Every component may read every other's configuration, and write its own.
* An update is written leaf by leaf, in the order of its keys, which were sorted when it was read. A leaf that is
  newer than the update stays as it is, and nobody is told. At one that can't be written the update fails, and those
  before it stay written.
* A leaf never becomes a mapping, nor a mapping a leaf.
"""

from __future__ import annotations

import contextlib
from typing import Any

from edgehost.call import Call, Handler
from edgehost.configuration import Branch, ConfigurationStore, KeyPath, Leaf, StaleUpdateError, plain
from edgehost.errors import InvalidArgumentsError, IpcError, ResourceNotFoundError, ServiceError
from edgehost.lite import json_text

MAX_LEAF_BYTES = 1024
"""Of JSON, in a leaf; a list is one."""
MAX_KEY_PATH = 12
"""Keys: an object is 15 deep, and the daemon's path begins ``services/COMPONENT/configuration``."""
MAX_READ_BYTES = 10_000
"""Of memory, for what is read at once: 21 for each key, its letters, and the JSON of each leaf."""
MAX_SUBOBJECTS = 255
"""In a reply: an element of a list counts one, a pair two."""
MAX_WRITE_BYTES = 2_200
"""Of memory, for the values in a write to ggconfigd: 200 elements."""

_RESTRICTED = "accessControl"
_INVALID = "Received invalid parameters."


class ConfigurationService:
    """Serves the configuration store."""

    def __init__(self, store: ConfigurationStore) -> None:
        self._store = store

    def operations(self) -> dict[str, Handler]:
        """Operation name -> handler."""
        return {
            "GetConfiguration": self.get,
            "UpdateConfiguration": self.update,
            "SubscribeToConfigurationUpdate": self.subscribe,
        }

    async def get(self, call: Call) -> dict[str, Any]:
        """The value at keyPath; a leaf comes as {its key: value}. One that is too large for a reply is an error."""
        path = _key_path(call, ServiceError(_INVALID), ServiceError(_INVALID))
        component = _component(call, _INVALID)
        if (found := self._store.find(component, path)) is None:
            raise ResourceNotFoundError("Key not found.")
        node = found[1]
        value = {path[-1]: node.value} if isinstance(node, Leaf) else plain(node)
        reply = {"componentName": component, "value": value}
        if _read_bytes(node) > MAX_READ_BYTES or _subobjects(reply) > MAX_SUBOBJECTS:
            raise ServiceError
        return reply

    async def update(self, call: Call) -> dict[str, Any]:
        """Merge valueToMerge into the caller's own configuration; one that is no mapping is set as the leaf there."""
        invalid = InvalidArgumentsError(_INVALID)
        if "valueToMerge" not in call.request or not isinstance(call.request.get("timestamp"), float):
            raise invalid
        value = call.request["valueToMerge"]
        path = _key_path(call, invalid, invalid)
        if _RESTRICTED in (path[:1] or (value if isinstance(value, dict) else ())):
            raise InvalidArgumentsError(f"Config update is not allowed for following field [{_RESTRICTED}]")
        if _write_bytes(path, value) > MAX_WRITE_BYTES:
            raise _not_updated()
        self._write(call.component, path, value, int(call.request["timestamp"] * 1000))
        return {}

    async def subscribe(self, call: Call) -> dict[str, Any]:
        """Tell the caller of every leaf that changes at or below keyPath."""
        path = _key_path(
            call,
            ServiceError("Failed to validate the map."),
            ServiceError("Received invalid parameters: keyPath must be list of strings."),
        )
        component = _component(call, "Failed to validate the map.")
        if self._store.find(component, path) is None:
            raise ResourceNotFoundError("Key not found")

        def tell(changed: KeyPath) -> None:
            event = {"componentName": component, "keyPath": list(changed)}
            call.send("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

        call.on_end(self._store.watch(component, path, tell))
        return {}

    def _write(self, component: str, path: KeyPath, value: Any, at_ms: int) -> None:
        if isinstance(value, dict) and value:
            for key, child in value.items():
                self._write(component, (*path, key), child, at_ms)
            return
        self._check_room(component, path, value)
        # A newer value stays, and the update succeeds all the same.
        with contextlib.suppress(StaleUpdateError):
            if path:
                self._store.merge(component, path[:-1], {path[-1]: value}, at_ms)

    def _check_room(self, component: str, path: KeyPath, value: Any) -> None:
        """Raise where a leaf, or an empty mapping, can't be written at ``path``."""
        above = (self._store.find(component, path[:depth]) for depth in range(len(path)))
        if any(found and isinstance(found[1], Leaf) for found in above):
            raise _not_updated()
        there = self._store.find(component, path)
        if there and isinstance(there[1], Branch) != isinstance(value, dict):
            raise _not_updated()
        if (not path and not isinstance(value, dict)) or _json_bytes(value) > MAX_LEAF_BYTES:
            raise _not_updated()


def _not_updated() -> ServiceError:
    return ServiceError("Failed to update the configuration.")


def _write_bytes(path: KeyPath, value: Any) -> int:
    """What a write to ggconfigd takes: its three parameters, one of them the path with three keys before it."""
    key_path = ["services", "", "configuration", *path]
    return json_text.memory_bytes({"key_path": key_path, "value": value, "timestamp": 0})


def _read_bytes(node: Branch | Leaf) -> int:
    if isinstance(node, Leaf):
        return _json_bytes(node.value)
    return sum(json_text.PAIR_BYTES + len(key.encode()) + _read_bytes(child) for key, child in node)


def _subobjects(value: Any) -> int:
    match value:
        case dict():
            return sum(2 + _subobjects(each) for each in value.values())
        case list():
            return sum(1 + _subobjects(each) for each in value)
    return 0


def _json_bytes(value: Any) -> int:
    return len(json_text.write(value).encode())


def _component(call: Call, invalid: str) -> str:
    name = call.request.get("componentName", call.component)
    if not isinstance(name, str):
        raise ServiceError(invalid)
    return name


def _key_path(call: Call, no_list: IpcError, no_strings: IpcError) -> KeyPath:
    path = call.request.get("keyPath", [])
    if not isinstance(path, list):
        raise no_list
    if not all(isinstance(key, str) for key in path):
        raise no_strings
    if len(path) > MAX_KEY_PATH:
        raise ServiceError("Config path depth larger than supported.")
    return tuple(path)
