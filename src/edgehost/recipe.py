"""Component recipes: YAML or JSON text -> Recipe, with the manifest for this platform chosen. Pure but for ``load``.

What the nucleus refuses is refused here, with the line and the field. Sources: ``ComponentRecipe`` and its neighbours
in aws-greengrass-component-common and ``RecipeLoader`` of the nucleus; modules/ggl-recipe, recipe2unit and
recipe-runner of Greengrass Lite.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from edgehost import manifest
from edgehost.document import Field, RecipeError, read
from edgehost.manifest import Manifest, architecture

__all__ = [
    "Artifact",
    "Dependency",
    "Recipe",
    "RecipeError",
    "Rules",
    "Step",
    "architecture",
    "load",
    "parse",
]

log = logging.getLogger(__name__)

_STEPS = ("bootstrap", "install", "startup", "run", "shutdown", "recover")
_TIMEOUTS_S: Mapping[str, float | None] = {
    "bootstrap": 120.0,
    "install": 120.0,
    "startup": 120.0,
    "run": None,
    "shutdown": 15.0,
    "recover": 60.0,
}
_READ_BITS = {"NONE": 0, "OWNER": 0o400, "ALL": 0o444}
_OWNER_READS = 0o400
_NAME = re.compile(r"(?!\.+$)[a-zA-Z0-9-_.]{1,128}")
_VERSION = re.compile(r"(?=.{5,64}$)\d{1,6}\.\d{1,6}\.\d{1,6}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_SKIP = re.compile(r"\s*!?\s*(exists|onpath) +.+")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a nucleus takes of recipes, where the two differ."""

    choose: Callable[[Field], Manifest] = manifest.choose
    """The manifest for this device, and its lifecycle."""
    max_bytes: int = 16_000
    """Longer ones are refused: on classic by the cloud and by the GDK."""
    formats: tuple[str | None, ...] = ("2020-01-25",)
    """What RecipeFormatVersion may be; None: it needn't be there."""
    ignores_key_case: bool = True
    types_scalars: bool = True
    """Whether YAML's 0.5, true and null are what they look like, or texts."""
    steps: tuple[str, ...] = _STEPS
    """The lifecycle steps it runs; others are passed over."""
    skips: bool = True
    """Whether it heeds Skipif."""
    default_dependency: str = "HARD"
    """What a dependency without DependencyType is."""
    is_typed: bool = False
    """Whether Setenv's values must be texts, and a Timeout a whole number."""
    braces_are_variables: bool = False
    """Whether every brace in a script must be a variable of this component, or may be the shell's."""
    escapes_values: bool = False
    """Whether configuration comes into scripts with backslashes, as text within double quotes needs."""
    path_end: str = ""
    """What the paths that variables stand for end with."""


@dataclass(frozen=True, slots=True)
class Step:
    """One lifecycle script, its recipe variables not replaced yet. ``timeout_s`` None: the recipe sets none."""

    script: str
    timeout_s: float | None
    environment: Mapping[str, str]
    skip_if: str | None = None
    """``onpath NAME`` or ``exists PATH``, ``!`` before it reverses it: where it holds, the script isn't run."""


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
    return parse(path.read_bytes(), path, rules)


def parse(content: bytes, source: PurePath, rules: Rules) -> Recipe:
    """A recipe's text as a Recipe. ``source`` names it in errors, and its suffix tells JSON from YAML."""
    if len(content) > rules.max_bytes:
        raise RecipeError(
            f"recipe {source}: it has {len(content)} bytes; {rules.max_bytes} is the most that Greengrass takes"
        )
    root = read(content, source, types_scalars=rules.types_scalars, ignores_key_case=rules.ignores_key_case)
    return _Reader(root, rules).recipe()


