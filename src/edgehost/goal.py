"""What a deployment is to make of the device: found among what is given and what is kept, and staged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgehost.configuration import Change
from edgehost.deployed import Deployed
from edgehost.packages import Found, PackageError, Staged, read_recipes, stage
from edgehost.profile import Profile
from edgehost.recipe import Recipe
from edgehost.request import Request, RequestError
from edgehost.resolution import Known, resolve
from edgehost.store import ComponentStore

_UNCHANGED = Change()
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Goal:
    """What the device is to have: root components, all recipes with dependencies first, and configuration changes."""

    roots: Mapping[str, str]
    recipes: Mapping[str, Recipe]
    staged: Sequence[Staged]
    """Those whose recipe or artifacts the store has otherwise, or not at all."""
    changes: Mapping[str, Change]

    def change(self, name: str) -> Change:
        """The configuration change of a component."""
        return self.changes.get(name, _UNCHANGED)


def prepare(
    request: Request, deployed: Deployed, store: ComponentStore, profile: Profile, staging: Path
) -> Goal:
    """Resolve what is asked for and stage what the store lacks.

    Raises RequestError, ResolutionError, PackageError or OSError.
    """
    roots = request.roots(deployed.roots)
    changes = request.changes()
    given, refused = read_recipes(request.recipes, profile.rules) if request.recipes else ([], [])
    kept, unreadable = store.recipes()
    found = _by_key(kept) | _by_key(given)
    where = (
        f"in {request.recipes} or on this device"
        if request.recipes
        else "on this device; name some (--recipes)"
    )
    known = Known([each.recipe for each in found.values()], where, [*refused, *unreadable])
    recipes = resolve(roots, known, deployed.versions, profile.built_in)
    if strangers := set(changes) - set(recipes):
        names = ", ".join(sorted(strangers))
        raise RequestError(f"configuration for {names}, which would not be deployed; add --add NAME=VERSION")
    wanted = [found[recipe.name, recipe.version] for recipe in recipes.values()]
    return Goal(roots, recipes, _staged(wanted, _by_key(kept), request.artifacts, store, staging), changes)


def _staged(
    wanted: Sequence[Found],
    kept: Mapping[_Key, Found],
    artifacts: Path | None,
    store: ComponentStore,
    staging: Path,
) -> list[Staged]:
    """What of the wanted the store has otherwise, or not at all."""
    if artifacts and not artifacts.is_dir():
        raise PackageError(f"artifact directory {artifacts} is not a directory")
    staged = []
    for each in wanted:
        stored = kept.get((each.recipe.name, each.recipe.version))
        if each == stored and artifacts is None:
            continue
        candidate = stage(each, artifacts, store.layout, staging)
        if candidate.differs(store.layout, stored.path if stored else None):
            staged.append(candidate)
    return staged


def _by_key(found: Sequence[Found]) -> dict[_Key, Found]:
    return {(each.recipe.name, each.recipe.version): each for each in found}
