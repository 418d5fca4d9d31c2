"""Memory stays where it is, image after image: ``bench/soak.py``, cut short."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[2] / "bench" / "soak.py"


@pytest.mark.timeout(600)
def test_three_thousand_images() -> None:
    """From the thousandth to the last, with every budget full, memory does not grow by 5 %; each gets its verdict."""
    command = [sys.executable, str(SOAK), "--inferences", "3000", "--warm-up", "1000"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=550)
    assert ended.returncode == 0, ended.stderr[-2000:] + ended.stdout
    outcome = json.loads(ended.stdout)
    assert sum(outcome["verdicts"].values()) == 3000
    assert set(outcome["verdicts"]) == {"pass", "fail", "review"}
    assert outcome["growth_percent"] <= 5
