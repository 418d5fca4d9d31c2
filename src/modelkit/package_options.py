"""What ``modelkit package`` takes on its command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from modelkit.arguments import explain
from modelkit.golden import CLEARANCE
from modelkit.thresholds import DEFAULT, Rule

ABOUT = f"""\
Make a model package: the ONNX files, and a manifest that says what they are, by which thresholds they judge, and
what they must find in a few golden pictures on every device, or be refused.

Golden pictures are picked out of those given, up to two of each verdict: every file must decide a picture alike,
with every confidence at least {CLEARANCE} away from both thresholds. One is added under coloured light, to tell a
model that takes red for blue.

Thresholds are chosen from --out-of-fold. --low-confidence is the highest at which at most --max-escapes of the
defective pictures pass, less --margin. --confidence is the lowest, but not below that, at which at most
--max-false-alarms of all pictures have a detection that touches no labelled defect, plus --margin. Both hold for
every file. Without the margin no others within these limits send fewer pictures to review."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them all."""
    explain(
        parser,
        ABOUT,
        "edgehost camera --output candidates --count 200 --seed 9",
        "modelkit package --name metal-tag --version 1.1.0 --fp32 fp32.onnx --int8 int8.onnx \\\n"
        "      --out-of-fold out-of-fold.json --golden candidates --images pictures --recipe recipe.json \\\n"
        "      --against models --sign private.pem --output models",
        "modelkit package --name metal-tag --version 1.0.0 --fp32 best.onnx --golden candidates --output models",
    )
    _add_model(parser)
    _add_thresholds(parser.add_argument_group("thresholds"))
    _add_gate(parser.add_argument_group("replacing another package"))


def _add_model(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--name", required=True)
    add("--version", required=True, help="such as 1.0.0")
    add("--fp32", type=Path, required=True, metavar="ONNX", help="a YOLOv8 export, plain or cut")
    add("--int8", type=Path, metavar="ONNX", help="the same model, quantized")
    add(
        "--golden",
        type=Path,
        nargs="+",
        required=True,
        metavar="PICTURE",
        help="candidates for golden pictures, of good parts and bad; directories with them",
    )
    add(
        "--images",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="pictures as the camera takes them, good parts and bad: the device sends others to review as "
        "unusual; without them it cannot tell",
    )
    add(
        "--recipe",
        type=Path,
        nargs="+",
        default=[],
        metavar="JSON",
        help="how the model was trained, step by step, for the manifest",
    )
    add("--sign", metavar="KEY", help="private key: a PEM file, or kms:alias/NAME")
    add("--output", type=Path, required=True, metavar="DIR")


def _add_thresholds(group: Any) -> None:
    rule, add = Rule(), group.add_argument
    add("--out-of-fold", type=Path, metavar="JSON", help="of modelkit evaluate --folds DIR --output JSON")
    add("--max-escapes", type=_share, metavar="SHARE", help=f"of the defective pictures ({rule.max_escapes})")
    add(
        "--max-false-alarms",
        type=_share,
        metavar="SHARE",
        help=f"of all pictures ({rule.max_false_alarms})",
    )
    add(
        "--margin",
        type=_share,
        metavar="CONFIDENCE",
        help=f"what lies so near goes to review ({rule.margin})",
    )
    add(
        "--confidence",
        type=float,
        help=f"from here on a detection fails a part (by the rule; without predictions {DEFAULT.confidence})",
    )
    add(
        "--low-confidence",
        type=float,
        metavar="CONFIDENCE",
        help=f"below it is ignored (by the rule; without predictions {DEFAULT.low_confidence})",
    )


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not 0 to 1")
    return share


def _add_gate(group: Any) -> None:
    add = group.add_argument
    add("--against", type=Path, metavar="DIR", help="refuse to make a package that is worse than this one")
    add(
        "--on",
        type=Path,
        nargs=2,
        metavar=("CSV", "DIR"),
        help="labels.csv and its pictures, on which neither was trained: measure both, in place of comparing "
        "the metrics in their manifests",
    )
    add("--force", action="store_true", help="make it nevertheless")
