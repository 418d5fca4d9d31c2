"""What is deployed on the device, as it survives a restart: ``config/deployment.json`` under the root.

While a deployment is in progress the file still tells what was there before, and that deployment's id. So what the
file says is true at every moment, and a host that finds an id there was ended in the middle: it rolls back.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgehost import durable
from edgehost.packages import Layout
from edgehost.store import ComponentStore

# DeploymentResult's names, as a job's status has them.
SUCCEEDED = "SUCCEEDED"
NO_STATE_CHANGE = "FAILED_NO_STATE_CHANGE"
ROLLED_BACK = "FAILED_ROLLBACK_COMPLETE"
NOT_ROLLED_BACK = "FAILED_ROLLBACK_NOT_REQUESTED"
UNABLE_TO_ROLL_BACK = "FAILED_UNABLE_TO_ROLLBACK"


@dataclass(frozen=True, slots=True)
class Deployed:
    """The root components with what was asked of their versions, and the version of every component."""

    roots: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    previous: Mapping[str, str] = field(default_factory=dict)
    """The version that a component had before this one."""
    last: Mapping[str, Any] | None = None
    """The last deployment: ``id``, ``time``, ``status``, ``cause``."""
    ongoing: str | None = None

    def followed_by(self, roots: Mapping[str, str], versions: Mapping[str, str]) -> Deployed:
        """The state after a deployment, with the versions that it replaced as the previous ones."""
        previous = {
            name: self.versions[name]
            if self.versions.get(name, version) != version
            else self.previous.get(name)
            for name, version in versions.items()
        }
        return Deployed(roots, versions, {name: old for name, old in previous.items() if old}, self.last)

    def kept_versions(self) -> dict[str, set[str]]:
        """The versions that the store must keep, by component."""
        return {name: {version, self.previous.get(name, version)} for name, version in self.versions.items()}


@dataclass(frozen=True, slots=True)
class Undo:
    """What a deployment needs to be undone, under ``deployments/ID``."""

    directory: Path

    @property
    def configuration(self) -> Path:
        """All components' configuration as it was, with its times."""
        return self.directory / "configuration.json"

    @property
    def replaced(self) -> Path:
        """What was in the store in place of what the deployment put there."""
        return self.directory / "replaced"

    def forget(self) -> None:
        """It is needed no more."""
        shutil.rmtree(self.directory, ignore_errors=True)


class StateFile:
    """The file, and what it says."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = layout.root / "config" / "deployment.json"
        stored = durable.read_mapping(self._path)
        try:
            self.deployed = Deployed(**stored)
            dict(self.deployed.roots), dict(self.deployed.versions), dict(self.deployed.previous)
        except (TypeError, ValueError) as error:
            raise durable.damaged(self._path, str(error)) from error

    def save(self, deployed: Deployed) -> None:
        """Make this what is deployed. Raises OSError with nothing changed."""
        durable.write(self._path, json.dumps(dataclasses.asdict(deployed), indent=1))
        self.deployed = deployed

    def undo(self, deployment: str) -> Undo:
        """Where a deployment keeps what it needs to be undone."""
        return Undo(self._layout.root / "deployments" / deployment)

    def recover(self, store: ComponentStore, configuration: Path) -> str | None:
        """Roll back what the host's end left in the middle, before anything is read; its id."""
        if interrupted := self.deployed.ongoing:
            undo = self.undo(interrupted)
            if undo.configuration.exists():
                durable.write(configuration, undo.configuration.read_text())
            store.restore(undo.replaced)
            cause = "the host ended in the middle of it; rolled back when it started again"
            self.save(
                dataclasses.replace(self.deployed, last=result(interrupted, ROLLED_BACK, cause), ongoing=None)
            )
        shutil.rmtree(self._layout.root / "deployments", ignore_errors=True)
        return interrupted


def result(deployment: str, status: str, cause: str | None = None) -> dict[str, Any]:
    """How a deployment ended, just now."""
    time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return {"id": deployment, "time": time, "status": status, "cause": cause}
