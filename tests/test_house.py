"""The rules of the house: who may import whom, and documentation that is generated, not remembered."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import inspector

ROOT = Path(__file__).resolve().parent.parent


def test_imports_run_one_way():
    """Every import contract in pyproject.toml is kept."""
    program = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_generated_documentation_is_current():
    """docs/configuration.md and docs/schema say what the types say."""
    run = subprocess.run(
        [sys.executable, "tools/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_the_version_is_one():
    """The distribution, the package and the component have the same version."""
    project = importlib.metadata.version("edge-inspector")
    gdk = json.loads((ROOT / "gdk-config.json").read_text())["component"]
    assert {project, inspector.__version__, gdk["com.edgeinspector.Inspector"]["version"]} == {project}
