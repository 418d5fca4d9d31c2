"""Local deployments: recipes and artifacts on disk become running components, or nothing changes.

Order: find and stage everything → check dependencies and variables → ask the components whose configuration
changes → ask for consent to update → in order of dependency, stop, replace and start what changed → wait until
all have settled.
"""

from __future__ import annotations

import graphlib
import json
import logging
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgehost.component_log import ComponentLog
from edgehost.configuration import ConfigurationStore, now_ms
from edgehost.environment import Surroundings
from edgehost.lifecycle import Component
from edgehost.packages import Layout, PackageError, Staged, find_recipe, stage
from edgehost.profile import Profile
from edgehost.recipe import Recipe, RecipeError
from edgehost.services import Consultation
from edgehost.state import State
from edgehost.variables import VariableError, interpolate

log = logging.getLogger(__name__)

_LOG_LINES = 20

Policy = Literal["rollback", "nothing"]


class DeploymentError(Exception):
    """The deployment failed; the message tells which component, why, and its last log lines where it has any."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to deploy: versions by component name, where to find them, and configuration to merge."""

    recipes: Path | None
    artifacts: Path | None
    versions: Mapping[str, str]
    config: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    policy: Policy = "rollback"
    # How long components may take to answer: classic's default for both policies is 60 s.
    answer_timeout_s: float = 60.0


