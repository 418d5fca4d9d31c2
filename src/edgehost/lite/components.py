"""What components tell and ask of components: state, restart, deployments, tokens.

Sources, messages included: ``ggipcd/src/services/lifecycle``, ``cli`` and ``authorizationagent``, ``gghealthd``,
``ggdeploymentd``. Restarting and deploying need a policy of the service ``aws.greengrass.Cli``.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from edgehost.call import Call, Handler
from edgehost.errors import (
    InvalidArgumentsError,
    InvalidTokenError,
    ResourceNotFoundError,
    ServiceError,
    UnauthorizedError,
)
from edgehost.services import Host
from edgehost.state import State

CLI = "aws.greengrass.Cli"
STREAM_MANAGER = "aws.greengrass.StreamManager"
MAX_WAITING_DEPLOYMENTS = 10

_STATES = {"NEW", "INSTALLED", "STARTING", "RUNNING", "ERRORED", "BROKEN", "STOPPING", "FINISHED"}
_INVALID = "Received invalid parameters."


class ComponentService:
    """UpdateState, RestartComponent, CreateLocalDeployment, ValidateAuthorizationToken."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting = 0

    def operations(self) -> dict[str, Handler]:
        """Operation name -> handler."""
        return {
            "UpdateState": self.update_state,
            "RestartComponent": self.restart,
            "CreateLocalDeployment": self.deploy,
            "ValidateAuthorizationToken": self.validate_token,
        }

    async def update_state(self, call: Call) -> dict[str, Any]:
        """RUNNING ends ``startup``'s wait; every other state is taken, and nothing comes of it, ERRORED included."""
        if not isinstance(state := call.request.get("state"), str):
            raise ServiceError(_INVALID)
        component = self._host.find_component(call.component)
        if component is None or state not in _STATES:
            raise ServiceError("Failed to update the lifecycle state.")
        if state == "RUNNING":
            component.report(State.RUNNING)
        return {}

    async def restart(self, call: Call) -> dict[str, Any]:
        """Have a component restarted; success means that this has begun."""
        if not isinstance(name := call.request.get("componentName"), str):
            raise InvalidArgumentsError("Invalid arguments provided.")
        if not self._host.authorize(call.component, CLI, call.operation, name):
            raise UnauthorizedError("Component not authorized to restart component.")
        if self._host.find_component(name) is None:
            raise ResourceNotFoundError("Component not found.")
        self._host.in_background(self._host.restart_component(name), f"restart {name} for {call.component}")
        return {"restartStatus": "SUCCEEDED"}

    async def deploy(self, call: Call) -> dict[str, Any]:
        """Queue a local deployment; what becomes of it, the host's log tells.

        What AWS's Python SDK calls rootComponentsToRemove is not known here, and passed over as on a device.
        """
        request = call.request
        config = _configurations(request.get("componentToConfiguration", {}))
        if not self._host.authorize(call.component, CLI, call.operation, ""):
            raise ServiceError("IPC Operation not authorized.")
        recipes, artifacts = (request.get(f"{what}DirectoryPath", "") for what in ("recipe", "artifacts"))
        add = request.get("rootComponentVersionsToAdd", {})
        remove = request.get("rootComponentVersionsToRemove", [])
        if not (_is_text(recipes, artifacts) and isinstance(add, dict) and isinstance(remove, list)):
            raise _not_deployed()
        if not _is_text(*add.values(), *remove) or self._waiting >= MAX_WAITING_DEPLOYMENTS:
            raise _not_deployed()
        self._waiting += 1
        deployment = str(uuid.uuid4())
        work = self._deploy(_path(recipes), _path(artifacts), add, config, remove)
        self._host.in_background(work, f"carry out deployment {deployment} for {call.component}")
        return {"deploymentId": deployment}

    async def validate_token(self, call: Call) -> dict[str, Any]:
        """Tell the stream manager, and nobody else, whether a token is a component's."""
        if call.component != STREAM_MANAGER:
            raise UnauthorizedError("Component does not have access to token verification IPC command.")
        if not isinstance(token := call.request.get("token"), str):
            raise ServiceError(_INVALID)
        if self._host.tokens.owner(token) is None:
            raise InvalidTokenError("Invalid token used by stream manager when trying to authorize.")
        return {"isValid": True}

    async def _deploy(
        self,
        recipes: Path | None,
        artifacts: Path | None,
        add: dict[str, str],
        config: dict[str, dict[str, Any]],
        remove: list[str],
    ) -> None:
        try:
            await self._host.deploy(recipes, artifacts, add, config, remove=remove)
        finally:
            self._waiting -= 1


def _not_deployed() -> ServiceError:
    return ServiceError("Failed to create local deployment.")


def _is_text(*values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _configurations(updates: Any) -> dict[str, dict[str, Any]]:
    """By component, ``MERGE`` and ``RESET``: each may be written small, and JSON may stand for a value."""
    if not isinstance(updates, dict):
        raise _not_deployed()
    return {name: _configuration(update) for name, update in updates.items()}


def _configuration(update: Any) -> dict[str, Any]:
    update = _parsed(update)
    if not isinstance(update, dict):
        raise _invalid_configuration()
    parsed = {
        key.upper(): _parsed(value) for key, value in update.items() if key.upper() in ("MERGE", "RESET")
    }
    if not isinstance(parsed.get("MERGE", {}), dict) or not isinstance(parsed.get("RESET", []), list):
        raise _not_deployed()
    return {"MERGE": {}, "RESET": []} | parsed


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise _invalid_configuration() from error


def _invalid_configuration() -> ServiceError:
    return ServiceError("Invalid componentToConfiguration value.")
