"""Component recipes: YAML or JSON text -> Recipe, with the manifest for this platform chosen. Pure but for ``load``.

Keys are read without case, as classic does. Errors name the recipe and the field.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DEFAULT_TIMEOUT_S = 120.0
_STEPS = ("install", "startup", "run", "shutdown")
_UNSUPPORTED_STEPS = ("bootstrap", "recover")
_ANY_VERSION = ">=0.0.0"
_READ_BITS = {"NONE": 0, "OWNER": 0o400, "ALL": 0o444}
_OWNER_READS = 0o400
_ARCHITECTURES = {"x86_64": "amd64", "armv7l": "arm", "i686": "x86"}
_NAME = re.compile(r"(?!\.+$)[a-zA-Z0-9-_.]+")
_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")


class RecipeError(ValueError):
    """A recipe that this host refuses; the message names the recipe, the field and what to write instead."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a nucleus takes of recipes, where the two differ."""

    max_bytes: int = 16_000
    """Longer ones are refused: on classic by the cloud and by the GDK."""


@dataclass(frozen=True, slots=True)
class Step:
    """One lifecycle script, its recipe variables not replaced yet. ``timeout_s`` None: it may take for ever."""

    script: str
    timeout_s: float | None
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of the component: the last part of its URI, and whether it is unpacked."""

    file: str
    unarchive: bool
    digest: str | None = None
    """Base64 of what ``algorithm`` makes of the file; recipes that the cloud wrote have it."""
    algorithm: str | None = None
    permission: int = _OWNER_READS
    """Mode bits of the file, and of what is unpacked from it."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a component needs of another: ``HARD`` or ``SOFT``, and the versions that will do, npm style."""

    kind: str
    requirement: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the host needs of a recipe. ``dependencies`` is by component name."""

    name: str
    version: str
    default_configuration: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Mapping[str, Dependency] = field(default_factory=dict)
    artifacts: tuple[Artifact, ...] = ()
    steps: Mapping[str, Step] = field(default_factory=dict)


def load(path: Path, rules: Rules) -> Recipe:
    """Read a recipe file. Raises RecipeError; OSError where the file can't be read."""
    text = path.read_bytes()
    if len(text) > rules.max_bytes:
        raise RecipeError(
            f"recipe {path} has {len(text)} bytes; {rules.max_bytes} is the most that Greengrass takes"
        )
    try:
        parsed = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"recipe {path} can't be parsed: {error}") from error
    if not isinstance(parsed, dict):
        raise RecipeError(f"recipe {path} is not a mapping with ComponentName, ComponentVersion, Manifests…")
    return parse(parsed, str(path))


def parse(parsed: Mapping[str, Any], source: str) -> Recipe:
    """A parsed recipe as a Recipe. ``source`` names it in errors."""
    reader = _Reader(parsed, source)
    manifest = reader.manifest()
    return Recipe(
        name=reader.matching("ComponentName", _NAME),
        version=reader.matching("ComponentVersion", _VERSION),
        default_configuration=reader.configuration(),
        dependencies=dict(reader.dependencies()),
        artifacts=tuple(reader.artifacts(manifest)),
        steps=dict(reader.steps(manifest)),
    )


def lookup(mapping: Any, key: str) -> Any:
    """The value of ``key`` whatever its case, None where it isn't there."""
    if not isinstance(mapping, Mapping):
        return None
    return next((value for name, value in mapping.items() if str(name).casefold() == key.casefold()), None)


