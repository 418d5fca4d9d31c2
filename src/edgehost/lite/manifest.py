"""Which of a recipe's manifests Greengrass Lite takes, and the lifecycle that belongs to it. Pure.

Source: ``manifest_selection`` in modules/ggl-recipe. It knows no regular expressions, wants the runtime named, and
selects ``all`` or ``linux`` of the recipe's own Lifecycle, nothing else. A manifest without a lifecycle is passed
over.
"""

from __future__ import annotations

from edgehost.document import Field
from edgehost.manifest import ALL, Manifest, architecture, none_fits

_RUNTIME = "aws_nucleus_lite"


def choose(recipe: Field) -> Manifest:
    """The first manifest that fits and has a lifecycle; it must have Artifacts too, if only an empty list."""
    manifests = recipe.get("Manifests")
    if not manifests.items():
        raise manifests.error("has no entry")
    reasons = []
    for manifest in manifests.items():
        reason = _misfit(manifest.get("Platform"))
        lifecycle = _lifecycle(recipe, manifest)
        if reason is None and lifecycle is not None:
            return Manifest(_artifacts(manifest), lifecycle)
        reasons.append(f"{manifest.place} {reason or 'has no lifecycle'}")
    raise none_fits(manifests, _RUNTIME, reasons)


def _artifacts(manifest: Field) -> Field:
    artifacts = manifest.get("Artifacts")
    if artifacts.value is None:
        raise artifacts.error(f"{artifacts.hint}; Greengrass Lite needs it, if only as []")
    return artifacts


def _misfit(platform: Field) -> str | None:
    """Why the manifest is not for this device, None if it is."""
    if platform.value is None:
        raise platform.error(f"{platform.hint}; Greengrass Lite needs it, with runtime: '*'")
    runtime = platform.get("runtime")
    if runtime.value is None:
        return "names no runtime, so it is for classic alone: add runtime: '*'"
    wanted = {
        "runtime": ("*", _RUNTIME),
        "os": ("*", "linux", ALL),
        "architecture": ("*", "", architecture()),
    }
    for name, fitting in wanted.items():
        field = platform.get(name)
        if field.value is not None and field.text() not in fitting:
            return f"is for {name} {field.value}"
    return None


def _lifecycle(recipe: Field, manifest: Field) -> Field | None:
    own = manifest.get("Lifecycle")
    if own.value:
        return own
    selections = [selection.text() for selection in manifest.get("Selections").items()] or [ALL]
    shared = recipe.get("Lifecycle")
    chosen = [shared.get(name) for name in selections if name in (ALL, "linux")]
    return next((section for section in reversed(chosen) if section.value), None)
