"""Further versions of the model component, each made of the built one by a change to its package."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import msgspec

from edge import MODEL, MODEL_VERSION, SAMPLES
from inspector.core.message import describe
from inspector.shell.detector import load

Change = Callable[[Path], None]
"""Alters an unpacked package."""
SMALL = Path(__file__).parents[1] / "bench" / "small.onnx"
SMALLS_GOLDEN = SAMPLES / "tag-0014.jpg"
"""In which it finds something, clearly."""


def nothing(_: Path) -> None:
    """The same model under another version."""


def add_version(build: Path, version: str, change: Change = nothing) -> None:
    """Put recipe and artifact of a version into a copy of the build, beside those that are there."""
    recipes, artifacts = build / "recipes", build / "artifacts" / MODEL
    recipe = (recipes / f"{MODEL}-{MODEL_VERSION}.yaml").read_text()
    (recipes / f"{MODEL}-{version}.yaml").write_text(recipe.replace(MODEL_VERSION, version))
    package = artifacts / version / "model"
    with zipfile.ZipFile(artifacts / MODEL_VERSION / "model.zip") as members:
        members.extractall(package)
    rewrite(package, version=version)
    change(package)
    shutil.make_archive(str(package), "zip", package)
    shutil.rmtree(package)


def small(label: str, threshold: float) -> Change:
    """Another model, made for tests: what it finds at or above ``threshold`` fails the part as a ``label``."""

    def change(package: Path) -> None:
        for file in read(package)["files"]:
            (package / file["name"]).unlink()
        shutil.copy(SMALLS_GOLDEN, package / "golden")
        assert len(label) == len("scratch"), "the file says how many bytes each of its texts has"
        named = SMALL.read_bytes().replace(b"'scratch'", f"'{label}'".encode())
        (package / "fp32.onnx").write_bytes(named)
        golden = {"image": f"golden/{SMALLS_GOLDEN.name}", "detections": []}
        file = {
            "name": "fp32.onnx",
            "precision": "fp32",
            "golden": [golden],
            "metrics": {},
            "made_by": "test",
        }
        thresholds = {"confidence": threshold, "low_confidence": threshold}
        rewrite(
            package,
            labels=[label],
            input={"width": 64, "height": 64},
            thresholds=thresholds,
            files=[file],
            images=None,
        )
        list_hashes(package)
        expect_what_it_finds(package, threshold)

    return change


def expect_what_it_finds(package: Path, threshold: float) -> None:
    """Golden detections of a package of one model."""
    model, files = load(package), read(package)["files"]
    for golden in files[0]["golden"]:
        found, _ = model.detect(cv2.imread(str(package / golden["image"])))
        seen = describe(found.where(found.confidences >= threshold), model.labels)
        golden["detections"] = [msgspec.structs.asdict(each) for each in seen]
        for each in golden["detections"]:
            del each["label"]
    rewrite(package, files=files)


def read(package: Path) -> Any:
    """The manifest."""
    return json.loads((package / "manifest.json").read_bytes())


def rewrite(package: Path, **changes: Any) -> None:
    """Change the manifest."""
    (package / "manifest.json").write_text(json.dumps(read(package) | changes))


def list_hashes(package: Path) -> None:
    """Let the manifest agree with the files."""
    manifest = read(package)
    for file in manifest["files"]:
        content = (package / file["name"]).read_bytes()
        file |= {"sha256": sha256(content).hexdigest(), "bytes": len(content)}
        for golden in file["golden"]:
            golden["sha256"] = sha256((package / golden["image"]).read_bytes()).hexdigest()
    rewrite(package, files=manifest["files"])


def expect_otherwise(package: Path) -> None:
    """A package that expects what the model does not find: one detection less in a golden picture."""
    files = read(package)["files"]
    golden = next(each for each in files[0]["golden"] if each["detections"])
    golden["detections"].pop()
    rewrite(package, files=files)


def tamper(package: Path) -> None:
    """A byte of the model changed, the manifest not."""
    path = package / read(package)["files"][0]["name"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
