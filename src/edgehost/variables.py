"""Recipe variables in scripts and Setenv: ``{artifacts:path}``, ``{configuration:/json/pointer}``… Pure.

Sources: ``KernelConfigResolver`` of the nucleus, modules/recipe-runner of Greengrass Lite. On classic a brace with
any other namespace, such as a shell's ``${NAME:-x}``, is left alone, and ``{com.other:configuration:/x}`` reads a
dependency's; on Lite every brace opens a variable of the component's own. Unlike the nuclei, of which classic runs
the script with the braces in it and Lite fails as the script starts, a variable that has no value is an error here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgehost.recipe import Rules, Step, as_text

CONFIGURATION = "configuration"
_NAMESPACES = ("artifacts", "kernel", "iot", "work", CONFIGURATION)
_LOOSE = re.compile(r"\{(?:(?P<component>[\w.]+):)?(?P<namespace>[\w.]+):(?P<key>[^:}]+)\}")
_STRICT = re.compile(r"\{(?P<body>[^}]*)(?P<end>\}?)")
_SPECIAL = re.compile(r'(["\\$`])')
_MAX_VARIABLE_BYTES = 256


class VariableError(ValueError):
    """A recipe variable that stands for nothing."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What variables stand for: ``values`` by ``namespace:key``, ``configuration`` by JSON pointer."""

    values: Mapping[str, str]
    configuration: Any
    dependencies: Mapping[str, Scope] = field(default_factory=dict)
    """The scopes of the components that this one depends on."""

    def value(self, namespace: str, key: str) -> str:
        """What a variable stands for. Raises VariableError."""
        if namespace == CONFIGURATION:
            return as_text(_at_pointer(self.configuration, key))
        known = self.values.get(f"{namespace}:{key}")
        if known is None:
            names = ", ".join(sorted(self.values))
            raise VariableError(
                f"unknown recipe variable {{{namespace}:{key}}}; known are {names}, configuration:/…"
            )
        return known


def fill(step: Step, scope: Scope, rules: Rules) -> Step:
    """The step with every variable replaced. Raises VariableError."""
    escape: Callable[[str], str] = _escaped if rules.escapes_values else str
    return replace(
        step,
        script=interpolate(step.script, scope, rules, escape),
        environment={name: interpolate(text, scope, rules) for name, text in step.environment.items()},
        skip_if=step.skip_if and interpolate(step.skip_if, scope, rules),
    )


def interpolate(text: str, scope: Scope, rules: Rules, escape: Callable[[str], str] = str) -> str:
    """Replace every variable; what configuration gives passes through ``escape``. Raises VariableError."""

    def loose(match: re.Match[str]) -> str:
        component, namespace, key = match.group("component", "namespace", "key")
        if namespace not in _NAMESPACES:
            return match[0]
        if component and component not in scope.dependencies:
            raise VariableError(
                f"{match[0]} is of {component}, which is not deployed or not among ComponentDependencies"
            )
        return (scope.dependencies[component] if component else scope).value(namespace, key)

    def strict(match: re.Match[str]) -> str:
        namespace, colon, key = match["body"].partition(":")
        if not match["end"] or not colon or len(match["body"].encode()) > _MAX_VARIABLE_BYTES:
            raise VariableError(
                f"{match[0].splitlines()[0]!r} is no recipe variable, and Greengrass Lite takes every brace "
                "for one: write $NAME for ${NAME}, and put functions and awk in a file of their own"
            )
        if namespace not in _NAMESPACES:
            raise VariableError(
                f"unknown recipe variable {match[0]}; Greengrass Lite knows the component's own alone, "
                f"of {', '.join(_NAMESPACES)}"
            )
        value = scope.value(namespace, key)
        return escape(value) if namespace == CONFIGURATION else value

    return _STRICT.sub(strict, text) if rules.braces_are_variables else _LOOSE.sub(loose, text)


def _escaped(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)


def _at_pointer(configuration: Any, pointer: str) -> Any:
    value = configuration
    for part in pointer.strip("/").split("/") if pointer.strip("/") else []:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise VariableError(
                f"{{configuration:{pointer}}} names no value in the component's configuration"
            ) from error
    return value
