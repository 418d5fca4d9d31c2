"""Another process that has a file open for writing, and does with it as it is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | int(sys.argv[2]))
print(flush=True)
for line in sys.stdin.buffer:
    os.write(file, bytes.fromhex(line.decode()))
    print(flush=True)
"""


class FileWriter:
    """Opens the file when made; ``close`` ends the process, and with it the writing."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        command = [sys.executable, "-ISc", _PROGRAM, str(path), str(flags)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._await()

    def __enter__(self) -> FileWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Write, and return when it is in the file."""
        assert self._process.stdin
        self._process.stdin.write(data.hex().encode() + b"\n")
        self._process.stdin.flush()
        self._await()

    def close(self) -> None:
        """Close the file. May be called again."""
        if self._process.poll() is None:
            self._process.communicate()

    def _await(self) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline() == b"\n"
