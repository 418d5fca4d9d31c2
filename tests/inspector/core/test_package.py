"""The manifest of a model package."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from inspector.core.package import Manifest, Thresholds, parse_manifest

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "schema" / "manifest.json").read_text())
DETECTION = {"class_id": 0, "confidence": 0.782, "left": 94.9, "top": 126.6, "width": 71.1, "height": 116.9}
FILE = {
    "name": "fp32.onnx",
    "precision": "fp32",
    "sha256": "a6" * 32,
    "bytes": 12_156_418,
    "golden": [{"image": "golden/tag.jpg", "sha256": "3b" * 32, "detections": [DETECTION]}],
    "metrics": {"map50": 0.8},
    "made_by": "Ultralytics 8.4",
}
MANIFEST = {
    "schema": "edge-inspector/model/1",
    "name": "metal-tag",
    "version": "0.1.0",
    "labels": ["scratch"],
    "input": {"width": 448, "height": 320},
    "thresholds": {"confidence": 0.5, "low_confidence": 0.25},
    "files": [FILE],
}


def parsed(**changes) -> Manifest:
    return parse_manifest(json.dumps(MANIFEST | changes).encode())


def test_a_manifest_is_parsed_and_is_valid_by_its_published_schema() -> None:
    """What the documentation describes is what is read."""
    manifest = parsed()
    jsonschema.validate(MANIFEST, SCHEMA)
    assert manifest.thresholds == Thresholds(confidence=0.5, low_confidence=0.25)
    assert manifest.files[0].golden[0].detections[0].width == 71.1
    assert json.loads(msgspec.json.encode(manifest)) == MANIFEST


@pytest.mark.parametrize("field", MANIFEST)
def test_every_field_is_required_and_named_where_it_is_missing(field) -> None:
    """A manifest says everything or is refused."""
    incomplete = {key: value for key, value in MANIFEST.items() if key != field}
    with pytest.raises(msgspec.ValidationError, match=f"missing required field `{field}`"):
        parse_manifest(json.dumps(incomplete).encode())


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"schema": "edge-inspector/model/2"}, "$.schema"),
        ({"name": "metal tag"}, "$.name"),
        ({"name": ""}, "$.name"),
        ({"version": "1.0"}, "$.version"),
        ({"labels": []}, "$.labels"),
        ({"input": {"width": 450, "height": 320}}, "$.input.width"),
        ({"input": {"width": 448, "height": 0}}, "$.input.height"),
        ({"thresholds": {"confidence": 0.3, "low_confidence": 0.4}}, "$.thresholds"),
        ({"thresholds": {"confidence": 1.2, "low_confidence": 0.4}}, "$.thresholds.confidence"),
        ({"files": []}, "$.files"),
        ({"files": [FILE | {"sha256": "A6" * 32}]}, "$.files[0].sha256"),
        ({"files": [FILE | {"precision": "fp16"}]}, "$.files[0].precision"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(changes, path) -> None:
    """Whoever packages a model learns where to look."""
    with pytest.raises(msgspec.ValidationError) as caught:
        parsed(**changes)
    assert str(caught.value).endswith(f"at `{path}`")


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../fp32.onnx", "a/../../b.onnx", "a\n/../../b.onnx", "..", "a\\b.onnx"]
)
def test_no_file_is_outside_of_the_package(name) -> None:
    """A name can't lead out of the directory, however it is spelled."""
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.files\[0\]\.name`"):
        parsed(files=[FILE | {"name": name}])


IMAGES = {
    "count": 221,
    "bounds": {"brightness": [27.2, 249.4], "likeness": [0.4, 1.1]},
    "layout": [188.1] * 54,
}


def test_what_the_images_look_like_may_be_told() -> None:
    """Or not: packages without it are as valid."""
    images = parsed(images=IMAGES).images
    jsonschema.validate(MANIFEST | {"images": IMAGES}, SCHEMA)
    assert images.bounds == {"brightness": (27.2, 249.4), "likeness": (0.4, 1.1)}
    assert (images.count, len(images.layout)) == (221, 54)
    assert parsed().images is None


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"count": 0}, "$.images.count"),
        ({"layout": [1.0] * 53}, "$.images.layout"),
        ({"layout": [1.0] * 55}, "$.images.layout"),
        ({"bounds": {"beauty": [0, 1]}}, "key` in `$.images.bounds"),
        ({"bounds": {"brightness": [0]}}, "$.images.bounds[...]"),
        ({"bounds": {"brightness": [0, None]}}, "$.images.bounds[...][1]"),
    ],
)
def test_images_that_the_device_could_not_compare_with_are_refused(changes, path) -> None:
    """A measure that it does not know, a layout of another size."""
    with pytest.raises(msgspec.ValidationError) as caught:
        parsed(images=IMAGES | changes)
    assert path in str(caught.value)


def test_an_unknown_field_is_refused() -> None:
    """A manifest of a later version isn't half understood."""
    with pytest.raises(msgspec.ValidationError, match="unknown field `signature`"):
        parsed(signature="x")
