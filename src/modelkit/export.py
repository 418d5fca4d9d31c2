"""Trained weights, or a plain export -> an ONNX file for the device, compared with what it was made of.

Nothing is written before all of it is found good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from inspector.core.package import Kind
from inspector.shell import detector
from inspector.shell.detector import Detector
from inspector.shell.package import PackageError
from modelkit import canvases, whole
from modelkit.agreement import Gap, Run, gap, runner
from modelkit.cut import CutError, cut
from modelkit.loading import load_content
from modelkit.weights import Weights

Size = tuple[int, int]
"""Height and width of the network input in pixels."""

DEFAULT_SIZE: Size = (320, 448)
NEWEST_OPSET, NEWEST_IR = 23, 11
"""Which ONNX Runtime 1.23.2 loads, the newest there is for Python 3.10."""
LIMIT = Gap(confidence=1e-4, box_px=1e-2)
"""A hundred times what 32 bits make of another order of sums, and nothing that a verdict could turn on."""


class ExportError(Exception):
    """The network cannot be exported; says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    model: Detector
    pictures: int
    """It was compared on so many."""
    gaps: dict[str, Gap]
    """How far it is from ``the plain export`` and from ``PyTorch``."""


def export(
    source: Path,
    output: Path,
    *,
    kind: Kind = "cut",
    size: Size | None = None,
    plain: Path | None = None,
    images: Path | None = None,
    tell: Callable[[str], object] = lambda _: None,
) -> Exported:
    """Write the network in ``source`` to ``output``, and as a plain export to ``plain``. ``tell`` hears of each step.

    ``source`` is a ``.pt`` of Ultralytics', exported for an input of ``size`` (320x448 without one), or an ``.onnx``
    exported by it, whose size is fixed. It is compared on the pictures in ``images``, else on made-up ones. The same
    source gives the same bytes. Raises ExportError, WeightsError, ExtraError, ImagesError, PackageError and OSError.
    """
    targets = [output, plain] if plain else [output]
    if len({each.resolve() for each in (source, *targets)}) <= len(targets):
        raise ExportError(f"{source} would be written over, or two files as one; give each its own name")
    original, references = _plain(source, size, tell)
    content = original
    if kind == "cut":
        content = _cut(source, original)
        references["the plain export"] = runner(original, _load(source, original).interface)
    model = _load(source, content)
    shape = model.interface.height, model.interface.width
    pictures = canvases.read(images, *shape) if images else canvases.make_up(*shape)
    tell(f"comparing on {len(pictures)} pictures")
    gaps = {name: gap(runner(content, model.interface), each, pictures) for name, each in references.items()}
    _require_small(source, gaps)
    whole.write(dict(zip(targets, (content, original), strict=False)))
    return Exported(model, len(pictures), gaps)


def _plain(source: Path, size: Size | None, tell: Callable[[str], object]) -> tuple[bytes, dict[str, Run]]:
    """The plain export, and PyTorch itself where that has the weights."""
    if source.suffix != ".pt":
        return _read(source, size), {}
    weights = Weights(source)
    tell("exporting by Ultralytics")
    return weights.export(*(size or DEFAULT_SIZE)), {"PyTorch": weights}


def _read(source: Path, size: Size | None) -> bytes:
    """The content of a plain export of that size. Raises ExportError and PackageError."""
    interface = detector.load(source).interface
    if interface.kind != "plain":
        raise ExportError(f"{source} is {interface.kind} already; give what it was made of")
    if size not in (None, (interface.height, interface.width)):
        made_for = f"{interface.height}x{interface.width}"
        raise ExportError(f"{source} is made for {made_for}; leave --size out, or export the weights again")
    content = source.read_bytes()
    model = onnx.ModelProto.FromString(content)
    opset = max((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), default=0)
    if opset > NEWEST_OPSET or model.ir_version > NEWEST_IR:
        cause = f"opset {opset}, IR {model.ir_version} is more than {NEWEST_OPSET}, {NEWEST_IR}"
        raise ExportError(f"{source}: {cause}, which every device can load; export it with opset=17")
    return content


def _cut(source: Path, original: bytes) -> bytes:
    try:
        return bytes(cut(onnx.ModelProto.FromString(original)).SerializeToString(deterministic=True))
    except CutError as error:
        fix = "give a YOLOv8 detection model, or export it as plain (--kind plain)"
        raise ExportError(f"{source} cannot be cut: {error}; {fix}") from error


def _load(source: Path, content: bytes) -> Detector:
    try:
        return load_content(content)
    except PackageError as error:
        raise ExportError(f"{source}: the device could not use it: {error}") from error


def _require_small(source: Path, gaps: dict[str, Gap]) -> None:
    for name, each in gaps.items():
        if not each.is_within(LIMIT):
            found = f"{each.confidence:.1g} in confidence and {each.box_px:.1g} px"
            fix = "export it as plain (--kind plain), or by other versions of Ultralytics and onnxslim"
            raise ExportError(f"{source}: exported, it would be {found} away from {name}; {fix}")
