"""Whether a model package is whole, and decides on this machine as it did where it was made."""

from __future__ import annotations

from pathlib import Path

import msgspec

from inspector.core.golden import compare
from inspector.core.package import Manifest, ModelFile, parse_manifest
from inspector.shell import detector
from inspector.shell.package import PackageError
from modelkit.golden import GoldenError, Picture


def verify(directory: Path) -> list[str]:
    """Everything that is wrong with the package, in words; empty where nothing is."""
    try:
        manifest = parse_manifest((directory / "manifest.json").read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        return [f"manifest.json: {error}"]
    return [fault for file in manifest.files for fault in _faults(directory, manifest, file)]


def _faults(directory: Path, manifest: Manifest, file: ModelFile) -> list[str]:
    try:
        model = detector.load(directory, precision=file.precision)
    except PackageError as error:
        return [str(error)]
    faults = []
    for golden in file.golden:
        try:
            picture = Picture(golden.image, (directory / golden.image).read_bytes())
            if picture.sha256 != golden.sha256:
                raise GoldenError(f"SHA-256 is {picture.sha256}, manifest.json says {golden.sha256}")
            found, _ = model.detect(picture.pixels())
            difference = compare(golden.detections, found, manifest.thresholds.low_confidence)
        except (OSError, GoldenError) as error:
            difference = str(error)
        if difference:
            faults.append(f"{file.name} on {golden.image}: {difference}")
    return faults
