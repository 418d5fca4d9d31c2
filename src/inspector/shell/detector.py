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
from inspector.core.interface import Cut, Interface, Plain, Shape
from inspector.core.message import Latency, ModelInfo
from inspector.core.naming import legible
from inspector.core.package import KnownImages, Manifest, ModelFile, Precision, Thresholds
from inspector.core.tensor import PAD_VALUE, fit
from inspector.shell.package import PackageError, Trust, read_file, read_package

ANYBODY = Trust()
_KINDS: dict[str, type[Plain] | type[Cut]] = {"tensor(float)": Plain, "tensor(uint8)": Cut}
"""By the type of the input."""
_EXPORT = "export a YOLOv8 detection model, without NMS in the graph, or cut one with `modelkit export`"
_NO_MEMORY = ("bad_alloc", "Failed to allocate memory")
"""What ONNX Runtime says then."""
RUNTIME = f"onnxruntime {onnxruntime.__version__}"


@dataclass(frozen=True, slots=True)
class Network:
    """What an ONNX file says of itself: Ultralytics writes it into the metadata at export."""

    labels: tuple[str, ...]
    input_name: str
    interface: Interface


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
        self.interface = network.interface
        self._input_name = network.input_name
        self._session = session

    def detect(
        self, pixels: Pixels, *, iou: float = 0.7, max_detections: int = 300
    ) -> tuple[Detections, Latency]:
        """Find defects in (height, width, 3) uint8 BGR pixels, down to a confidence of 0.05.

        Returns detections in pixels of the image and how long each stage took. ONNX Runtime's own exceptions
        pass through.
        """
        started = time.perf_counter()
        canvas, letterbox = fit(pixels, self.interface.width, self.interface.height)
        tensor = self.interface.fill(canvas)
        prepared = time.perf_counter()
        outputs = self._session.run(self.interface.output_names, {self._input_name: tensor})
        inferred = time.perf_counter()
        output = self.interface.read(outputs, RAW_FLOOR)
        detections = decode(output, letterbox, confidence=RAW_FLOOR, iou=iou, max_detections=max_detections)
        finished = time.perf_counter()
        return detections, Latency(
            preprocess=_ms(started, prepared),
            inference=_ms(prepared, inferred),
            postprocess=_ms(inferred, finished),
        )


def load(path: Path, *, precision: Precision = "fp32", threads: int = 0, trust: Trust = ANYBODY) -> Detector:
    """Load a model package (a directory with ``manifest.json``) or a single ONNX file, plain or cut.

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
        raise failure(path, "it fails on a blank picture", error) from error
    return detector


def failure(path: Path, what: str, error: Exception) -> PackageError:
    """What a model does not survive; that there is no memory for it may pass, and is not its fault."""
    is_passing = isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY)
    fix = "leave the component more memory; it is tried again" if is_passing else "export the model again"
    return PackageError(path, f"{what}: {error}", fix, is_passing=is_passing)


def _load_package(directory: Path, precision: Precision, threads: int, trust: Trust) -> Detector:
    package = read_package(directory, precision, trust)
    manifest, file = package.manifest, package.file
    session, network = _open(directory / file.name, package.content, threads)
    _require_agreement(directory, manifest, file, network)
    info = ModelInfo(manifest.name, manifest.version, file.precision, file.sha256)
    return Detector(session, network, info, manifest.thresholds, manifest.images)


def _require_agreement(directory: Path, manifest: Manifest, file: ModelFile, network: Network) -> None:
    interface, size = network.interface, manifest.input
    for what, actual, told in [
        ("kind", interface.kind, file.kind),
        ("input width", interface.width, size.width),
        ("input height", interface.height, size.height),
        ("labels", network.labels, manifest.labels),
    ]:
        if actual != told:
            cause = f"{file.name} has the {what} {actual!r:.100}, manifest.json says {told!r:.100}"
            raise PackageError(directory, cause, "package the model again")


def _load_file(path: Path, threads: int, trust: Trust) -> Detector:
    content = read_file(path, trust)
    session, network = _open(path, content, threads)
    info = ModelInfo(legible(path.stem), "0.0.0", "fp32", hashlib.sha256(content).hexdigest())
    return Detector(session, network, info, None)


def _open(path: Path, content: bytes, threads: int) -> tuple[onnxruntime.InferenceSession, Network]:
    try:
        session = onnxruntime.InferenceSession(content, _options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated types for a file it cannot load
        raise failure(path, "ONNX Runtime cannot load it", error) from error
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
        kind = _KINDS.get(inputs[0].type, Plain)
        labels = parse_labels(metadata["names"])
        height, width = _input_size(inputs[0].shape[kind.size_axes], metadata)
    except (LookupError, ValueError, SyntaxError, TypeError) as error:
        cause = f"its metadata lacks what Ultralytics writes at export ({error!r})"
        raise PackageError(path, cause, "export it with `yolo export format=onnx`") from error
    interface = kind(len(labels), height, width)
    is_detector = metadata.get("task", "detect") == "detect" and len(inputs) == 1 and inputs[0].type in _KINDS
    if not is_detector or not _fits(interface, inputs[0], outputs):
        cause = f"it is no YOLOv8 detector of {len(labels)} classes: {_text(inputs)} in, {_text(outputs)} out"
        raise PackageError(path, cause, _EXPORT)
    return Network(labels, inputs[0].name, interface)


def _input_size(sides: list[Any], metadata: dict[str, str]) -> tuple[int, int]:
    """(height, width) in pixels: the graph's own, else the ``imgsz`` of the export."""
    if len(sides) == 2 and all(isinstance(side, int) for side in sides):
        return int(sides[0]), int(sides[1])
    return parse_size(metadata["imgsz"])


def _fits(interface: Interface, taken: Any, given: list[Any]) -> bool:
    """Whether the graph's input and outputs are those of the interface."""
    names = interface.output_names
    return (
        _agrees(taken.shape, interface.input_shape)
        and len(given) == len(interface.output_shapes)
        and (names is None or tuple(each.name for each in given) == names)
        and all(each.type == "tensor(float)" for each in given)
        and all(
            _agrees(each.shape, shape) for each, shape in zip(given, interface.output_shapes, strict=True)
        )
    )


def _agrees(actual: list[Any], expected: Shape) -> bool:
    """Whether a shape fits; a dimension that is dynamic has a name in place of a number."""
    return len(actual) == len(expected) and all(
        not isinstance(a, int) or e is None or a == e for a, e in zip(actual, expected, strict=True)
    )


def _text(values: list[Any]) -> str:
    return ", ".join(f"{each.name} {each.type[7:-1]} {each.shape}" for each in values)


def _ms(started: float, finished: float) -> float:
    return round((finished - started) * 1e3, 3)
