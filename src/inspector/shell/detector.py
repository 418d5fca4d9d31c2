"""Verified model file -> raw output. The only importer of onnxruntime.

A model file brings no code along: custom operators come from libraries, and none is ever registered.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from inspector.core.detections import RAW_FLOOR, Detections, decode
from inspector.core.export_metadata import parse_labels, parse_size
from inspector.core.frame import Pixels
from inspector.core.message import Latency, ModelInfo
from inspector.core.naming import legible
from inspector.core.package import KnownImages, Precision, Thresholds
from inspector.core.tensor import PAD_VALUE, to_tensor
from inspector.shell.package import PackageError, Trust, read_file, read_package

ANYBODY = Trust()
RUNTIME = f"onnxruntime {onnxruntime.__version__}"


@dataclass(frozen=True, slots=True)
class Network:
    """What an ONNX file says of itself: Ultralytics writes it into the metadata at export."""

    labels: tuple[str, ...]
    input_name: str
    input_width: int
    input_height: int


class Detector:
    """A loaded model. ``detect`` may be called from one thread at a time."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        network: Network,
        info: ModelInfo,
        thresholds: Thresholds | None,
        known_images: KnownImages | None = None,
    ) -> None:
        self.info = info
        self.labels = network.labels
        self.thresholds = thresholds
        self.known_images = known_images
        self._network = network
        self._session = session

    def detect(
        self, pixels: Pixels, *, iou: float = 0.7, max_detections: int = 300
    ) -> tuple[Detections, Latency]:
        """Find defects in (height, width, 3) uint8 BGR pixels, down to a confidence of 0.05.

        Returns detections in pixels of the image and how long each stage took. ONNX Runtime's own exceptions
        pass through.
        """
        started = time.perf_counter()
        tensor, letterbox = to_tensor(pixels, self._network.input_width, self._network.input_height)
        prepared = time.perf_counter()
        output = self._session.run(None, {self._network.input_name: tensor})[0]
        inferred = time.perf_counter()
        detections = decode(output, letterbox, confidence=RAW_FLOOR, iou=iou, max_detections=max_detections)
        finished = time.perf_counter()
        return detections, Latency(
            preprocess=_ms(started, prepared),
            inference=_ms(prepared, inferred),
            postprocess=_ms(inferred, finished),
        )


def load(path: Path, *, precision: Precision = "fp32", threads: int = 0, trust: Trust = ANYBODY) -> Detector:
    """Load a model package (a directory with ``manifest.json``) or a single ONNX file exported by Ultralytics.

    It is verified before ONNX Runtime sees it, and the model runs once, so that the first frame does not pay for
    what ONNX Runtime puts off until then. Raises PackageError.
    """
    try:
        real = Path(os.path.realpath(path))
        if real.is_dir():
            detector = _load_package(real, precision, threads, trust)
        else:
            detector = _load_file(real, threads, trust)
    except OSError as error:
        raise PackageError.unreadable(path, error) from error
    try:
        detector.detect(np.full((64, 64, 3), PAD_VALUE, np.uint8))
    except Exception as error:  # as in _open
        raise PackageError(path, f"it fails on a blank picture: {error}", "export the model again") from error
    return detector


def _load_package(directory: Path, precision: Precision, threads: int, trust: Trust) -> Detector:
    package = read_package(directory, precision, trust)
    manifest, file = package.manifest, package.file
    session, network = _open(directory / file.name, package.content, threads)
    expected = (manifest.labels, manifest.input.width, manifest.input.height)
    if (network.labels, network.input_width, network.input_height) != expected:
        raise PackageError(directory, f"{file.name} disagrees with manifest.json", "package the model again")
    info = ModelInfo(manifest.name, manifest.version, file.precision, file.sha256)
    return Detector(session, network, info, manifest.thresholds, manifest.images)


def _load_file(path: Path, threads: int, trust: Trust) -> Detector:
    content = read_file(path, trust)
    session, network = _open(path, content, threads)
    info = ModelInfo(legible(path.stem), "0.0.0", "fp32", hashlib.sha256(content).hexdigest())
    return Detector(session, network, info, None)


def _open(path: Path, content: bytes, threads: int) -> tuple[onnxruntime.InferenceSession, Network]:
    try:
        session = onnxruntime.InferenceSession(content, _options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types for a file it cannot load
        raise PackageError(path, f"ONNX Runtime cannot load it: {error}", "export the model again") from error
    return session, _describe(path, session)


def _options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    # Spinning burns whole cores between two frames; a device has other work to do.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # Not ONNX Runtime's own format, which it would tell by some bytes: what was verified was an ONNX file.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options


def _describe(path: Path, session: onnxruntime.InferenceSession) -> Network:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        labels = parse_labels(metadata["names"])
        height, width = _input_size(inputs[0].shape, metadata)
    except (LookupError, ValueError, SyntaxError, TypeError) as error:
        cause = f"its metadata lacks what Ultralytics writes at export ({error!r})"
        raise PackageError(path, cause, "export it with `yolo export format=onnx`") from error
    expected = [1, 4 + len(labels)]
    actual = outputs[0].shape
    is_detector = metadata.get("task", "detect") == "detect" and len(inputs) == 1 and len(actual) == 3
    if not is_detector or inputs[0].type != "tensor(float)" or not _agrees(actual[:2], expected):
        cause = f"it is no YOLOv8 detector of {len(labels)} classes: output {actual}, expected {expected} and anchors"
        raise PackageError(path, cause, "export a YOLOv8 detection model, without NMS in the graph")
    return Network(labels, inputs[0].name, width, height)


def _input_size(shape: list[Any], metadata: dict[str, str]) -> tuple[int, int]:
    """(height, width) in pixels: the graph's own, else the ``imgsz`` of the export."""
    if all(isinstance(side, int) for side in shape[2:4]):
        return int(shape[2]), int(shape[3])
    return parse_size(metadata["imgsz"])


def _agrees(actual: list[Any], expected: list[int]) -> bool:
    """Whether a shape fits; a dimension that is dynamic has a name in place of a number."""
    return all(not isinstance(a, int) or a == e for a, e in zip(actual, expected, strict=True))


def _ms(started: float, finished: float) -> float:
    return round((finished - started) * 1e3, 3)
