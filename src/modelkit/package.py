"""ONNX files and golden pictures -> a model package. The same inputs give the same bytes."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import msgspec
import onnxruntime

from inspector.core.package import (
    SCHEMA,
    Golden,
    InputShape,
    KnownImages,
    Manifest,
    ModelFile,
    Precision,
    Thresholds,
)
from inspector.shell import detector
from modelkit.golden import Picture, blue_light, expect, tells_channels_apart


class PackagingError(Exception):
    """The package cannot be made; says what is in the way and what to do."""


def package(
    directory: Path,
    *,
    name: str,
    version: str,
    models: Mapping[Precision, Path],
    golden: Sequence[Path],
    thresholds: Thresholds,
    images: KnownImages | None = None,
) -> Manifest:
    """Write ``manifest.json``, the model files and ``golden/`` into ``directory``, and return the manifest.

    Labels and input size come from the metadata of the export. To the golden pictures one under blue light is
    added, made of the first. Raises PackagingError, GoldenError or PackageError before anything is
    written.
    """
    pictures = _pictures(golden)
    files = tuple(_describe(precision, path, pictures, thresholds) for precision, path in models.items())
    labels, shape = _network(list(models.values()))
    try:
        manifest = Manifest(SCHEMA, name, version, labels, shape, thresholds, files, images)
        document = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        msgspec.json.decode(document, type=Manifest)
    except msgspec.ValidationError as error:
        raise PackagingError(f"the manifest would be invalid: {error}") from error
    contents = {f"{precision}.onnx": path.read_bytes() for precision, path in models.items()}
    contents |= {picture.name: picture.content for picture in pictures}
    _write(directory, contents, document)
    return manifest


def _pictures(golden: Sequence[Path]) -> list[Picture]:
    given = [Picture(f"golden/{path.name}", path.read_bytes()) for path in golden]
    pictures = [*given, blue_light(given[0])]
    if len({picture.name for picture in pictures}) < len(pictures):
        raise PackagingError(
            f"golden pictures need different names, none of them {pictures[-1].name}; rename them"
        )
    return pictures


def _describe(
    precision: Precision, path: Path, pictures: Sequence[Picture], thresholds: Thresholds
) -> ModelFile:
    """What the manifest says of one model file, with what the shipped detector finds in the golden pictures."""
    model = detector.load(path)
    golden = tuple(Golden(each.name, each.sha256, expect(model, each, thresholds)) for each in pictures)
    if not tells_channels_apart(model, pictures, golden, thresholds):
        raise PackagingError(
            f"{path} judges every golden picture the same with red and blue swapped, so they would not catch a "
            "model of the other channel order; add a picture in colour"
        )
    return ModelFile(
        name=f"{precision}.onnx",
        precision=precision,
        sha256=model.info.sha256,
        bytes=path.stat().st_size,
        golden=golden,
        metrics={},
        made_by="Ultralytics {version}, exported {date:.10}".format(**_metadata(path)),
        kind=model.interface.kind,
    )


def _network(paths: Sequence[Path]) -> tuple[tuple[str, ...], InputShape]:
    """Labels and input size, the same for every file of the package."""
    first, *others = [_metadata(path) for path in paths]
    if any((each["names"], each["imgsz"]) != (first["names"], first["imgsz"]) for each in others):
        raise PackagingError("the models differ in class names or input size; export them alike")
    height, width = ast.literal_eval(first["imgsz"])
    return tuple(ast.literal_eval(first["names"]).values()), InputShape(width, height)


def _metadata(path: Path) -> dict[str, str]:
    """What Ultralytics wrote into the file at export."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return {"version": "?", "date": "?", **session.get_modelmeta().custom_metadata_map}


def _write(directory: Path, contents: Mapping[str, bytes], manifest: bytes) -> None:
    """Replace the package in ``directory``, the manifest last; other files there stay."""
    shutil.rmtree(directory / "golden", ignore_errors=True)
    for precision in get_args(Precision):
        (directory / f"{precision}.onnx").unlink(missing_ok=True)
    for name, content in contents.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    (directory / "manifest.json").write_bytes(manifest)