class _Reader:
    """The recipe being read, and its name for errors."""

    def __init__(self, recipe: Mapping[str, Any], source: str) -> None:
        self._recipe = recipe
        self._source = source

    def matching(self, key: str, pattern: re.Pattern[str]) -> str:
        value = lookup(self._recipe, key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self._error(key, f"is {value!r}, which does not match {pattern.pattern}")
        return value

    def configuration(self) -> dict[str, Any]:
        value = lookup(lookup(self._recipe, "ComponentConfiguration"), "DefaultConfiguration")
        return dict(self._mapping("ComponentConfiguration.DefaultConfiguration", value))

    def dependencies(self) -> Iterator[tuple[str, Dependency]]:
        for name, properties in self._mapping(
            "ComponentDependencies", lookup(self._recipe, "ComponentDependencies")
        ):
            kind = lookup(properties, "DependencyType") or "HARD"
            if kind not in ("HARD", "SOFT"):
                raise self._error(
                    f"ComponentDependencies.{name}.DependencyType", f"is {kind!r}, not HARD or SOFT"
                )
            requirement = lookup(properties, "VersionRequirement") or _ANY_VERSION
            if not isinstance(requirement, str):
                raise self._error(
                    f"ComponentDependencies.{name}.VersionRequirement", f"is {requirement!r}, not text"
                )
            yield name, Dependency(kind, requirement)

    def manifest(self) -> Mapping[str, Any]:
        manifests = lookup(self._recipe, "Manifests")
        if not isinstance(manifests, list) or not manifests:
            raise self._error("Manifests", "has no entry")
        for manifest in manifests:
            if _matches_platform(lookup(manifest, "Platform")):
                return manifest  # type: ignore[no-any-return]
        raise self._error(
            "Manifests", f"has none for this platform (os linux, architecture {architecture()})"
        )

    def artifacts(self, manifest: Mapping[str, Any]) -> Iterator[Artifact]:
        for index, artifact in enumerate(lookup(manifest, "Artifacts") or []):
            where = f"Manifests.Artifacts[{index}]"
            uri = lookup(artifact, "Uri")
            if not isinstance(uri, str) or not uri.rsplit("/", 1)[-1]:
                raise self._error(f"{where}.Uri", f"is {uri!r}, which names no file")
            unarchive = str(lookup(artifact, "Unarchive") or "NONE").upper()
            if unarchive not in ("NONE", "ZIP"):
                raise self._error(f"{where}.Unarchive", f"is {unarchive!r}; this host knows NONE and ZIP")
            yield Artifact(
                uri.rsplit("/", 1)[-1],
                unarchive == "ZIP",
                lookup(artifact, "Digest"),
                lookup(artifact, "Algorithm"),
                self._permission(f"{where}.Permission", lookup(artifact, "Permission")),
            )

    def _permission(self, where: str, value: Any) -> int:
        """Source: ``Permission.toFileSystemPermission``: the owner may read whatever is written."""
        read = str(lookup(value, "Read") or "OWNER").upper()
        execute = str(lookup(value, "Execute") or "NONE").upper()
        for key, given in (("Read", read), ("Execute", execute)):
            if given not in _READ_BITS:
                raise self._error(f"{where}.{key}", f"is {given!r}, not NONE, OWNER or ALL")
        return _OWNER_READS | _READ_BITS[read] | _READ_BITS[execute] >> 2

    def steps(self, manifest: Mapping[str, Any]) -> Iterator[tuple[str, Step]]:
        lifecycle = lookup(manifest, "Lifecycle") or lookup(self._recipe, "Lifecycle")
        for name in _UNSUPPORTED_STEPS:
            if lookup(lifecycle, name) is not None:
                raise self._error(f"Lifecycle.{name}", "is a step that this host does not run")
        if lookup(lifecycle, "run") is not None and lookup(lifecycle, "startup") is not None:
            raise self._error("Lifecycle", "has both run and startup; a component has one or the other")
        shared = lookup(lifecycle, "Setenv")
        for name in _STEPS:
            if (value := lookup(lifecycle, name)) is not None:
                yield (
                    name,
                    self._step(
                        f"Lifecycle.{name}", value, shared, None if name == "run" else DEFAULT_TIMEOUT_S
                    ),
                )

    def _step(self, where: str, value: Any, shared: Any, timeout_s: float | None) -> Step:
        script = value if isinstance(value, str) else lookup(value, "Script")
        if not isinstance(script, str):
            raise self._error(f"{where}.Script", f"is {script!r}, not text")
        if lookup(value, "Skipif") is not None:
            raise self._error(f"{where}.Skipif", "is not supported by this host")
        if (given := lookup(value, "Timeout")) is not None:
            timeout_s = self._seconds(f"{where}.Timeout", given)
        environment = [
            *self._mapping("Lifecycle.Setenv", shared),
            *self._mapping(where, lookup(value, "Setenv")),
        ]
        return Step(script, timeout_s, {name: str(text) for name, text in environment})

    def _seconds(self, where: str, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise self._error(where, f"is {value!r}, not a number of seconds") from error

    def _mapping(self, where: str, value: Any) -> list[tuple[str, Any]]:
        if not isinstance(value, Mapping | None):
            raise self._error(where, f"is {value!r}, not a mapping")
        return list((value or {}).items())

    def _error(self, where: str, problem: str) -> RecipeError:
        return RecipeError(f"recipe {self._source}: {where} {problem}")


def architecture() -> str:
    """This machine's architecture, as Greengrass names it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def _matches_platform(wanted: Any) -> bool:
    here = {"os": "linux", "architecture": architecture(), "runtime": "aws_nucleus"}
    return all(_matches_attribute(lookup(wanted, name), value) for name, value in here.items())


def _matches_attribute(wanted: Any, value: str) -> bool:
    if wanted is None or wanted in ("*", "all", "any"):
        return True
    if isinstance(wanted, str) and len(wanted) > 2 and wanted[0] == wanted[-1] == "/":
        return re.fullmatch(wanted[1:-1], value) is not None
    return bool(wanted == value)
