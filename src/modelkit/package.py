"""ONNX files and candidates for golden pictures -> a model package. The same inputs give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import onnxruntime

from inspector.core.package import (
    SCHEMA,
    SIGNATURE,
    Evidence,
    InputShape,
    KnownImages,
    Manifest,
    ModelFile,
    Precision,
    Thresholds,
    parse_manifest,
)
from inspector.shell import detector
from inspector.shell.detector import Detector
from inspector.shell.package import MANIFEST
from modelkit.golden import Picture
from modelkit.golden_choice import Choice, choose
from modelkit.promotion import Metrics
from modelkit.replacement import replace, strangers
from modelkit.signing import Key, sign

_VERSION = re.compile(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUANTIZED = b"QuantizeLinear"
"""Part of the name of every operator that marks a quantized network."""


class PackagingError(Exception):
    """The package cannot be made; says what is in the way and what to do."""


@dataclass(frozen=True, slots=True)
class Background:
    """What a manifest says of how the model came about; nothing, where nothing is known."""

    images: KnownImages | None = None
    threshold_rule: str = ""
    evidence: Evidence | None = None
    metrics: Mapping[Precision, Metrics] = field(default_factory=dict)
    recipes: Sequence[dict[str, Any]] = ()


NOTHING_KNOWN = Background()


@dataclass(frozen=True, slots=True)
class Draft:
    """A package that is not written yet."""

    manifest: Manifest
    contents: Mapping[str, bytes]
    """Name of each file -> content."""
    choice: Choice

    def write(self, directory: Path, key: Key | None = None) -> None:
        """Replace the package in ``directory``, all or nothing; without a key the new one has no signature.

        Raises SigningError and PackagingError, before anything is touched, and OSError.
        """
        if found := strangers(directory):
            cause = f"{directory} holds no package, but {', '.join(found)}, which would be replaced"
            raise PackagingError(f"{cause}; write to another directory, or move that away")
        signature = {} if key is None else {SIGNATURE: sign(self.contents[MANIFEST], key)}
        replace(directory, {**self.contents, **signature})


def draft(
    *,
    name: str,
    version: str,
    models: Mapping[Precision, Path],
    candidates: Iterable[Path],
    thresholds: Thresholds,
    background: Background = NOTHING_KNOWN,
) -> Draft:
    """Make a package of ONNX files, with golden pictures out of ``candidates``.

    Class names and input size come from the metadata of the export. Raises PackagingError, GoldenError and
    PackageError.
    """
    _check_names(name, version)
    sources = {precision: _Source.read(precision, path) for precision, path in models.items()}
    labels, shape = _network(list(sources.values()))
    pictures = (Picture(f"golden/{path.name}", path.read_bytes()) for path in candidates)
    choice = choose({precision: each.model for precision, each in sources.items()}, pictures, thresholds)
    files = tuple(
        ModelFile(
            name=f"{precision}.onnx",
            precision=precision,
            sha256=source.model.info.sha256,
            bytes=len(source.content),
            golden=choice.golden(precision),
            metrics=dict(background.metrics.get(precision, {})),
            made_by=source.made_by,
            kind=source.model.interface.kind,
        )
        for precision, source in sources.items()
    )
    manifest = Manifest(
        SCHEMA,
        name,
        version,
        labels,
        shape,
        thresholds,
        files,
        images=background.images,
        threshold_rule=background.threshold_rule,
        evidence=background.evidence,
        recipes=tuple(background.recipes),
    )
    contents = {f"{precision}.onnx": source.content for precision, source in sources.items()}
    contents |= {clear.picture.name: clear.picture.content for clear in choice.taken}
    return Draft(manifest, contents | {MANIFEST: _document(manifest)}, choice)


@dataclass(frozen=True, slots=True)
class _Source:
    """An ONNX file, loaded."""

    content: bytes
    model: Detector
    made_by: str

    @classmethod
    def read(cls, precision: Precision, path: Path) -> _Source:
        """On one thread: with another number of them the last digits may be others."""
        content, model = path.read_bytes(), detector.load(path, threads=1)
        is_quantized = _QUANTIZED in content
        if is_quantized != (precision == "int8"):
            raise PackagingError(
                f"{path} is {'' if is_quantized else 'not '}quantized, and was given as {precision}; "
                "give it as the other"
            )
        return cls(content, model, _made_by(content))

    @property
    def shape(self) -> InputShape:
        """Of the network's input."""
        return InputShape(self.model.interface.width, self.model.interface.height)


def _made_by(content: bytes) -> str:
    """As Ultralytics wrote it into the file at export."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    metadata = {"version": "?", "date": "?", **session.get_modelmeta().custom_metadata_map}
    return "Ultralytics {version}, exported {date:.10}".format(**metadata)


def _check_names(name: str, version: str) -> None:
    if not _NAME.fullmatch(name):
        raise PackagingError(
            f"name {name!r} should be 1 to 64 of A-Z, a-z, 0-9, points, hyphens and underscores"
        )
    if not _VERSION.fullmatch(version):
        raise PackagingError(
            f"version {version!r} should be three numbers such as 1.0.0, the component's version"
        )


def _network(sources: Sequence[_Source]) -> tuple[tuple[str, ...], InputShape]:
    """Labels and input size, the same for every file of the package."""
    first, *others = sources
    for other in others:
        if other.model.labels != first.model.labels:
            raise PackagingError(
                f"the models differ in class names: {', '.join(first.model.labels)}, and "
                f"{', '.join(other.model.labels)}; give two files of one model"
            )
        if other.shape != first.shape:
            raise PackagingError(
                f"the models differ in input size: {first.shape.width}x{first.shape.height}, and "
                f"{other.shape.width}x{other.shape.height}; export them alike"
            )
    return first.model.labels, first.shape


def _document(manifest: Manifest) -> bytes:
    document = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    try:
        parse_manifest(document)
    except msgspec.ValidationError as error:
        raise PackagingError(f"the manifest would be invalid: {error}") from error
    return document
