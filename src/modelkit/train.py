"""A YOLO dataset and a recipe -> a trained network. What was interrupted goes on after the last whole epoch."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from modelkit import whole
from modelkit.dataset import read
from modelkit.extra import ultralytics
from modelkit.fold_directory import RECIPE, FoldsError, read_recipe
from modelkit.recipe import Recipe

MODEL = "model.pt"
_OURS = {"variant", "activation", "height", "width"}
"""Parameters that Ultralytics does not know."""


class TrainingError(Exception):
    """The training cannot begin or go on; says what is in the way and what to do."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``recipe.json``: all that a training was made of."""

    schema: Literal["edge-inspector/training/1"] = "edge-inspector/training/1"
    recipe: Recipe
    labels: tuple[str, ...]
    trained_on: tuple[str, ...]
    """Parts."""
    held_out: tuple[str, ...]
    """Parts that the network has not seen."""
    held_out_images: tuple[str, ...] = ()
    """As the labels name them, in place of parts where the split went through parts: a random one, which leaks."""
    pictures: int
    """Trained on."""
    pictures_sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    """Of the sorted hashes of the pictures trained on."""
    labels_sha256: str
    """Of their names and labels, as in ``dataset.json``."""
    pretrained: str | None = None
    """SHA-256 of the weights begun with; null: from scratch."""
    versions: dict[str, str]
    finished_at: str | None = None
    """Null while it is under way."""


def train(
    dataset: Path, recipe: Recipe, directory: Path, *, pretrained: Path | None = None, device: str = ""
) -> Path:
    """Train on ``dataset`` (a directory that ``modelkit dataset`` wrote) and return ``directory/model.pt``.

    ``model.pt`` holds the moving average of the weights after the last epoch, ``recipe.json`` how it was made. What
    is there already is not trained again. ``device`` is Ultralytics': ``cpu``, ``0`` for the first GPU, empty for
    whichever there is. Raises TrainingError where ``directory`` holds a training of another kind or ``pretrained``
    has seen what is held out, DatasetError, and ExtraError.
    """
    model = directory / MODEL
    record = _record(dataset, recipe, pretrained)
    earlier = _read(directory)
    if earlier and not _is_same(earlier, record):
        raise TrainingError(
            f"{directory} holds a training by another recipe or on other pictures; remove it or write to "
            "another directory"
        )
    if earlier and earlier.finished_at and model.is_file():
        return model
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory, record)
    last = _run(dataset / "data.yaml", recipe, directory, pretrained, device)
    whole.write({model: last.read_bytes()})
    finished_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    _write(directory, msgspec.structs.replace(record, finished_at=finished_at))
    return model


def _record(dataset: Path, recipe: Recipe, pretrained: Path | None) -> Record:
    described = read(dataset)
    train, val = described.splits["train"], described.splits["val"]
    if pretrained:
        _refuse_what_has_seen(pretrained, val.parts)
    is_leaky = not set(train.parts).isdisjoint(val.parts)
    return Record(
        recipe=recipe,
        labels=described.labels,
        trained_on=train.parts,
        held_out=() if is_leaky else val.parts,
        held_out_images=tuple(val.pictures) if is_leaky else (),
        pictures=len(train.pictures),
        pictures_sha256=hashlib.sha256("".join(sorted(train.pictures.values())).encode()).hexdigest(),
        labels_sha256=train.labels_sha256,
        pretrained=hashlib.sha256(pretrained.read_bytes()).hexdigest() if pretrained else None,
        versions=_versions(),
    )


def _refuse_what_has_seen(pretrained: Path, held_out: Sequence[str]) -> None:
    """Weights that were trained on what is held out have seen it."""
    try:
        seen = set(read_recipe(pretrained.with_name(RECIPE)).trained_on) & set(held_out)
    except FoldsError:
        return  # weights of others come without a record
    if seen:
        raise TrainingError(
            f"{pretrained} has been trained on {', '.join(sorted(seen)[:5])}, which the dataset holds out; begin "
            "with weights that have not seen it"
        )


def _versions() -> dict[str, str]:
    library = ultralytics()
    import torch

    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "ultralytics": library.__version__,
    }


def _read(directory: Path) -> Record | None:
    path = directory / RECIPE
    return msgspec.json.decode(path.read_bytes(), type=Record) if path.is_file() else None


def _write(directory: Path, record: Record) -> None:
    document = msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
    whole.write({directory / RECIPE: document})


def _is_same(earlier: Record, record: Record) -> bool:
    same = {"finished_at": None, "versions": record.versions}
    return msgspec.structs.replace(earlier, **same) == record


def _run(data: Path, recipe: Recipe, directory: Path, pretrained: Path | None, device: str) -> Path:
    """Train, or go on with what was begun; return the last checkpoint."""
    from modelkit.trainer import WHOLE, Trainer, finished

    last = directory / "training" / "weights" / WHOLE
    if last.is_file() and (path := finished(last, recipe.epochs)):
        return path
    parameters: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(recipe).items() if name not in _OURS
    }
    overrides = parameters | {
        "data": str(data),
        "model": str(last if last.is_file() else _architecture(recipe, directory)),
        "resume": str(last) if last.is_file() else False,
        "pretrained": str(pretrained) if pretrained else False,
        "imgsz": max(recipe.height, recipe.width),
        "device": device,
        "project": str(directory.resolve()),
        "name": "training",
        "exist_ok": True,
        "val": False,
        "plots": False,
        "deterministic": False,  # on a CPU it is anyway; on a GPU it costs a third of the speed
    }
    trainer = Trainer(height=recipe.height, width=recipe.width, overrides=overrides)
    trainer.train()
    return Path(trainer.last)


def _architecture(recipe: Recipe, directory: Path) -> Path:
    """Ultralytics' description of the network, with the activation; its name tells the variant."""
    described = (Path(ultralytics().__file__).parent / "cfg/models/v8/yolov8.yaml").read_text("utf-8")
    if recipe.activation == "relu":
        described = f"activation: torch.nn.ReLU()\n{described}"
    path = directory / f"yolov8{recipe.variant}.yaml"
    path.write_text(described, "utf-8")
    return path
