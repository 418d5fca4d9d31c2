"""Memory returns to where it was, swap after swap, and no image is lost or misnamed: ``bench/swaps.py``, short."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SWAPS = Path(__file__).parents[2] / "bench" / "swaps.py"


@pytest.mark.timeout(600)
def test_twenty_swaps() -> None:
    """From the fifth to the last, memory does not grow by 5 %; how long an image takes is not looked at here."""
    command = [sys.executable, str(SWAPS), "--swaps", "20", "--per-second", "5"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=550)
    outcome = json.loads(ended.stdout)
    assert len(outcome["rss_megabytes"]) == 21, ended.stderr
    assert outcome["images"] > 0
    assert (outcome["lost"], outcome["judged_twice"], outcome["misnamed"]) == (0, 0, 0)
    assert outcome["growth_percent"] <= 5
