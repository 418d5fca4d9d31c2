"""Local deployments: recipes and artifacts on disk become running components, or everything is as it was before.

1. Resolve: which version of which component; stage what the store lacks; check that scripts can be made of it.
2. Ask for consent to update, then the components whose configuration changes. Nothing was touched until here.
3. Keep what is needed to roll back. Stop what moves, change files and configuration, start in order of dependency.
4. Wait until all are up. Remove what nobody needs any more. Only now is it recorded as what is deployed.
5. Where 3 or 4 fails, roll back: files, configuration with its times, and components are what they were.

A component moves when its version, recipe, artifacts or the scripts made with its configuration change, when it was
BROKEN, and when something that it HARD-depends on moves.

Source: ``DefaultDeploymentTask``, ``DeploymentConfigMerger`` and ``DefaultActivator`` of the nucleus. Lite
(``deployment_handler.c``) does the same up to the end of 4, without 5.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgehost import durable
from edgehost.components import BrokenComponentError, Components
from edgehost.configuration import ConfigurationStore, now_ms
from edgehost.deployed import (
    NO_STATE_CHANGE,
    NOT_ROLLED_BACK,
    ROLLED_BACK,
    SUCCEEDED,
    UNABLE_TO_ROLL_BACK,
    Deployed,
    StateFile,
    Undo,
    result,
)
from edgehost.goal import Goal, prepare
from edgehost.packages import PackageError
from edgehost.profile import Profile
from edgehost.recipe import Recipe, RecipeError
from edgehost.request import Policy, Request, RequestError
from edgehost.resolution import ResolutionError
from edgehost.services import Consultation
from edgehost.state import State
from edgehost.store import ComponentStore
from edgehost.variables import VariableError

__all__ = ["Deployer", "DeploymentError", "Policy", "Request"]

log = logging.getLogger(__name__)


class DeploymentError(Exception):
    """The deployment failed; the message tells what of which component, its last log lines, and what was done."""

    def __init__(self, message: str, status: str = NO_STATE_CHANGE) -> None:
        super().__init__(message)
        self.status = status


class Before:
    """The components as they were before a deployment, and which of them it touches."""

    def __init__(self, components: Components, goal: Goal, anew: set[str]) -> None:
        self.components = dict(components.by_name)
        self.broken = {name for name, each in self.components.items() if each.state == State.BROKEN}
        self.moving = components.with_dependents(anew & set(self.components)) | anew
        self.touched = self.moving | (set(self.components) - set(goal.recipes))


class Deployer:
    """Carries out one deployment at a time."""

    def __init__(
        self,
        profile: Profile,
        components: Components,
        configuration: ConfigurationStore,
        consultation: Consultation,
        store: ComponentStore,
        state: StateFile,
    ) -> None:
        self._profile = profile
        self._components = components
        self._configuration = configuration
        self._consultation = consultation
        self._store = store
        self._state = state
        self._undone: tuple[Before, Undo] | None = None
        """Of a deployment in progress, or of one that could not be rolled back."""

    @property
    def deployed(self) -> Deployed:
        """What is deployed now, and how the last deployment ended."""
        return self._state.deployed

    def start(self) -> None:
        """Begin to start what is deployed, as the host does when it starts; nothing is waited for."""
        self._clean()  # of what a deployment had put there as the host ended
        kept = {(found.recipe.name, found.recipe.version): found.recipe for found in self._store.recipes()[0]}
        for name, version in self.deployed.versions.items():
            if recipe := kept.get((name, version)):
                self._components.make(recipe, is_new=False)
            else:
                log.error(
                    "%s %s is deployed, but not started: there is no recipe of it in %s that can be read; "
                    "deploy it again",
                    name,
                    version,
                    self._store.layout.recipes(),
                )
        self._components.start(self._components.by_name)

    async def deploy(self, request: Request) -> None:
        """Carry out the request. Raises DeploymentError."""
        identity = str(uuid.uuid4())
        try:
            await self._deploy(request, identity)
        except DeploymentError as error:
            try:
                last = result(identity, error.status, str(error))
                self._state.save(dataclasses.replace(self.deployed, last=last))
            except OSError as unsaved:
                log.warning("the end of deployment %s could not be recorded: %s", identity, unsaved)
            raise

    async def _deploy(self, request: Request, identity: str) -> None:
        await self._finish_rollback()
        try:
            with self._store.staging() as staging:
                goal = await self._prepare(request, staging)
                await self._consultation.consent(identity, request.answer_timeout_s)
                try:
                    await self._validate(goal, identity, request.answer_timeout_s)
                    await self._carry_out(goal, request, identity)
                finally:
                    self._consultation.announce_done(identity)
        except (PackageError, RecipeError, RequestError, ResolutionError, VariableError, OSError) as error:
            raise DeploymentError(str(error)) from error

    async def _prepare(self, request: Request, staging: Path) -> Goal:
        """Resolve, stage and check, without touching anything; large artifacts hold up nobody else."""
        goal = await asyncio.to_thread(prepare, request, self.deployed, self._store, self._profile, staging)
        for recipe in goal.recipes.values():
            self._scripts_after(recipe, goal)
        return goal

    async def _validate(self, goal: Goal, identity: str, timeout_s: float) -> None:
        for name, recipe in goal.recipes.items():
            planned = self._planned(recipe, goal)
            if name not in self._configuration or planned == self._configuration.value(name):
                continue
            refusal = await self._consultation.validate(name, planned, identity, timeout_s)
            if refusal is not None:
                raise DeploymentError(f"{name} refused the new configuration: {refusal}")

    async def _carry_out(self, goal: Goal, request: Request, identity: str) -> None:
        """Make it so, or undo it. Raises DeploymentError."""
        anew = self._anew(goal)
        before = Before(self._components, goal, anew)
        undo = self._begin(identity)
        self._undone = before, undo
        try:
            await self._apply(goal, anew, before.moving, undo)
            self._commit(goal, result(identity, SUCCEEDED))
        except Exception as error:  # whatever it was, the device must not be left between two states
            if not isinstance(error, (BrokenComponentError, OSError)):
                log.exception("deployment %s failed", identity)
            if request.policy == "rollback":
                outcome, status = await self._roll_back(before, undo)
            else:
                self._commit(goal, {})
                self._forget(undo)
                outcome, status = "not rolled back, as asked", NOT_ROLLED_BACK
            raise DeploymentError(f"{error}\n{outcome}", status) from error
        self._forget(undo)
        self._clean()

    def _anew(self, goal: Goal) -> set[str]:
        """The components that are made anew: all others go on with what they are, or are restarted."""
        staged = {each.recipe.name for each in goal.staged}
        return {
            name for name, recipe in goal.recipes.items() if name in staged or self._differs(recipe, goal)
        }

    def _differs(self, recipe: Recipe, goal: Goal) -> bool:
        component = self._components.by_name.get(recipe.name)
        if component is None or component.recipe != recipe or component.state == State.BROKEN:
            return True
        if self._profile.restarts_on_configuration and recipe.name in goal.changes:
            return True
        return self._components.scripts(recipe) != self._scripts_after(recipe, goal)

    def _begin(self, identity: str) -> Undo:
        """Keep what is needed to roll back, then say that the deployment is in progress."""
        undo = self._state.undo(identity)
        try:
            durable.write(undo.configuration, self._configuration.snapshot())
            self._state.save(dataclasses.replace(self.deployed, ongoing=identity))
        except OSError:
            undo.forget()
            raise
        return undo

    async def _apply(self, goal: Goal, anew: set[str], moving: set[str], undo: Undo) -> None:
        async with self._components.changing:
            await self._components.stop(moving)
            for each in goal.staged:
                self._store.install(each, undo.replaced)
            for name, recipe in goal.recipes.items():
                self._configuration.deploy(name, recipe.default_configuration, goal.change(name), now_ms())
            for name in anew:
                self._components.make(goal.recipes[name])
            self._components.start(moving & set(goal.recipes))
        await self._components.healthy(goal.recipes, moving)
        async with self._components.changing:
            obsolete = set(self._components.by_name) - set(goal.recipes)
            await self._components.stop(obsolete)
            for name in obsolete:
                self._components.remove(name)
                self._configuration.remove(name)

    def _commit(self, goal: Goal, last: Mapping[str, Any]) -> None:
        versions = {name: component.recipe.version for name, component in self._components.by_name.items()}
        self._state.save(dataclasses.replace(self.deployed.followed_by(goal.roots, versions), last=last))

    async def _roll_back(self, before: Before, undo: Undo) -> tuple[str, str]:
        """Go back to the components that were there before; what became of it, in words and as a status."""
        back = before.touched & set(before.components)
        try:
            async with self._components.changing:
                await self._components.stop(before.touched)
                self._configuration.restore(undo.configuration.read_text())
                self._store.restore(undo.replaced)
                for name in before.touched - back:
                    self._components.remove(name)
                for name in back:
                    self._components.by_name[name] = before.components[name]
                    self._components.renew(name)
                self._components.start(back)
            self._state.save(dataclasses.replace(self.deployed, ongoing=None))
            self._forget(undo)
            self._clean()
            await self._components.healthy(set(before.components) - before.broken, back)
        except Exception as error:  # that it could not be undone must be told together with why it had to be
            log.exception("the rollback failed")
            return f"the rollback failed too: {error}", UNABLE_TO_ROLL_BACK
        running = ", ".join(f"{name} {before.components[name].recipe.version}" for name in sorted(back))
        return f"rolled back{running and '; running again: '}{running}", ROLLED_BACK

    async def _finish_rollback(self) -> None:
        """Undo what could not be undone before, such as for want of room on the disk. Raises DeploymentError."""
        if self._undone is None:
            return
        outcome, _ = await self._roll_back(*self._undone)
        if self._undone is not None:
            raise DeploymentError(f"the deployment before this one is still to be rolled back: {outcome}")
        log.warning("the deployment before this one is undone only now: %s", outcome)

    def _forget(self, undo: Undo) -> None:
        self._undone = None
        undo.forget()

    def _clean(self) -> None:
        try:
            self._store.clean(self.deployed.kept_versions())
        except OSError as error:
            log.warning("old versions could not be deleted: %s", error)

    def _planned(self, recipe: Recipe, goal: Goal) -> Any:
        """The component's configuration as it would be after the deployment, without making it so."""
        return self._configuration.preview(
            recipe.name, recipe.default_configuration, goal.change(recipe.name)
        )

    def _scripts_after(self, recipe: Recipe, goal: Goal) -> str:
        try:
            return self._components.scripts_with(
                recipe, goal.recipes, lambda name: self._planned(goal.recipes[name], goal)
            )
        except VariableError as error:
            raise VariableError(f"{recipe.name} {recipe.version}: {error}") from error
