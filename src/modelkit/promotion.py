"""Two packages -> why the new one must not replace the old one; nothing where it may.

1. A version above the old one's, since Greengrass takes no other for an update.
2. Whatever worked with the old one works with the new one: name, class names, input size, precisions.
3. On the same labelled pictures it lets no more defective parts pass, and in no other figure is it worse by more than
   a margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from inspector.core.package import Manifest, Precision

Metrics = Mapping[str, float]
"""As ``ModelFile.metrics`` has them: 0..1 for map50 and map50_95; pictures for escapes, overkill, review, images."""

MARGIN = 0.01
"""So much of map50 and map50_95, and such a share of the pictures, may be lost to chance."""
_HIGHER_IS_BETTER = ("map50", "map50_95")
_LOWER_IS_BETTER = {"escapes": 0.0, "overkill": 1.0, "review": 1.0}
"""Margins that are allowed for more of it."""
_ROUNDING = 1e-9
_MEASURE = "measure both, --on labelled pictures that neither was trained on"


def find_breaks(new: Manifest, old: Manifest) -> list[str]:
    """What would no longer work, or not be installed."""
    faults = []
    if _number(new.version) <= _number(old.version):
        faults.append(f"version {new.version} is not above {old.version}")
    if new.name != old.name:
        faults.append(f"its name is {new.name}, not {old.name}")
    if new.labels != old.labels:
        faults.append(f"its class names are {', '.join(new.labels)}, not {', '.join(old.labels)}")
    if new.input != old.input:
        faults.append(f"its input is {_size(new)}, not {_size(old)}")
    lost = {file.precision for file in old.files} - {file.precision for file in new.files}
    return [*faults, *(f"it has no {precision} file" for precision in sorted(lost))]


def compare_recorded(new: Manifest, old: Manifest) -> list[str]:
    """Where the metrics in the new manifest are worse; also says where the two cannot be compared."""
    if new.evidence is None or old.evidence is None:
        which = "the new one" if new.evidence is None else "the old one"
        return [f"{which} has no metrics on labelled pictures; {_MEASURE}"]
    if new.evidence != old.evidence:
        return [f"their metrics were not taken on the same labelled pictures; {_MEASURE}"]
    return compare(
        {file.precision: file.metrics for file in new.files},
        {file.precision: file.metrics for file in old.files},
    )


def compare(
    new: Mapping[Precision, Metrics], old: Mapping[Precision, Metrics], margin: float = MARGIN
) -> list[str]:
    """Where the metrics of a precision that both have are worse; they are of the same pictures."""
    return [
        f"{precision}: {fault}"
        for precision in old
        if precision in new
        for fault in _worse(new[precision], old[precision], margin)
    ]


def _worse(new: Metrics, old: Metrics, margin: float) -> Iterator[str]:
    for name in _HIGHER_IS_BETTER:
        if name in old and new.get(name, 0.0) < old[name] - margin - _ROUNDING:
            yield f"{name} {new.get(name, 0.0):.3f}, before {old[name]:.3f}"
    for name, margins in _LOWER_IS_BETTER.items():
        if new[name] > old[name] + margins * margin * new["images"] + _ROUNDING:
            yield f"{name} {new[name]:.0f} of {new['images']:.0f} pictures, before {old[name]:.0f}"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _size(manifest: Manifest) -> str:
    return f"{manifest.input.width}x{manifest.input.height}"
