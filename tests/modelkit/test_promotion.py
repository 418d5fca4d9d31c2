"""A package that is worse than the one it replaces, or a step back, is told with the figures."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from inspector.core.package import (
    SCHEMA,
    Evidence,
    InputShape,
    Manifest,
    ModelFile,
    Precision,
    Thresholds,
)
from modelkit.promotion import compare, compare_recorded, find_breaks

METRICS = {
    "map50": 0.8,
    "map50_95": 0.4,
    "escapes": 2.0,
    "overkill": 0.0,
    "review": 20.0,
    "images": 200.0,
}
EVIDENCE = Evidence(pictures=200, defective=190, parts=16, out_of_fold=True, sha256="0" * 64)


def manifest(precisions: tuple[Precision, ...] = ("fp32", "int8"), **changes: Any) -> Manifest:
    files = tuple(
        ModelFile(f"{precision}.onnx", precision, "0" * 64, 1, (), METRICS, "") for precision in precisions
    )
    made = Manifest(SCHEMA, "tags", "1.2.3", ("scratch",), InputShape(448, 320), Thresholds(0.5, 0.25), files)
    return msgspec.structs.replace(made, **({"evidence": EVIDENCE} | changes))


@pytest.mark.parametrize("version", ["1.2.4", "1.10.0", "2.0.0"])
def test_a_higher_version_may_replace_a_lower_one(version: str) -> None:
    assert find_breaks(manifest(version=version), manifest()) == []


@pytest.mark.parametrize("version", ["1.2.3", "1.2.2", "0.9.9"])
def test_a_downgrade_is_told(version: str) -> None:
    assert find_breaks(manifest(version=version), manifest()) == [f"version {version} is not above 1.2.3"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"name": "plates"}, "its name is plates, not tags"),
        ({"labels": ("dent",)}, "its class names are dent, not scratch"),
        ({"labels": ("scratch", "dent")}, "its class names are scratch, dent, not scratch"),
        ({"input": InputShape(640, 640)}, "its input is 640x640, not 448x320"),
    ],
)
def test_what_would_no_longer_work_is_told(changes: dict[str, Any], fault: str) -> None:
    assert find_breaks(manifest(version="2.0.0", **changes), manifest()) == [fault]


def test_a_precision_that_is_gone_is_told() -> None:
    """A device that is set to it would be left without a model."""
    assert find_breaks(manifest(("fp32",), version="2.0.0"), manifest()) == ["it has no int8 file"]
    assert find_breaks(manifest(version="2.0.0"), manifest(("fp32",))) == []


@pytest.mark.parametrize(
    ("name", "allowed", "worse", "told"),
    [
        ("map50", 0.79, 0.789, "map50 0.789, before 0.800"),
        ("map50_95", 0.39, 0.389, "map50_95 0.389, before 0.400"),
        ("escapes", 2, 3, "escapes 3 of 200 pictures, before 2"),
        ("overkill", 2, 3, "overkill 3 of 200 pictures, before 0"),
        ("review", 22, 23, "review 23 of 200 pictures, before 20"),
    ],
)
def test_a_figure_that_is_worse_by_more_than_the_margin_is_told(
    name: str, allowed: float, worse: float, told: str
) -> None:
    assert compare({"fp32": METRICS | {name: allowed}}, {"fp32": METRICS}) == []
    assert compare({"fp32": METRICS | {name: worse}}, {"fp32": METRICS}) == [f"fp32: {told}"]


def test_what_is_better_is_no_objection() -> None:
    better = {"map50": 0.9, "map50_95": 0.6, "escapes": 0.0, "review": 0.0}
    assert compare({"fp32": METRICS | better}, {"fp32": METRICS}) == []


def test_every_precision_that_both_have_is_compared() -> None:
    worse = METRICS | {"escapes": 9.0}
    assert compare({"fp32": METRICS, "int8": worse}, {"fp32": METRICS, "int8": METRICS}) == [
        "int8: escapes 9 of 200 pictures, before 2"
    ]
    assert compare({"fp32": METRICS, "int8": worse}, {"fp32": METRICS}) == []


def test_a_map_that_is_gone_is_worse() -> None:
    """Where nothing was labelled there is none."""
    without = {name: value for name, value in METRICS.items() if name != "map50"}
    assert compare({"fp32": without}, {"fp32": METRICS}) == ["fp32: map50 0.000, before 0.800"]
    assert compare({"fp32": METRICS}, {"fp32": without}) == []


def test_recorded_metrics_compare_where_they_are_of_the_same_pictures() -> None:
    assert compare_recorded(manifest(), manifest()) == []
    other = msgspec.structs.replace(EVIDENCE, sha256="1" * 64)
    (fault,) = compare_recorded(manifest(evidence=other), manifest())
    assert "not taken on the same labelled pictures; measure both, --on" in fault


@pytest.mark.parametrize(
    ("new", "old", "which"), [(None, EVIDENCE, "the new one"), (EVIDENCE, None, "the old one")]
)
def test_metrics_that_are_not_there_are_told(new: Evidence | None, old: Evidence | None, which: str) -> None:
    (fault,) = compare_recorded(manifest(evidence=new), manifest(evidence=old))
    assert fault.startswith(f"{which} has no metrics")
