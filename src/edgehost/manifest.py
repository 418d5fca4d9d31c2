"""Which of a recipe's manifests is for this device, and the lifecycle that belongs to it: as classic chooses. Pure.

Sources: ``PlatformHelper``, ``PlatformResolver.filterPlatform`` and ``RecipeLoader`` of the nucleus. Lite chooses
more narrowly: ``edgehost.lite.manifest``.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, replace
from typing import Any

from edgehost.document import Field, RecipeError

ALL = "all"
_ARCHITECTURES = {"x86_64": "amd64", "armv6l": "arm", "armv7l": "arm", "armv8l": "arm", "i686": "x86"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What of a recipe is for this device."""

    artifacts: Field
    lifecycle: Field


def choose(recipe: Field) -> Manifest:
    """The first manifest that fits. Its own lifecycle counts, else what it selects of the recipe's."""
    manifests = recipe.get("Manifests")
    if not manifests.items():
        raise manifests.error("has no entry")
    for manifest in manifests.items():
        if _fits(manifest.get("Platform")):
            return Manifest(manifest.get("Artifacts"), _lifecycle(recipe, manifest))
    raise none_fits(manifests, "aws_nucleus", [])


def none_fits(manifests: Field, runtime: str, reasons: list[str]) -> RecipeError:
    """The error where no manifest is for this device."""
    because = "".join(f"; {reason}" for reason in reasons)
    here = f"os linux, architecture {architecture()}, runtime {runtime}"
    return manifests.error(f"has none for this platform ({here}){because}")


def architecture() -> str:
    """This machine's architecture, as Greengrass names it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def _fits(wanted: Field) -> bool:
    here = {"os": "linux", "architecture": architecture(), "runtime": "aws_nucleus"}
    if (detail := platform.machine()) in ("armv6l", "armv7l", "armv8l"):
        here["architecture.detail"] = detail
    return all(_fits_attribute(value, here.get(name)) for name, value in wanted.entries())


def _fits_attribute(wanted: Field, here: str | None) -> bool:
    pattern = wanted.value
    if pattern is None or pattern == "*":
        return True
    if here is None:
        return False
    if isinstance(pattern, str) and len(pattern) > 1 and pattern[0] == pattern[-1] == "/":
        try:
            return re.fullmatch(pattern[1:-1], here) is not None
        except re.error as error:
            raise wanted.error(f"is {pattern!r}, which is no regular expression: {error}") from error
    return pattern in (here, ALL, "any")


def _lifecycle(recipe: Field, manifest: Field) -> Field:
    own = manifest.get("Lifecycle")
    if own.value:
        return own
    shared = recipe.get("Lifecycle")
    selections = [_selections(other) for other in recipe.get("Manifests").items()]
    keywords = {ALL}.union(*selections)
    return replace(shared, value=_filtered(shared.value, keywords, [*_selections(manifest), ALL]))


def _selections(manifest: Field) -> list[str]:
    return [selection.text() for selection in manifest.get("Selections").items()]


def _filtered(section: Any, keywords: set[str], selections: list[str]) -> Any:
    """The section with every choice between keywords made: the first selection that is there; None where none is."""
    if not isinstance(section, dict):
        return section
    if keywords & section.keys():
        chosen = next((section[name] for name in selections if section.get(name) is not None), None)
        return _filtered(chosen, keywords, selections)
    return {name: _filtered(value, keywords, selections) for name, value in section.items()}
