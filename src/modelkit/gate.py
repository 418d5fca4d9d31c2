"""A draft and the package that it is to replace -> what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from inspector.core.package import Manifest, Precision, parse_manifest
from inspector.shell.package import MANIFEST
from modelkit.evidence import measure
from modelkit.labels import LabelledPicture
from modelkit.package import Draft
from modelkit.promotion import Metrics, compare, compare_recorded, find_breaks
from modelkit.trial import try_package


class GateError(Exception):
    """There is nothing to compare with; says why and what to do."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Labelled pictures to measure both packages on, and the directory that they are in."""

    pictures: Sequence[LabelledPicture]
    images: Path


def find_objections(draft: Draft, against: Path, labelled: Labelled | None = None) -> list[str]:
    """Everything that speaks against replacing the package in ``against``, in words; empty where nothing does.

    Both are measured on ``labelled``, or else compared by the metrics in their manifests. Raises GateError, and what
    ``modelkit.trial`` raises.
    """
    old = _read(against)
    breaks = find_breaks(draft.manifest, old)
    if labelled is None:
        return [*breaks, *compare_recorded(draft.manifest, old)]
    if draft.manifest.labels != old.labels:
        return breaks  # the pictures are labelled for one of the two
    with TemporaryDirectory() as directory:
        draft.write(Path(directory))
        return [*breaks, *compare(_measure(Path(directory), labelled), _measure(against, labelled))]


def _measure(package: Path, labelled: Labelled) -> dict[Precision, Metrics]:
    trial = try_package(package, labelled.pictures, labelled.images, lambda: None)
    assert trial.thresholds is not None  # a package has some
    predictions = trial.predictions
    return {
        precision: measure(predictions, precision, trial.thresholds) for precision in predictions.precisions
    }


def _read(package: Path) -> Manifest:
    try:
        return parse_manifest((package / MANIFEST).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise GateError(
            f"{package} holds no package to compare with: {error}; leave --against out for a first one"
        ) from error
