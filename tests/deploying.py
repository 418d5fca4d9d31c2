"""Deployments of components that are shell scripts, with recipes written on the way."""

from __future__ import annotations

import json
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from edgehost.state import State

FOREVER = "while true; do sleep 0.05; done"


class Deploying:
    """A recipe directory, and deployments from it to a host."""

    def __init__(self, bench: Any, directory: Path) -> None:
        self.bench = bench
        self.recipes = directory / "recipes"
        self.artifacts = directory / "artifacts"
        self.recipes.mkdir()
        self.artifacts.mkdir()

    def recipe(self, name: str, version: str = "1.0.0", *, run: str = FOREVER, **more: Any) -> None:
        """Write a recipe; ``dependencies``, ``configuration``, ``install``, ``startup``, ``artifacts`` by name.

        A dependency is written ``HARD`` or ``SOFT >=1.2.0``; ``artifact`` is what else every artifact has.
        """
        steps = {"startup": more["startup"]} if "startup" in more else {"run": run}
        manifest = {
            "Platform": {"os": "linux", "runtime": "*"},
            "Artifacts": [
                {"Uri": f"s3://b/{name}/{version}/{file}", **more.get("artifact", {})}
                for file in more.get("artifacts", ())
            ],
            "Lifecycle": steps | ({"install": more["install"]} if "install" in more else {}),
        }
        recipe = {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": version,
            "ComponentDependencies": {
                other: _dependency(*written.split(maxsplit=1))
                for other, written in more.get("dependencies", {}).items()
            },
            "ComponentConfiguration": {"DefaultConfiguration": more.get("configuration", {})},
            "Manifests": [manifest],
        }
        (self.recipes / f"{name}-{version}.json").write_text(json.dumps(recipe))

    def start(self, *names: str, config: dict[str, Any] | None = None, **options: Any) -> Future[None]:
        """Begin a deployment of versions written NAME=VERSION or NAME for 1.0.0."""
        versions = dict(name.split("=") if "=" in name else (name, "1.0.0") for name in names)
        host = self.bench.host
        given = {"recipes": self.recipes, "artifacts": self.artifacts} | options
        return self.bench.threaded.submit(host.deploy(versions=versions, config=config, **given))

    def __call__(self, *names: str, config: dict[str, Any] | None = None, **options: Any) -> None:
        """Deploy and wait."""
        self.start(*names, config=config, **options).result(20)

    def state(self, name: str) -> State:
        return self.bench.host.components[name].state

    def pid(self, name: str) -> int | None:
        return self.bench.host.components[name].pid

    def log(self, name: str) -> str:
        path = self.bench.host.root / "logs" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def artifact(self, name: str, file: str, text: str, version: str = "1.0.0") -> Path:
        """Write an artifact."""
        path = self.artifacts / name / version / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def last(self) -> Any:
        """The status of the last deployment."""
        return self.bench.host.last_deployment()["status"]

    def version(self, name: str) -> str:
        return self.bench.host.components[name].recipe.version


def _dependency(kind: str, requirement: str = ">=0.0.0") -> dict[str, str]:
    return {"DependencyType": kind, "VersionRequirement": requirement}
