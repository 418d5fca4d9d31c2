"""Ultralytics' weights (``.pt``) -> a plain ONNX export, and what PyTorch itself makes of a picture.

Needs the extra ``models``. A ``.pt`` is a pickle, so to load one is to run what is in it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import onnx

from inspector.core.detections import Output
from inspector.core.tensor import Canvas, to_tensor
from modelkit.extra import ultralytics

OPSET = 17


class WeightsError(Exception):
    """The weights cannot be used; says which, why and what to do."""


class Weights:
    """A trained detector. Raises WeightsError and OSError where there is none, and ExtraError."""

    def __init__(self, path: Path) -> None:
        os.environ.setdefault("YOLO_VERBOSE", "false")
        path.stat()  # Ultralytics would look for a missing file on the network
        yolo = ultralytics().YOLO
        try:
            self._model = yolo(path, task="detect")
            task, self._network = self._model.task, self._model.model.float().eval()
        except Exception as error:  # unpickling raises whatever the content makes it raise
            cause = f"Ultralytics cannot load it: {error!r:.300}"
            raise WeightsError(f"{path}: {cause}; give weights that it trained") from error
        if task != "detect":
            raise WeightsError(f"{path}: it is for the task {task}; give weights of a detection model")
        self._path = path

    def export(self, height: int, width: int) -> bytes:
        """As Ultralytics exports it, for an input of this size in pixels. The same weights give the same bytes.

        The date in the metadata is the weights' own, and of the training data's path its name is left.
        """
        with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
            # Ultralytics exports by the older of torch's two exporters, which deprecates itself in many places.
            warnings.simplefilter("ignore")
            copy = shutil.copy(self._path, directory)  # the export is written beside the weights
            model = ultralytics().YOLO(copy)
            exported = onnx.load(
                model.export(format="onnx", imgsz=(height, width), opset=OPSET, device="cpu")
            )
        checkpoint = self._model.ckpt
        _settle(exported, checkpoint.get("date"), str(checkpoint.get("train_args", {}).get("data") or ""))
        return bytes(exported.SerializeToString(deterministic=True))

    def __call__(self, canvas: Canvas) -> Output:
        """What PyTorch makes of a picture, of the size of the canvas."""
        import torch

        with torch.no_grad():
            output: Output = self._network(torch.from_numpy(to_tensor(canvas)))[0].numpy()
        return output


def _settle(model: onnx.ModelProto, date: str | None, data: str) -> None:
    """Leave in the metadata nothing of when and where it was exported."""
    metadata = {each.key: each.value for each in model.metadata_props}
    metadata.pop("date", None)
    if date:
        metadata["date"] = date
    if data:
        metadata["description"] = metadata.get("description", "").replace(data, Path(data).name)
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
