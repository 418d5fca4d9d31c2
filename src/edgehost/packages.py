"""A component's files: found among recipes and artifacts on disk, checked, and staged for the component store.

Nothing outside the staging directory is touched, so that a deployment that fails early does no harm.
"""

from __future__ import annotations

import base64
import filecmp
import hashlib
import lzma
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from edgehost.recipe import Artifact, Recipe, RecipeError, Rules, load

RECIPE_SUFFIXES = (".yaml", ".yml", ".json")
MAX_UNPACKED_BYTES = 10_000_000_000
"""What a component store holds in all unless the nucleus is told otherwise (``componentStoreMaxSizeBytes``)."""
_MIN_FREE_BYTES = 20 * 1024 * 1024
_DIGESTS = {"SHA-256": hashlib.sha256}
# What zipfile raises where an archive is damaged.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    IndexError,
    OSError,
    RuntimeError,
    ValueError,
)


class PackageError(Exception):
    """A recipe or artifact that is missing or can't be used; the message tells which and why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are under the root, as on a classic core device."""

    root: Path

    def work(self, component: str) -> Path:
        """The component's work directory."""
        return self.root / "work" / component

    def logs(self) -> Path:
        """Where the log files are."""
        return self.root / "logs"

    def log(self, component: str) -> Path:
        """The component's log file."""
        return self.logs() / f"{component}.log"

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
class Found:
    """A recipe and the file that it is in."""

    recipe: Recipe
    path: Path


@dataclass(frozen=True, slots=True)
class Staged:
    """A component version ready to be put into the store."""

    recipe: Recipe
    recipe_file: Path
    artifacts: Path
    unarchived: Path

    def differs(self, layout: Layout, stored: Path | None) -> bool:
        """Whether the store has something else, by recipe and artifacts; ``stored`` is the recipe there."""
        if stored is None or not filecmp.cmp(stored, self.recipe_file, shallow=False):
            return True
        kept = layout.artifacts(self.recipe)
        names = _names(self.artifacts)
        if not kept.is_dir() or _names(kept) != names:
            return True
        return filecmp.cmpfiles(self.artifacts, kept, names, shallow=False)[0] != names


def read_recipes(directory: Path, rules: Rules) -> tuple[list[Found], list[str]]:
    """All recipes in a directory, whatever their files are called, and why others were refused.

    Of two that tell the same name and version the first file counts.
    """
    if not directory.is_dir():
        raise PackageError(f"recipe directory {directory} is not a directory")
    found: dict[tuple[str, str], Found] = {}
    refused: list[str] = []
    for path in sorted(path for path in directory.iterdir() if path.suffix in RECIPE_SUFFIXES):
        try:
            recipe = load(path, rules)
        except (RecipeError, OSError) as error:
            refused.append(str(error))
        else:
            found.setdefault((recipe.name, recipe.version), Found(recipe, path))
    return list(found.values()), refused


def stage(found: Found, artifacts: Path | None, layout: Layout, staging: Path) -> Staged:
    """Copy recipe and artifacts into ``staging`` and unpack them.

    An artifact that ``artifacts`` lacks is taken from the store, as on a device, which copies the one over the other.
    Raises PackageError for one that is missing, altered or unsafe.
    """
    recipe = found.recipe
    directory = Path(tempfile.mkdtemp(prefix=f"{recipe.name}-", dir=staging))
    staged = Staged(recipe, directory / found.path.name, directory / "artifacts", directory / "unarchived")
    shutil.copyfile(found.path, staged.recipe_file)
    staged.artifacts.mkdir()
    staged.unarchived.mkdir()
    for artifact in recipe.artifacts:
        copied = staged.artifacts / artifact.file
        shutil.copyfile(_source(recipe, artifact, artifacts, layout), copied)
        _check_digest(recipe, artifact, copied)
        if artifact.unarchive:
            unpacked = staged.unarchived / Path(artifact.file).stem
            unzip(copied, unpacked)
            _set_permission(unpacked, artifact.permission)
        copied.chmod(artifact.permission | stat.S_IRUSR)
    return staged


def unzip(archive: Path, target: Path, max_bytes: int = MAX_UNPACKED_BYTES) -> None:
    """Unpack into ``target``. Raises PackageError if any entry would leave it, or if it all would be too much.

    A size that an entry lies about is no way around that: no more is read of an entry than it says it has.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                _check_entry(archive, entry)
            _check_size(archive, sum(entry.file_size for entry in opened.infolist()), max_bytes)
            opened.extractall(target)
    except _DAMAGE as error:
        raise PackageError(f"artifact {archive.name} can't be unpacked: {error}") from error
    target.mkdir(parents=True, exist_ok=True)


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _source(recipe: Recipe, artifact: Artifact, artifacts: Path | None, layout: Layout) -> Path:
    kept = layout.artifacts(recipe) / artifact.file
    given = artifacts / recipe.name / recipe.version / artifact.file if artifacts else kept
    for source in (given, kept):
        if source.is_file():
            return source
    title = f"{recipe.name} {recipe.version}"
    if artifacts is None:
        raise PackageError(f"{title} has artifacts; name their directory (--artifacts)")
    if given.exists():
        raise PackageError(f"{title}: artifact {given} is not a file")
    raise PackageError(f"{title}: artifact {given} is missing; build it first")


def _check_digest(recipe: Recipe, artifact: Artifact, file: Path) -> None:
    if artifact.digest is None:
        return
    title = f"{recipe.name} {recipe.version}: artifact {artifact.file}"
    if (algorithm := _DIGESTS.get(artifact.algorithm or "SHA-256")) is None:
        raise PackageError(f"{title} has a digest by {artifact.algorithm}; known is {', '.join(_DIGESTS)}")
    with file.open("rb") as opened:
        digest = algorithm()
        while block := opened.read(1 << 20):
            digest.update(block)
    if (found := base64.b64encode(digest.digest()).decode()) != artifact.digest:
        raise PackageError(
            f"{title} has digest {found}, the recipe says {artifact.digest}; build or fetch it again"
        )


def _check_entry(archive: Path, entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    problem = ""
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(entry.filename).drive:
        problem = "would be unpacked outside its directory"
    elif kind == stat.S_IFLNK:
        problem = "is a symbolic link, which may point outside its directory"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem = "is neither a file nor a directory"
    if problem:
        raise PackageError(f"artifact {archive.name}: entry {entry.filename!r} {problem}")


def _check_size(archive: Path, unpacked_bytes: int, max_bytes: int) -> None:
    room = min(max_bytes, shutil.disk_usage(archive.parent).free - _MIN_FREE_BYTES)
    if unpacked_bytes > room:
        raise PackageError(
            f"artifact {archive.name} would be {unpacked_bytes} bytes when unpacked, and there is room for {room}"
        )


def _set_permission(directory: Path, mode: int) -> None:
    """What is unpacked gets the artifact's permission, whatever the archive says, as ``ComponentManager`` does it."""
    for path in directory.rglob("*"):
        if path.is_file():
            path.chmod(mode | stat.S_IRUSR)
