"""The manifest of a model package: what its files are, and how they must decide.

A package is a directory: ``manifest.json``, the ONNX files it names, and ``golden/``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

SCHEMA: Literal["edge-inspector/model/1"] = "edge-inspector/model/1"
SIGNATURE = "manifest.sig"
"""Beside the manifest, optional: RSA-PSS with SHA-256 over the manifest's bytes."""

Precision = Literal["fp32", "int8"]
Kind = Literal["plain", "cut"]
"""``plain``: float32 RGB 0..1 in, boxes and confidences out, as Ultralytics exports it; ``cut``: uint8 BGR in, the
logits of both out (``modelkit export``)."""
PrecisionChoice = Literal["auto", "fp32", "int8"]
"""``auto`` leaves the choice to the device."""
UnitInterval = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
RelativePath = Annotated[str, msgspec.Meta(pattern=r"^(?!/)(?![\s\S]*\.\.)[^\\]+$")]


class InputShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size of the network input in pixels; a letterboxed image fills it exactly."""

    width: Annotated[int, msgspec.Meta(ge=32, multiple_of=32)]
    height: Annotated[int, msgspec.Meta(ge=32, multiple_of=32)]


class Thresholds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Confidence at or above which a detection fails the part, and below which it is ignored."""

    confidence: UnitInterval
    low_confidence: UnitInterval

    def __post_init__(self) -> None:
        if self.low_confidence > self.confidence:
            raise ValueError(f"low_confidence {self.low_confidence} is above confidence {self.confidence}")


class GoldenDetection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A detection that the model must find again. Pixels of the golden image; left, top is the upper corner."""

    class_id: int
    confidence: UnitInterval
    left: float
    top: float
    width: float
    height: float


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture in the package and the detections, at or above ``low_confidence``, expected of one file."""

    image: RelativePath
    sha256: Sha256
    detections: tuple[GoldenDetection, ...]


Measure = Literal[
    "aspect", "megapixels", "brightness", "contrast", "blue", "red", "sharpness", "flatness", "likeness"
]
"""What is measured of a picture as a whole: width by height; size; mean and standard deviation of its grey levels
(0..255); how much more blue, and red, than green there is (-255..255); standard deviation of the second derivative
along x or y, the lesser, by contrast; share of pixels that are the mean of their neighbours (0..1); correlation with
the mean layout of known pictures (-1..1)."""

LAYOUT_WIDTH, LAYOUT_HEIGHT = 9, 6
_FIELDS = LAYOUT_WIDTH * LAYOUT_HEIGHT


class KnownImages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pictures look like that the model was made for, so that it can be told when others come."""

    count: Annotated[int, msgspec.Meta(ge=1)]
    """So many pictures were measured."""
    bounds: dict[Measure, tuple[float, float]]
    """The least and the greatest value of a usual picture."""
    layout: Annotated[tuple[float, ...], msgspec.Meta(min_length=_FIELDS, max_length=_FIELDS)]
    """Mean grey (0..255) of each field of a grid of 9 by 6, row by row."""


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One ONNX file."""

    name: RelativePath
    precision: Precision
    sha256: Sha256
    bytes: int
    golden: tuple[Golden, ...]
    metrics: dict[str, float]
    made_by: str
    kind: Kind = "plain"


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The labelled pictures by which thresholds were chosen and metrics taken."""

    pictures: Annotated[int, msgspec.Meta(ge=1)]
    defective: Annotated[int, msgspec.Meta(ge=0)]
    parts: Annotated[int, msgspec.Meta(ge=1)]
    out_of_fold: bool
    """Whether each was judged by a model of the same recipe that never saw its part, not by this one."""
    sha256: Sha256
    """Of the pictures' names and labels: metrics of two packages compare where it is the same."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of ``manifest.json``. ``labels[class_id]`` names a class."""

    schema: Literal["edge-inspector/model/1"]
    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9._-]{1,64}$")]
    version: Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+\.\d+$")]
    labels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    input: InputShape
    thresholds: Thresholds
    files: Annotated[tuple[ModelFile, ...], msgspec.Meta(min_length=1)]
    images: KnownImages | None = None
    """Null: unusual images are not told."""
    threshold_rule: str = ""
    """By which the thresholds were chosen, for people."""
    evidence: Evidence | None = None
    recipes: tuple[dict[str, Any], ...] = ()
    """How the model was made, step by step: what ``modelkit train`` wrote down."""


def parse_manifest(document: bytes) -> Manifest:
    """Parse ``manifest.json``; raise ``msgspec.ValidationError`` naming the first wrong field by its path."""
    return msgspec.json.decode(document, type=Manifest)
