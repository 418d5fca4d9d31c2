"""How a network is trained: every parameter that is not left at Ultralytics' default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Variant = Literal["n", "s", "m", "l", "x"]
Activation = Literal["relu", "silu"]
Side = Annotated[int, msgspec.Meta(ge=32, multiple_of=32)]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A YOLOv8, its input, and the hyperparameters; those without a line are Ultralytics' own, by its names."""

    variant: Variant = "n"
    activation: Activation = "relu"
    """After each convolution. ReLU disappears into an INT8 convolution, SiLU takes two operators of its own."""
    height: Side = 320
    width: Side = 448
    """Of the network's input, in pixels."""
    epochs: Annotated[int, msgspec.Meta(ge=1)]
    batch: Annotated[int, msgspec.Meta(ge=1)] = 16
    nbs: Annotated[int, msgspec.Meta(ge=1)] = 16
    """The optimizer steps once in so many pictures, gathered over batches."""
    optimizer: str = "AdamW"
    lr0: float = 0.002
    lrf: float = 0.02
    cos_lr: bool = True
    weight_decay: float = 0.0005
    warmup_epochs: float = 1.0
    mosaic: float = 0.3
    close_mosaic: int = 2
    """Mosaic is off for the last so many epochs."""
    degrees: float = 0.0
    """A turned box is too large for what is in it, a scratch above all."""
    translate: float = 0.1
    scale: float = 0.3
    fliplr: float = 0.5
    flipud: float = 0.5
    hsv_h: float = 0.015
    hsv_s: float = 0.7
    hsv_v: float = 0.5
    seed: int = 0
    amp: bool = True
    """Mixed precision: bfloat16 on a CPU, which takes half the time."""


RECIPES = {
    "pretrain": Recipe(height=448, width=448, epochs=6, warmup_epochs=0.5),
    "finetune": Recipe(epochs=30, lr0=0.001, close_mosaic=10),
    "scratch": Recipe(epochs=120, close_mosaic=20),
    "bootstrap": Recipe(
        activation="silu",
        height=448,
        width=448,
        epochs=120,
        nbs=64,
        lrf=0.01,
        cos_lr=False,
        warmup_epochs=3.0,
        mosaic=1.0,
        close_mosaic=20,
        degrees=10.0,
        scale=0.5,
        hsv_v=0.4,
        amp=False,
    ),
}
"""``pretrain`` on simulated pictures, ``finetune`` what came of it on real ones; ``scratch`` without the first.
``bootstrap`` is what the first model was made by, to compare with."""


class RecipeError(Exception):
    """A parameter that no recipe has, or a value that it cannot take."""


def adapt(recipe: Recipe, changes: dict[str, Any]) -> Recipe:
    """The recipe with some values changed, given as JSON values or texts of them. Raises RecipeError."""
    try:
        return msgspec.convert(msgspec.structs.asdict(recipe) | changes, Recipe, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(Recipe))
        raise RecipeError(f"{error}; the parameters are {known}") from error
