"""The components of a host: made from recipes, started in order of dependency, stopped in reverse, watched.

A component waits for what it HARD-depends on, and moves with it; a SOFT dependency is started first, and that is all.
Source: ``GreengrassService.dependencyReady`` and ``DeploymentConfigMerger.waitForServicesToStart`` of the nucleus.
"""

from __future__ import annotations

import asyncio
import graphlib
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from edgehost.component_log import ComponentLog
from edgehost.configuration import ConfigurationStore
from edgehost.environment import Surroundings
from edgehost.lifecycle import Component
from edgehost.packages import Layout
from edgehost.profile import Profile
from edgehost.recipe import Recipe, Step
from edgehost.state import State
from edgehost.variables import Scope, fill
from edgehost.within import within

STEADY_S = 1.0
"""How long a process must run to count as up: the nucleus looks at the components once a second."""
_LOG_LINES = 20
_CREDENTIALS = "aws.greengrass.TokenExchangeService"
_UP = (State.RUNNING, State.FINISHED)
_NOT_RUNNING = frozenset(State) - {State.RUNNING}


class BrokenComponentError(Exception):
    """A component is BROKEN; the message has its last log lines."""


class Components:
    """The components by name. ``by_name`` is the host's own mapping."""

    def __init__(
        self,
        by_name: dict[str, Component],
        profile: Profile,
        surroundings: Surroundings,
        configuration: ConfigurationStore,
        max_errors: int,
        steady_s: float = STEADY_S,
    ) -> None:
        self.by_name = by_name
        self._profile = profile
        self._surroundings = surroundings
        self._layout = Layout(surroundings.root)
        self._configuration = configuration
        self._max_errors = max_errors
        self._steady_s = steady_s
        self.changing = asyncio.Lock()
        """Held from the stopping of components to their start: a deployment's, a restart's, one by hand."""

    def make(self, recipe: Recipe, *, is_new: bool = True) -> None:
        """Have a component of this recipe, in place of what may be there by its name, not started yet.

        ``is_new`` unless it was deployed before the host started.
        """
        component_log = ComponentLog(self._layout.log(recipe.name), recipe.name)
        if _CREDENTIALS in recipe.dependencies and _CREDENTIALS not in self.by_name:
            component_log.event(
                "WARN", f"there are no AWS credentials on this host, in spite of {_CREDENTIALS}"
            )
        self.by_name[recipe.name] = Component(
            recipe,
            self._layout.work(recipe.name),
            component_log,
            self._surroundings.environment(recipe.name),
            self._filler(recipe),
            self._profile.upkeep,
            self._max_errors,
            self._dependencies(recipe),
            is_new=is_new,
        )

    def remove(self, name: str) -> None:
        """Forget a component that is stopped; its token is void."""
        self.by_name.pop(name, None)
        self._surroundings.tokens.revoke(name)

    def renew_environments(self) -> None:
        """Processes that are started from now on get a new token, where the one before is void."""
        for name, component in self.by_name.items():
            component.environment = self._surroundings.environment(name)

    def renew(self, name: str) -> None:
        """A component gets a new token, and is installed anew when it starts."""
        self.by_name[name].renew(self._surroundings.environment(name))

    def in_order(self) -> list[str]:
        """All names, dependencies first."""
        graph = {
            name: [other for other in component.recipe.dependencies if other in self.by_name]
            for name, component in self.by_name.items()
        }
        return list(graphlib.TopologicalSorter(graph).static_order())

    def with_dependents(self, names: Iterable[str]) -> set[str]:
        """These, and all that HARD-depend on them, directly or not."""
        moving = set(names)
        for name in self.in_order():
            if moving & set(_hard(self.by_name[name].recipe)):
                moving.add(name)
        return moving

    async def stop(self, names: Collection[str]) -> None:
        """Stop them, dependents first, each when those before are gone."""
        for name in reversed(self.in_order()):
            if name in names:
                await self.by_name[name].stop()

    def start(self, names: Collection[str]) -> None:
        """Start them, dependencies first; each waits by itself for what it needs."""
        for name in self.in_order():
            if name in names:
                self.by_name[name].start()

    async def restart(self, name: str) -> None:
        """Stop a component and its HARD dependents, start them again, and wait until it has settled."""
        async with self.changing:
            moving = self.with_dependents([name])
            await self.stop(moving)
            self.start(moving)
        await self.settled(name)

    async def settled(self, name: str) -> None:
        """Wait until a component is RUNNING, FINISHED or BROKEN, or waits for one that is BROKEN."""
        for dependency in _hard(self.by_name[name].recipe):
            if dependency in self.by_name:
                await self.settled(dependency)
                if self.by_name[dependency].state not in _UP:
                    return
        await self.by_name[name].settled()

    async def healthy(self, names: Iterable[str], started: Collection[str]) -> None:
        """Wait until all are RUNNING or FINISHED, those that were ``started`` for good as far as can be seen.

        Raises BrokenComponentError as soon as one is BROKEN, whatever the others do.
        """
        waiting = [asyncio.ensure_future(self._healthy(name, name in started)) for name in names]
        try:
            await asyncio.gather(*waiting)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def scripts(self, recipe: Recipe) -> str:
        """All scripts of a recipe as its configuration makes them now."""
        recipes = {name: component.recipe for name, component in self.by_name.items()}
        return self.scripts_with(recipe, recipes, self._configuration.value)

    def scripts_with(
        self, recipe: Recipe, recipes: Mapping[str, Recipe], configuration: Callable[[str], Any]
    ) -> str:
        """All scripts of a recipe, among others and with the configuration of each filled in: where that differs
        from what they are now, they must run again. Raises VariableError.
        """
        scope = self._scope(recipe, recipes, configuration)
        steps = [fill(step, scope, self._profile.rules) for step in recipe.steps.values()]
        return json.dumps([[step.script, *step.environment.values()] for step in steps])

    async def _healthy(self, name: str, is_started: bool) -> None:
        component = self.by_name[name]
        while (state := await component.settled()) == State.RUNNING:
            # a startup that ended well has proved itself; a process that was only just begun has not
            if not is_started or "run" not in component.recipe.steps:
                return
            try:
                await within(self._steady_s, component.one_of(_NOT_RUNNING))
            except asyncio.TimeoutError:
                return
        if state == State.BROKEN:
            lines = "\n  ".join(component.log.tail(_LOG_LINES))
            raise BrokenComponentError(
                f"{name} {component.recipe.version} is BROKEN; {component.log.path} ends:\n  {lines}"
            )

    def _dependencies(self, recipe: Recipe) -> Callable[[], Awaitable[None]]:
        async def up() -> None:
            for name in _hard(recipe):
                if dependency := self.by_name.get(name):
                    await dependency.one_of(_UP)

        return up

    def _filler(self, recipe: Recipe) -> Callable[[Step], Step]:
        def filled(step: Step) -> Step:
            recipes = {name: component.recipe for name, component in self.by_name.items()}
            scope = self._scope(recipe, recipes, self._configuration.value)
            return fill(step, scope, self._profile.rules)

        return filled

    def _scope(
        self, recipe: Recipe, recipes: Mapping[str, Recipe], configuration: Callable[[str], Any]
    ) -> Scope:
        """What a recipe's variables stand for, those of its dependencies too."""
        dependencies = {
            name: Scope(self._values(recipes[name]), configuration(name))
            for name in recipe.dependencies
            if name in recipes
        }
        return Scope(self._values(recipe), configuration(recipe.name), dependencies)

    def _values(self, recipe: Recipe) -> dict[str, str]:
        end = self._profile.rules.path_end
        return {
            "artifacts:path": f"{self._layout.artifacts(recipe)}{end}",
            "artifacts:decompressedPath": f"{self._layout.unarchived(recipe)}{end}",
            "kernel:rootPath": str(self._surroundings.root),
            "iot:thingName": self._surroundings.thing_name,
            "work:path": f"{self._layout.work(recipe.name)}{end}",
        }


def _hard(recipe: Recipe) -> Iterator[str]:
    return (name for name, dependency in recipe.dependencies.items() if dependency.kind == "HARD")