class _Reader:
    """The recipe being read, and the rules it is read by."""

    def __init__(self, root: Field, rules: Rules) -> None:
        self._root = root
        self._rules = rules

    def recipe(self) -> Recipe:
        self._check_format()
        chosen = self._rules.choose(self._root)
        return Recipe(
            name=_matching(self._root.get("ComponentName"), _NAME),
            version=_matching(self._root.get("ComponentVersion"), _VERSION),
            default_configuration=self._configuration(),
            dependencies=dict(self._dependencies()),
            artifacts=tuple(_artifact(artifact) for artifact in chosen.artifacts.items()),
            steps=dict(self._steps(chosen.lifecycle)),
        )

    def _check_format(self) -> None:
        version = self._root.get("RecipeFormatVersion")
        if version.value is None and None not in self._rules.formats:
            raise version.error(f"{version.hint}; write RecipeFormatVersion: '2020-01-25'")
        if version.value is not None and version.value not in self._rules.formats:
            raise version.error(f"is {version.value!r}; there is only '2020-01-25'")
        kind = self._root.get("ComponentType")
        if kind.value not in (None, "aws.greengrass.generic"):
            raise kind.error(f"is {kind.value!r}; this host runs aws.greengrass.generic components alone")

    def _configuration(self) -> dict[str, Any]:
        defaults = self._root.get("ComponentConfiguration").get("DefaultConfiguration")
        return {name: value.value for name, value in defaults.entries()}

    def _dependencies(self) -> Iterator[tuple[str, Dependency]]:
        for name, properties in self._root.get("ComponentDependencies").entries():
            kind = _choice(properties.get("DependencyType"), ("HARD", "SOFT"), self._rules.default_dependency)
            yield name, Dependency(kind, properties.get("VersionRequirement").text())

    def _steps(self, lifecycle: Field) -> Iterator[tuple[str, Step]]:
        startup, run = lifecycle.get("startup"), lifecycle.get("run")
        if startup.value is not None and run.value is not None:
            raise run.error("is there beside startup; a component has one or the other")
        shared = dict(self._environment(lifecycle.get("Setenv")))
        for name in _STEPS:
            step = lifecycle.get(name)
            if step.value is not None and name not in self._rules.steps:
                log.warning("%s", step.error("is never run by this nucleus"))
            elif step.value is not None:
                yield name, self._step(step, shared, _TIMEOUTS_S[name])

    def _step(self, step: Field, shared: Mapping[str, str], timeout_s: float | None) -> Step:
        if isinstance(step.value, str):
            return Step(step.value, timeout_s, shared)
        if not isinstance(step.value, dict):
            raise step.error(f"is {step.value!r}, neither a script nor a mapping with Script")
        self._check_privilege(step.get("RequiresPrivilege"))
        own = dict(self._environment(step.get("Setenv")))
        return Step(
            step.get("Script").text(),
            self._seconds(step.get("Timeout"), timeout_s),
            {**shared, **own},
            self._skip_if(step.get("Skipif")),
        )

    def _environment(self, variables: Field) -> Iterator[tuple[str, str]]:
        for name, value in variables.entries():
            if self._rules.is_typed and not _VARIABLE_NAME.fullmatch(name):
                raise value.error("is no name that a shell can export")
            if self._rules.is_typed or isinstance(value.value, dict | list):
                value.text()
            yield name, as_text(value.value)

    def _seconds(self, timeout: Field, default: float | None) -> float | None:
        if timeout.value is None:
            return default
        pattern = r"\s*\d{1,9}" if self._rules.is_typed else r"\s*\d{1,9}(\.\d+)?\s*"
        if isinstance(timeout.value, bool) or not re.fullmatch(pattern, str(timeout.value)):
            whole = "whole " if self._rules.is_typed else ""
            raise timeout.error(f"is {timeout.value!r}, not a {whole}number of seconds")
        return float(timeout.value)

    def _skip_if(self, condition: Field) -> str | None:
        if condition.value is None:
            return None
        if not self._rules.skips:
            log.warning("%s", condition.error("is not heeded by this nucleus: the script runs in any case"))
            return None
        if not _SKIP.fullmatch(condition.text()):
            raise condition.error(f"is {condition.value!r}; write 'onpath NAME' or 'exists PATH'")
        return condition.text()

    def _check_privilege(self, privilege: Field) -> None:
        if self._rules.is_typed and privilege.value not in (None, True, False, "true", "false"):
            raise privilege.error(f"is {privilege.value!r}, not true or false")


def as_text(value: Any) -> str:
    """A value as Jackson's ``asText``: true, null and 0.5 without quotes; lists and mappings as JSON."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def _artifact(artifact: Field) -> Artifact:
    uri = artifact.get("Uri")
    if uri.text().startswith("docker:"):
        raise uri.error(f"is {uri.value!r}, and this host runs no Docker images")
    file = uri.text().rsplit("/", 1)[-1]
    if file in ("", ".", ".."):
        raise uri.error(f"is {uri.value!r}, which names no file")
    permission = artifact.get("Permission")
    bits = {key: _choice(permission.get(key), tuple(_READ_BITS), "NONE") for key in ("Read", "Execute")}
    return Artifact(
        file,
        _choice(artifact.get("Unarchive"), ("NONE", "ZIP"), "NONE") == "ZIP",
        _optional_text(artifact.get("Digest")),
        _optional_text(artifact.get("Algorithm")),
        # The owner may read it whatever is written: Permission.toFileSystemPermission.
        _OWNER_READS | _READ_BITS[bits["Read"]] | _READ_BITS[bits["Execute"]] >> 2,
    )


def _matching(value: Field, pattern: re.Pattern[str]) -> str:
    if value.value is None:
        raise value.missing()
    if not isinstance(value.value, str) or not pattern.fullmatch(value.value):
        raise value.error(f"is {value.value!r}, which does not match {pattern.pattern}")
    return value.value


def _choice(value: Field, choices: tuple[str, ...], default: str) -> str:
    chosen = default if value.value is None else str(value.value).upper()
    if chosen not in choices:
        raise value.error(f"is {value.value!r}, not {' or '.join(choices)}")
    return chosen


def _optional_text(value: Field) -> str | None:
    return None if value.value is None else value.text()
