"""A component whose own thread hangs ends by itself, also where the interpreter is held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HANGS = """
import ctypes, sys
from pathlib import Path
from inspector import component

component.SILENCE_S = 1
hung = component.Component(Path(sys.argv[1]), "line-3")
hung._advance = ctypes.PyDLL(None).pause  # which waits for ever, and lets no other thread run
hung.run()
"""


def test_silence(tmp_path: Path) -> None:
    """It says where it was, and ends with a status that has Greengrass start it anew."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGS, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "in _turn" in ended.stderr