class Deployer:
    """Carries out one deployment at a time."""

    def __init__(
        self,
        profile: Profile,
        surroundings: Surroundings,
        components: dict[str, Component],
        configuration: ConfigurationStore,
        consultation: Consultation,
        max_errors: int,
    ) -> None:
        self._profile = profile
        self._surroundings = surroundings
        self._layout = Layout(surroundings.root)
        self._components = components
        self._configuration = configuration
        self._consultation = consultation
        self._max_errors = max_errors
        self.roots: dict[str, str] = {}
        self.last_deployment: Mapping[str, Any] | None = None

    async def deploy(self, request: Request) -> None:
        """Carry out the request. Raises DeploymentError."""
        identity = str(uuid.uuid4())
        staging = self._surroundings.root / "packages"
        staging.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".staging-", dir=staging) as directory:
            try:
                staged = self._stage(request, Path(directory))
                self._check(staged, request)
            except (PackageError, RecipeError, VariableError) as error:
                raise DeploymentError(str(error)) from error
            await self._validate(staged, request, identity)
            await self._consultation.consent(identity, request.answer_timeout_s)
            try:
                for item in staged:
                    await self._apply(item, request)
                await self._wait(item.recipe.name for item in staged)
            finally:
                self._consultation.announce_done(identity)

    def _stage(self, request: Request, directory: Path) -> list[Staged]:
        """Everything the request names, dependencies first."""
        if request.recipes is None:
            if request.versions:
                raise DeploymentError("name the directory of the recipes (--recipes)")
            return []
        found = [
            find_recipe(request.recipes, name, version, self._profile.rules)
            for name, version in request.versions.items()
        ]
        recipes = {recipe.name: recipe for recipe, _ in found}
        files = {recipe.name: file for recipe, file in found}
        ordered = self._in_order(recipes)
        return [stage(recipes[name], files[name], request.artifacts, directory) for name in ordered]

    def _in_order(self, recipes: Mapping[str, Recipe]) -> list[str]:
        for recipe in recipes.values():
            for name in recipe.dependencies:
                if name not in recipes and name not in self._components:
                    raise DeploymentError(
                        f"{recipe.name} {recipe.version} depends on {name}, which is neither deployed nor in this "
                        f"deployment; add --add {name}=VERSION"
                    )
        graph = {
            name: [other for other in recipe.dependencies if other in recipes]
            for name, recipe in recipes.items()
        }
        try:
            return list(graphlib.TopologicalSorter(graph).static_order())
        except graphlib.CycleError as error:
            raise DeploymentError(f"dependencies go in a circle: {' -> '.join(error.args[1])}") from error

    def _check(self, staged: Iterable[Staged], request: Request) -> None:
        """Raise what would make a script unusable, before anything is touched."""
        if strangers := set(request.config) - set(request.versions):
            names = ", ".join(sorted(strangers))
            raise DeploymentError(
                f"configuration for {names}, which this deployment does not add; add --add NAME=VERSION"
            )
        for item in staged:
            try:
                self._scripts(item.recipe, self._planned(item.recipe, request))
            except VariableError as error:
                raise DeploymentError(f"{item.recipe.name} {item.recipe.version}: {error}") from error

    async def _validate(self, staged: Iterable[Staged], request: Request, identity: str) -> None:
        for item in staged:
            name = item.recipe.name
            planned = self._planned(item.recipe, request)
            if name not in self._configuration or planned == self._configuration.value(name):
                continue
            refusal = await self._consultation.validate(name, planned, identity, request.answer_timeout_s)
            if refusal is not None:
                raise DeploymentError(f"{name} refused the new configuration: {refusal}")

    async def _apply(self, item: Staged, request: Request) -> None:
        name = item.recipe.name
        old = self._components.get(name)
        unchanged = old is not None and old.recipe == item.recipe and item.same_files(self._layout)
        scripts_before = self._current_scripts(item.recipe) if unchanged else None
        if old and not unchanged:
            await old.stop()
        self._configure(item.recipe, request)
        if old and unchanged and scripts_before == self._current_scripts(item.recipe):
            if old.state == State.BROKEN:
                old.start()
            return
        if old and unchanged:
            await old.stop()
        item.install(self._layout)
        await self._hard_dependencies_settled(item.recipe)
        self._start(item.recipe)

    def _configure(self, recipe: Recipe, request: Request) -> None:
        self._configuration.add_defaults(recipe.name, recipe.default_configuration)
        self._configuration.merge(recipe.name, (), request.config.get(recipe.name, {}), now_ms())

    def _start(self, recipe: Recipe) -> None:
        work = self._layout.work(recipe.name)
        work.mkdir(parents=True, exist_ok=True)
        component = Component(
            recipe,
            work,
            ComponentLog(self._layout.log(recipe.name), recipe.name),
            self._surroundings.environment(recipe.name),
            self._interpolator(recipe),
            self._profile.upkeep,
            self._max_errors,
        )
        self._components[recipe.name] = component
        component.start()

    async def _hard_dependencies_settled(self, recipe: Recipe) -> None:
        for name, dependency in recipe.dependencies.items():
            if dependency.kind == "HARD":
                await self._wait([name])

    async def _wait(self, names: Iterable[str]) -> None:
        for name in names:
            component = self._components[name]
            if await component.settled() == State.BROKEN:
                lines = "\n  ".join(component.log.tail(_LOG_LINES))
                raise DeploymentError(
                    f"{name} {component.recipe.version} is BROKEN; {component.log.path} ends:\n  {lines}"
                )

    def _planned(self, recipe: Recipe, request: Request) -> Any:
        """The component's configuration as it would be after the deployment, without making it so."""
        return self._configuration.preview(
            recipe.name, recipe.default_configuration, request.config.get(recipe.name, {})
        )

    def _interpolator(self, recipe: Recipe) -> Callable[[str], str]:
        values = self._values(recipe)
        return lambda text: interpolate(text, values, self._configuration.value(recipe.name))

    def _current_scripts(self, recipe: Recipe) -> str:
        return self._scripts(recipe, self._configuration.value(recipe.name))

    def _scripts(self, recipe: Recipe, configuration: Any) -> str:
        """All scripts of a recipe with a configuration filled in: where that differs, they must run again."""
        texts = [[step.script, *step.environment.values()] for step in recipe.steps.values()]
        values = self._values(recipe)
        return json.dumps([[interpolate(text, values, configuration) for text in step] for step in texts])

    def _values(self, recipe: Recipe) -> dict[str, str]:
        return {
            "artifacts:path": str(self._layout.artifacts(recipe)),
            "artifacts:decompressedPath": str(self._layout.unarchived(recipe)),
            "kernel:rootPath": str(self._surroundings.root),
            "iot:thingName": self._surroundings.thing_name,
            "work:path": str(self._layout.work(recipe.name)),
        }
