"""The configuration operations: get, update, subscribe, validate.

Source: ``ConfigStoreIPCEventStreamAgent`` of the nucleus, messages included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from edgehost.call import Call, Handler
from edgehost.configuration import ConfigurationStore, KeyPath, Leaf, StaleUpdateError, plain
from edgehost.errors import FailedUpdateConditionCheckError, InvalidArgumentsError, ResourceNotFoundError
from edgehost.within import within

_RESTRICTED = "accessControl"


class ConfigurationService:
    """Serves the configuration store, and asks subscribers to validate what a deployment is about to change."""

    def __init__(self, store: ConfigurationStore) -> None:
        self._store = store
        self._validators: dict[str, Call] = {}
        self._reports: dict[tuple[str, str], asyncio.Future[dict[str, Any]]] = {}

    def operations(self) -> dict[str, Handler]:
        """Operation name -> handler."""
        return {
            "GetConfiguration": self.get,
            "UpdateConfiguration": self.update,
            "SubscribeToConfigurationUpdate": self.subscribe,
            "SubscribeToValidateConfigurationUpdates": self.subscribe_to_validation,
            "SendConfigurationValidityReport": self.report,
        }

    async def get(self, call: Call) -> dict[str, Any]:
        """The value at keyPath; a leaf comes as {its key: value}."""
        component = _component(call)
        path, node = self._find(component, _key_path(call))
        value = {path[-1]: node.value} if isinstance(node, Leaf) else plain(node)
        return {"componentName": component, "value": value}

    async def update(self, call: Call) -> dict[str, Any]:
        """Merge valueToMerge into the caller's own configuration, unless something there is newer."""
        at_ms = _timestamp_ms(call)
        values, path = call.request.get("valueToMerge"), _key_path(call)
        if not isinstance(values, dict):
            raise InvalidArgumentsError("ValueToMerge is required")
        if _RESTRICTED in ([path[0]] if path else values):
            raise InvalidArgumentsError(f"Config update is not allowed for following fields [{_RESTRICTED}]")
        try:
            self._store.merge(call.component, path, values, at_ms)
        except StaleUpdateError as error:
            raise FailedUpdateConditionCheckError(
                "Proposed timestamp is older than the config's latest modified timestamp"
            ) from error
        return {}

    async def subscribe(self, call: Call) -> dict[str, Any]:
        """Tell the caller of every leaf that changes at or below keyPath."""
        component = _component(call)
        path, _ = self._find(component, _key_path(call))

        def tell(changed: KeyPath) -> None:
            event = {"componentName": component, "keyPath": list(changed)}
            call.send("ConfigurationUpdateEvents", {"configurationUpdateEvent": event})

        call.on_end(self._store.watch(component, path, tell))
        return {}

    async def subscribe_to_validation(self, call: Call) -> dict[str, Any]:
        """Ask this caller before a deployment changes its configuration; the first subscription counts."""
        self._validators.setdefault(call.component, call)
        call.on_end(lambda: self._forget_validator(call))
        return {}

    async def report(self, call: Call) -> dict[str, Any]:
        """Take the caller's verdict on the configuration that it was asked about."""
        report = call.request.get("configurationValidityReport")
        if not isinstance(report, dict) or report.get("status") not in ("ACCEPTED", "REJECTED"):
            raise InvalidArgumentsError("configurationValidityReport needs a status, ACCEPTED or REJECTED")
        waiting = self._reports.pop((call.component, str(report.get("deploymentId"))), None)
        if waiting is None or waiting.done():
            raise InvalidArgumentsError("Validation request either timed out or was never made")
        waiting.set_result(report)
        return {}

    async def validate(
        self, component: str, configuration: Mapping[str, Any], deployment: str, timeout_s: float
    ) -> str | None:
        """Ask the component about a configuration. None if it accepts or doesn't validate, else why not."""
        if (validator := self._validators.get(component)) is None:
            return None
        key = (component, deployment)
        waiting = self._reports[key] = asyncio.get_running_loop().create_future()
        event = {"configuration": configuration, "deploymentId": deployment}
        validator.send("ValidateConfigurationUpdateEvents", {"validateConfigurationUpdateEvent": event})
        try:
            report = await within(timeout_s, waiting)
        except asyncio.TimeoutError:
            return f"it sent no validity report within {timeout_s:g} s"
        finally:
            self._reports.pop(key, None)
        return None if report["status"] == "ACCEPTED" else str(report.get("message") or "it gave no reason")

    def _forget_validator(self, call: Call) -> None:
        if self._validators.get(call.component) is call:
            del self._validators[call.component]

    def _find(self, component: str, path: KeyPath) -> tuple[KeyPath, Any]:
        if (found := self._store.find(component, path)) is None:
            raise ResourceNotFoundError("Key not found")
        return found


def _component(call: Call) -> str:
    return str(call.request.get("componentName") or call.component)


def _key_path(call: Call) -> KeyPath:
    path = call.request.get("keyPath") or []
    if not isinstance(path, list) or not all(isinstance(key, str) for key in path):
        raise InvalidArgumentsError("keyPath must be a list of strings")
    return tuple(path)


def _timestamp_ms(call: Call) -> int:
    timestamp = call.request.get("timestamp")
    if isinstance(timestamp, bool) or not isinstance(timestamp, (int, float)):
        raise InvalidArgumentsError("Timestamp is required")
    return round(timestamp * 1000)
