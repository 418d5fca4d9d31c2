"""What .ci/run relies on: no test passes by being skipped, and what is left out is said."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
REAL_PICTURES = ROOT / "tests" / "system" / "test_real_tags.py"


def run_pytest(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=ROOT, env=clean | environment, capture_output=True, text=True, check=False
    )


def test_a_skipped_test_is_a_failure_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_it(): pytest.skip('no broker')\n")
    arguments = ["-c", ROOT / "pyproject.toml", "-p", "conftest", tmp_path]
    skipped = run_pytest(*arguments, PYTHONPATH=str(ROOT / "tests"))
    assert skipped.returncode == 0, skipped.stdout + skipped.stderr
    failed = run_pytest("--no-skips", *arguments, PYTHONPATH=str(ROOT / "tests"))
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "no broker" in failed.stdout


def test_what_needs_real_pictures_is_left_out_where_there_are_none_and_that_is_said(tmp_path: Path) -> None:
    arguments = ["--collect-only", REAL_PICTURES.parent]
    without = run_pytest(*arguments, METAL_TAGS=str(tmp_path / "none"))
    assert f"left out: system/test_real_tags.py, no real pictures at {tmp_path / 'none'}" in without.stdout
    assert "test_scratches_are_found" not in without.stdout
    there = run_pytest(*arguments, METAL_TAGS=str(tmp_path))
    assert "left out" not in there.stdout
    assert "test_scratches_are_found" in there.stdout
