"""Ultralytics' trainer, in the shape of the network's input and at a CPU's best pace. Imports torch."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from ultralytics.data.augment import RandomPerspective
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.torch_utils import strip_optimizer

WHOLE = "whole.pt"
"""The last checkpoint, whole whenever it is there."""


def finished(checkpoint: Path, epochs: int) -> Path | None:
    """The trained weights, where the checkpoint is the last epoch's: there is nothing to go on with."""
    epoch = torch.load(checkpoint, map_location="cpu", weights_only=False)["epoch"]
    if 0 <= epoch < epochs - 1:
        return None
    if epoch >= 0:
        strip_optimizer(checkpoint)
    return checkpoint


class Trainer(DetectionTrainer):  # type: ignore[misc]  # Ultralytics is not there where types are checked
    """Trains on ``height`` by ``width`` pixels rather than on a square, of which a wide picture fills two thirds.

    On a CPU it uses every core, keeps memory channels last, and computes in bfloat16 if ``amp`` says so: Ultralytics
    leaves one core idle and knows the other two on CUDA alone. There is no validation: the last epoch's weights are
    the result, so that nothing that is held out takes part in choosing them.
    """

    model: Any

    def __init__(self, *, height: int, width: int, **rest: Any) -> None:
        super().__init__(**rest)
        self._size = (width, height)

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> YOLODataset:
        """As Ultralytics does, but warped into the shape of the input."""
        dataset = super().build_dataset(img_path, mode, batch)
        if mode == "train":
            self._shape(dataset)
        return dataset

    def _close_dataloader_mosaic(self) -> None:
        super()._close_dataloader_mosaic()
        self._shape(self.train_loader.dataset)

    def _shape(self, dataset: YOLODataset) -> None:
        (affine,) = (
            each
            for each in dataset.transforms.transforms[0].transforms
            if isinstance(each, RandomPerspective)
        )
        affine.size = self._size

    def setup_model(self) -> Any:
        """As Ultralytics does, channels last."""
        checkpoint = super().setup_model()
        self.model = self.model.to(memory_format=torch.channels_last)
        return checkpoint

    def _setup_train(self) -> None:
        super()._setup_train()
        if self.device.type == "cpu":
            self.amp = bool(self.args.amp)  # torch's autocast takes bfloat16 on a CPU
            torch.set_num_threads(len(os.sched_getaffinity(0)))

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As Ultralytics does, channels last."""
        batch = super().preprocess_batch(batch)
        batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch

    def save_model(self) -> None:
        """As Ultralytics does, and a copy that a power cut leaves whole."""
        super().save_model()
        part = self.wdir / f".{WHOLE}.part"
        shutil.copyfile(self.last, part)
        part.replace(self.wdir / WHOLE)

    def validate(self) -> tuple[dict[str, float], float]:
        """Nothing to measure here: that is ``modelkit evaluate``'s, with the code that ships."""
        return {}, 0.0

    def final_eval(self) -> None:
        """Drop the optimizer's state from the checkpoint."""
        strip_optimizer(self.last)
