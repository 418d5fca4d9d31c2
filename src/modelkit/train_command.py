"""``modelkit train``: YOLO datasets in, a trained network of each out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from modelkit.arguments import CommandError, explain
from modelkit.dataset import DatasetError
from modelkit.extra import ExtraError
from modelkit.recipe import RECIPES, RecipeError, adapt
from modelkit.train import TrainingError, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``modelkit train`` takes."""
    explain(
        parser,
        "Train a YOLOv8 on datasets that modelkit dataset wrote, one network each. Needs the extra models.\n\n"
        "Give the same command again to go on after an interruption; what is finished is not trained again.",
        "modelkit train sets/simulated --recipe pretrain --output runs/pretrained",
        "modelkit train sets/fold* --recipe finetune --pretrained runs/pretrained/model.pt --output runs/folds",
        "modelkit train sets/simulated --recipe pretrain --set activation=silu variant=s --output runs/other",
    )
    add = parser.add_argument
    add("datasets", type=Path, nargs="+", metavar="DATASET", help="directory with data.yaml and dataset.json")
    add(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="gets model.pt and recipe.json; of several datasets each in a directory of its name",
    )
    add("--recipe", choices=RECIPES, default="finetune", help="hyperparameters (%(default)s)")
    add("--set", nargs="+", default=[], metavar="NAME=VALUE", help="change some of them")
    add("--pretrained", type=Path, metavar="MODEL.pt", help="weights to begin with (default: from scratch)")
    add("--device", default="", help="cpu, or 0 for the first GPU (default: the GPU, if there is one)")
    parser.set_defaults(run_command=run)


def run(arguments: argparse.Namespace) -> int:
    """Train on each dataset."""
    try:
        recipe = adapt(RECIPES[arguments.recipe], _changes(arguments.set))
        for dataset in arguments.datasets:
            directory = arguments.output / dataset.name if len(arguments.datasets) > 1 else arguments.output
            model = train(
                dataset, recipe, directory, pretrained=arguments.pretrained, device=arguments.device
            )
            print(f"{model}: trained as {model.with_name('recipe.json')} says")
    except (DatasetError, ExtraError, TrainingError, RecipeError, msgspec.DecodeError) as error:
        raise CommandError(error) from error
    return 0


def _changes(texts: list[str]) -> dict[str, Any]:
    changes = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise CommandError(f"--set {text}: say it as NAME=VALUE, such as epochs=80")
        changes[name] = value
    return changes
