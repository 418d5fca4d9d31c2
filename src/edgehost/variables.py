"""Recipe variables in scripts and Setenv: ``{artifacts:path}``, ``{configuration:/json/pointer}``… Pure.

Source: ``KernelConfigResolver`` of the nucleus. A brace with any other namespace, such as a shell's
``${NAME:-x}``, is left alone. Unlike the nucleus, which logs it and runs the script with the braces in it, a variable
that has no value is an error here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"\{([\w.-]+):([^:}]+)\}")
CONFIGURATION = "configuration"


class VariableError(ValueError):
    """A recipe variable that stands for nothing."""


def interpolate(text: str, values: Mapping[str, str], configuration: Any) -> str:
    """Replace every variable: ``values`` by ``namespace:key``, ``configuration`` by JSON pointer."""
    namespaces = {name.split(":")[0] for name in values}

    def value(match: re.Match[str]) -> str:
        namespace, key = match.groups()
        if namespace == CONFIGURATION:
            return _as_text(_at_pointer(configuration, key, match[0]))
        if namespace not in namespaces:
            return match[0]
        if (known := values.get(f"{namespace}:{key}")) is None:
            raise VariableError(f"unknown recipe variable {match[0]}; known are {', '.join(sorted(values))}")
        return known

    return _VARIABLE.sub(value, text)


def _at_pointer(configuration: Any, pointer: str, variable: str) -> Any:
    value = configuration
    for part in pointer.strip("/").split("/") if pointer.strip("/") else []:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, list) else value[key]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise VariableError(f"{variable} names no value in the component's configuration") from error
    return value


def _as_text(value: Any) -> str:
    # Jackson's asText(): true, null and 0.5 without quotes; lists and mappings as JSON.
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
