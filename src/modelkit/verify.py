"""Whether a model package is whole and signed, and decides on this machine as it did where it was made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from inspector.core.golden import compare
from inspector.core.package import Manifest, ModelFile
from inspector.shell import detector
from inspector.shell.package import MANIFEST, PackageError, Trust, read_golden, read_manifest
from modelkit.golden import GoldenError, Picture


def verify(directory: Path, public_key: str = "") -> list[str]:
    """Everything that is wrong with the package, in words; empty where nothing is.

    With a public key (PEM) its signature must be there, and right; without one it is not looked at.
    """
    trust = Trust(public_key, is_required=bool(public_key))
    try:
        manifest = read_manifest(directory, trust)
    except PackageError as error:
        return [error.cause]
    except OSError as error:
        return [f"{MANIFEST}: {error.strerror}"]
    pictures = dict(_read_pictures(directory, manifest))
    changed = [fault for fault in pictures.values() if isinstance(fault, str)]
    whole = {name: picture for name, picture in pictures.items() if isinstance(picture, Picture)}
    faults = [fault for file in manifest.files for fault in _judge(directory, manifest, file, whole, trust)]
    return list(dict.fromkeys([*changed, *faults]))


def _read_pictures(directory: Path, manifest: Manifest) -> Iterator[tuple[str, Picture | str]]:
    """Each golden picture, or what is wrong with it."""
    for golden in {each.image: each for file in manifest.files for each in file.golden}.values():
        try:
            yield golden.image, Picture(golden.image, read_golden(directory, golden))
        except PackageError as error:
            is_named = error.cause.startswith(golden.image)
            yield golden.image, error.cause if is_named else f"{golden.image}: {error.cause}"
        except OSError as error:
            yield golden.image, f"{golden.image}: {error.strerror}"


def _judge(
    directory: Path, manifest: Manifest, file: ModelFile, pictures: dict[str, Picture], trust: Trust
) -> Iterator[str]:
    try:
        model = detector.load(directory, precision=file.precision, trust=trust)
    except PackageError as error:
        yield str(error)
        return
    for golden in file.golden:
        if golden.image in pictures:
            try:
                found, _ = model.detect(pictures[golden.image].pixels())
                difference = compare(golden.detections, found, manifest.thresholds.low_confidence)
            except GoldenError as error:
                difference = str(error)
            if difference:
                yield f"{file.name} on {golden.image}: {difference}"
