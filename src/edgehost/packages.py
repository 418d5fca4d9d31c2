"""A component's files: found among recipes and artifacts on disk, staged, then put in place under the host's root.

Nothing of a running component changes before ``Staged.install``, so that a deployment that fails early does no harm.
"""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgehost.recipe import Recipe, RecipeError, Rules, load

_SUFFIXES = (".yaml", ".yml", ".json")


class PackageError(Exception):
    """A recipe or artifact that is missing or can't be used; the message tells which and why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are under the root, as on a classic core device."""

    root: Path

    def work(self, component: str) -> Path:
        """The component's work directory."""
        return self.root / "work" / component

    def log(self, component: str) -> Path:
        """The component's log file."""
        return self.root / "logs" / f"{component}.log"

    def artifacts(self, recipe: Recipe) -> Path:
        """Where ``{artifacts:path}`` points."""
        return self.root / "packages" / "artifacts" / recipe.name / recipe.version

    def unarchived(self, recipe: Recipe) -> Path:
        """Where ``{artifacts:decompressedPath}`` points."""
        return self.root / "packages" / "artifacts-unarchived" / recipe.name / recipe.version

    def recipes(self) -> Path:
        """Where recipes are kept."""
        return self.root / "packages" / "recipes"


@dataclass(frozen=True, slots=True)
class Staged:
    """A component version ready to be put in place."""

    recipe: Recipe
    recipe_file: Path
    directory: Path

    def same_files(self, layout: Layout) -> bool:
        """Whether what is in place already is the same, file by file."""
        kept = layout.recipes() / _recipe_name(self)
        if not kept.exists() or kept.read_bytes() != self.recipe_file.read_bytes():
            return False
        return _contents(self.directory / "artifacts") == _contents(layout.artifacts(self.recipe))

    def install(self, layout: Layout) -> None:
        """Put recipe and artifacts in place, over those of an earlier deployment of the same version."""
        layout.recipes().mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.recipe_file, layout.recipes() / _recipe_name(self))
        _replace(self.directory / "artifacts", layout.artifacts(self.recipe))
        _replace(self.directory / "unarchived", layout.unarchived(self.recipe))


def find_recipe(directory: Path, name: str, version: str, rules: Rules) -> tuple[Recipe, Path]:
    """The recipe of a component's version, whatever its file is called. Raises PackageError where there is none."""
    if not directory.is_dir():
        raise PackageError(f"recipe directory {directory} is not a directory")
    unreadable: list[str] = []
    for path in sorted(path for path in directory.iterdir() if path.suffix in _SUFFIXES):
        try:
            recipe = load(path, rules)
        except RecipeError as error:
            unreadable.append(str(error))
            if path.stem == f"{name}-{version}":
                raise
            continue
        if (recipe.name, recipe.version) == (name, version):
            return recipe, path
    hint = f"; refused: {'; '.join(unreadable)}" if unreadable else ""
    raise PackageError(f"no recipe of {name} {version} in {directory}{hint}")


def stage(recipe: Recipe, recipe_file: Path, artifacts: Path | None, staging: Path) -> Staged:
    """Copy the artifacts into ``staging`` and unpack them. Raises PackageError for one that is missing or unsafe."""
    directory = Path(tempfile.mkdtemp(prefix=f"{recipe.name}-", dir=staging))
    (directory / "artifacts").mkdir()
    (directory / "unarchived").mkdir()
    for artifact in recipe.artifacts:
        if artifacts is None:
            raise PackageError(
                f"{recipe.name} {recipe.version} has artifacts; name their directory (--artifacts)"
            )
        source = artifacts / recipe.name / recipe.version / artifact.file
        if not source.is_file():
            raise PackageError(
                f"{recipe.name} {recipe.version}: artifact {source} is missing; build it first"
            )
        copied = directory / "artifacts" / artifact.file
        shutil.copyfile(source, copied)
        if artifact.unarchive:
            unzip(copied, directory / "unarchived" / Path(artifact.file).stem)
    return Staged(recipe, recipe_file, directory)


def unzip(archive: Path, target: Path) -> None:
    """Unpack into ``target``, with the files' permissions. Raises PackageError if any entry would leave it."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                _check_entry(archive, entry)
            for entry in opened.infolist():
                written = Path(opened.extract(entry, target))
                if (mode := (entry.external_attr >> 16) & 0o777) and not entry.is_dir():
                    written.chmod(mode | stat.S_IRUSR | stat.S_IWUSR)
    except (zipfile.BadZipFile, OSError) as error:
        raise PackageError(f"artifact {archive.name} can't be unpacked: {error}") from error
    target.mkdir(parents=True, exist_ok=True)


def _check_entry(archive: Path, entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    problem = ""
    if path.is_absolute() or ".." in path.parts:
        problem = "would be unpacked outside its directory"
    elif stat.S_ISLNK(entry.external_attr >> 16):
        problem = "is a symbolic link, which may point outside its directory"
    if problem:
        raise PackageError(f"artifact {archive.name}: entry {entry.filename!r} {problem}")


def _recipe_name(staged: Staged) -> str:
    return f"{staged.recipe.name}-{staged.recipe.version}{staged.recipe_file.suffix}"


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    shutil.move(source, target)


def _contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.is_dir() else {}
