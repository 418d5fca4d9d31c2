"""Which version of which component a device gets: what root components and dependencies require -> recipes. Pure.

1. A version must satisfy everyone who requires the component, in npm's notation.
2. Of those that do, the one that runs already is kept; otherwise the highest is taken.
3. Whoever is neither a root component nor required by one that stays is not in the result.

Source: ``DependencyResolver`` and ``ComponentManager.findLocalBestCandidate`` of the nucleus.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from semantic_version import NpmSpec, Version

from edgehost.recipe import Recipe

_MAX_ROUNDS = 100
_AFTER_OPERATOR = re.compile(r"([<>=~^])\s+")
_PUBLIC = "aws.greengrass."
DEPLOYMENT = "the deployment"
"""Who requires the root components."""

Requirements = dict[str, dict[str, str]]
"""Component -> who requires it -> the versions that will do."""


class ResolutionError(Exception):
    """No choice of versions satisfies everyone; the message tells who requires what of whom, and what there is."""


@dataclass(frozen=True, slots=True)
class Known:
    """The recipes to choose from, and for errors: where they are, and the refused ones, each with the reason."""

    recipes: Sequence[Recipe]
    where: str
    refused: Sequence[str] = ()

    def of(self, name: str) -> list[Recipe]:
        """All versions of a component."""
        return [recipe for recipe in self.recipes if recipe.name == name]


def resolve(
    roots: Mapping[str, str],
    known: Known,
    running: Mapping[str, str],
    built_in: Mapping[str, str | None],
) -> dict[str, Recipe]:
    """The recipes of all components that the roots need, dependencies first. Raises ResolutionError.

    ``running`` are the versions that run now; ``built_in`` those that the nucleus brings along, None for any.
    """
    chosen: dict[str, Recipe | None] = {}
    for _ in range(_MAX_ROUNDS):
        requirements = _gather(roots, chosen)
        built = {name for name in requirements if name in built_in and not known.of(name)}
        for name in built:
            _check_built_in(name, built_in[name], requirements[name])
        choice = {
            name: _choose(known.of(name), wanted, running.get(name))
            for name, wanted in requirements.items()
            if name not in built
        }
        if choice == chosen:
            return _in_order(
                {name: recipe or _fail(name, requirements, known) for name, recipe in choice.items()}
            )
        chosen = choice
    raise ResolutionError(f"no choice of versions satisfies {', '.join(roots)} and what they depend on")


def _gather(roots: Mapping[str, str], chosen: Mapping[str, Recipe | None]) -> Requirements:
    """Who requires what, as far as the choice so far tells."""
    requirements: Requirements = {name: {DEPLOYMENT: version} for name, version in roots.items()}
    waiting = list(roots)
    while waiting:
        recipe = chosen.get(waiting.pop())
        for name, dependency in recipe.dependencies.items() if recipe else ():
            if name not in requirements:
                requirements[name] = {}
                waiting.append(name)
            requirements[name][f"{recipe.name} {recipe.version}"] = dependency.requirement  # type: ignore[union-attr]
    return requirements


def _choose(candidates: Iterable[Recipe], wanted: Mapping[str, str], running: str | None) -> Recipe | None:
    fitting = [
        recipe
        for recipe in candidates
        if all(_satisfies(recipe.version, requirement, who) for who, requirement in wanted.items())
    ]
    kept = (recipe for recipe in fitting if recipe.version == running)
    return next(kept, None) or max(fitting, key=_precedence, default=None)


def _precedence(recipe: Recipe) -> tuple[Version, ...]:
    try:
        return (Version(recipe.version),)
    except ValueError:
        return ()  # 01.0.0 is no semantic version; any that is comes before it


def _satisfies(version: str, requirement: str, who: str) -> bool:
    if version == requirement:
        return True
    try:
        spec = NpmSpec(_AFTER_OPERATOR.sub(r"\1", requirement))
    except ValueError as error:
        raise ResolutionError(
            f"{who} requires {requirement!r}, which is no version requirement: {error}"
        ) from error
    try:
        return bool(spec.match(Version(version)))
    except ValueError:
        return False  # 01.0.0 is no semantic version: only whoever asks for just that gets it


def _check_built_in(name: str, version: str | None, wanted: Mapping[str, str]) -> None:
    for who, requirement in wanted.items():
        if version is not None and not _satisfies(version, requirement, who):
            raise ResolutionError(f"{who} requires {name} {requirement}; this nucleus has {version}")


def _fail(name: str, requirements: Requirements, known: Known) -> Recipe:
    wanted = requirements[name]
    versions = ", ".join(recipe.version for recipe in known.of(name))
    there_are = f"; there are {versions}" if versions else ""
    refused = f"; refused: {'; '.join(known.refused)}" if known.refused else ""
    if len(wanted) > 1 and versions:
        all_of_them = ", ".join(
            f"{who} requires {requirement}" for who, requirement in sorted(wanted.items())
        )
        raise ResolutionError(f"no version of {name} satisfies everyone: {all_of_them}{there_are}{refused}")
    who, requirement = next(iter(wanted.items()))
    if who == DEPLOYMENT:
        raise ResolutionError(f"no recipe of {name} {requirement} {known.where}{there_are}{refused}")
    advice = "put one into the recipe directory"
    if name.startswith(_PUBLIC):
        advice = f"this host has none of AWS's own components: leave the dependency out, or {advice}"
    raise ResolutionError(
        f"{who} depends on {name} {requirement}, of which there is no recipe {known.where}{there_are}; "
        f"{advice}{refused}"
    )


def _in_order(recipes: Mapping[str, Recipe]) -> dict[str, Recipe]:
    graph = {name: [other for other in recipes[name].dependencies if other in recipes] for name in recipes}
    try:
        return {name: recipes[name] for name in graphlib.TopologicalSorter(graph).static_order()}
    except graphlib.CycleError as error:
        raise ResolutionError(f"dependencies go in a circle: {' -> '.join(error.args[1])}") from error
