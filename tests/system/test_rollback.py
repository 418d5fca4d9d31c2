"""A version of the inspector that is no good, deployed while images come in: the one before goes on by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge import INSPECTOR, VERSION, Edge
from edgehost.deployment import DeploymentError
from flowing import assert_accounted_for, images_flowing
from inspector.__main__ import main as inspector
from mosquitto_broker import until


def broken_version(directory: Path) -> Path:
    """A recipe directory with an inspector 0.2.0 that ends as soon as it is started."""
    recipe = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": INSPECTOR,
        "ComponentVersion": "0.2.0",
        "ComponentConfiguration": {"DefaultConfiguration": {"TopicPrefix": "nowhere", "Added": True}},
        "Manifests": [
            {
                "Platform": {"os": "linux", "runtime": "*"},
                "Artifacts": [],
                "Lifecycle": {"run": "echo 'no such module' >&2; exit 1"},
            }
        ],
    }
    directory.mkdir()
    (directory / "inspector.json").write_text(json.dumps(recipe))
    return directory


def test_broken_inspector_rolls_back_and_no_image_is_lost(edge: Edge, tmp_path: Path, capsys) -> None:
    """Its run exits with 1. Every image gets its verdict, under one id, and the ledger adds up."""
    edge.start(ConfidenceThreshold=0.3)
    before = edge.host.configuration.snapshot()
    recipes = broken_version(tmp_path / "recipes")
    with images_flowing(edge) as names:
        until(lambda: len(edge.results) > 5, "verdicts flow")
        upgrade = edge.host.deploy(
            recipes, None, {INSPECTOR: "0.2.0"}, {INSPECTOR: {"ConfidenceThreshold": 0.9}}
        )
        with pytest.raises(DeploymentError, match=f"{INSPECTOR} 0.2.0 is BROKEN") as failed:
            edge.threaded.call(upgrade, 120)
        during = len(names)
        until(lambda: len(names) > during + 10, "the camera goes on")
    assert "no such module" in str(failed.value)
    assert str(failed.value).endswith(f"rolled back; running again: {INSPECTOR} {VERSION}")
    assert edge.host.last_deployment()["status"] == "FAILED_ROLLBACK_COMPLETE"
    assert edge.host.components[INSPECTOR].recipe.version == VERSION
    assert edge.host.configuration.snapshot() == before

    until(lambda: set(names) <= set(edge.verdicts()), "every image has its verdict", 60)
    edge.wait_until_settled()
    assert_accounted_for(edge, names)
    edge.stop()
    ledger = ["reconcile", str(edge.work / "ledger.sqlite"), "--directory", str(edge.images)]
    assert inspector(ledger) == 0, capsys.readouterr().out
