"""The component store under the root's ``packages/``: recipes and artifacts of every version that is kept.

What a deployment puts over something else is moved aside first, by renaming, so that it can be put back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edgehost.packages import RECIPE_SUFFIXES, Found, Layout, Staged, read_recipes
from edgehost.recipe import Rules

_TREES = ("artifacts", "artifacts-unarchived")


class ComponentStore:
    """Versions of components, with or without the directories that they came from."""

    def __init__(self, layout: Layout, rules: Rules) -> None:
        self.layout = layout
        self._rules = rules
        self._root = layout.root / "packages"

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """A directory to stage versions in, one deployment's at a time; what is not installed of it goes at the end.

        So does what a killed host left there, at the next beginning.
        """
        directory = self._root / ".staging"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def recipes(self) -> tuple[list[Found], list[str]]:
        """What is kept, and the recipes that can't be read, with reasons."""
        if not self.layout.recipes().is_dir():
            return [], []
        return read_recipes(self.layout.recipes(), self._rules)

    def install(self, staged: Staged, aside: Path) -> None:
        """Put a version in place; what was there before is kept under ``aside``."""
        for old in self._of(staged.recipe.name, staged.recipe.version):
            self._move(old, aside / old.relative_to(self._root))
        name = f"{staged.recipe.name}-{staged.recipe.version}{staged.recipe_file.suffix}"
        self._move(staged.recipe_file, self.layout.recipes() / name)
        self._move(staged.artifacts, self.layout.artifacts(staged.recipe))
        self._move(staged.unarchived, self.layout.unarchived(staged.recipe))

    def restore(self, aside: Path) -> None:
        """Put back what ``install`` moved aside."""
        for recipe in (aside / "recipes").glob("*"):
            for suffix in RECIPE_SUFFIXES:
                (self.layout.recipes() / f"{recipe.stem}{suffix}").unlink(missing_ok=True)
            self._move(recipe, self.layout.recipes() / recipe.name)
        for tree in _TREES:
            for version in (aside / tree).glob("*/*"):
                self._move(version, self._root / version.relative_to(aside))

    def clean(self, kept: Mapping[str, set[str]]) -> None:
        """Delete every version that is not among these, as ``ComponentManager.cleanupStaleVersions`` does."""
        for found in self.recipes()[0]:
            if found.recipe.version not in kept.get(found.recipe.name, ()):
                found.path.unlink()
        for tree in _TREES:
            for version in (self._root / tree).glob("*/*"):
                if version.name not in kept.get(version.parent.name, ()):
                    shutil.rmtree(version)

    def _of(self, name: str, version: str) -> Iterator[Path]:
        for found in self.recipes()[0]:
            if (found.recipe.name, found.recipe.version) == (name, version):
                yield found.path
        for tree in _TREES:
            if (path := self._root / tree / name / version).exists():
                yield path

    def _move(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            shutil.rmtree(target)
        source.replace(target)
