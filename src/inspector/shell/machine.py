"""What this machine is, as far as a measurement depends on it, and since when it runs."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

from inspector import __version__
from inspector.shell.detector import RUNTIME

_TELLING = ("model name", "flags", "Features", "CPU implementer", "CPU part")
"""What /proc/cpuinfo says of a processor on x86-64 and ARM64, and of what it can calculate with."""


@cache
def describe() -> str:
    """Processor, its features, how many of them this process may use, and the versions that do the work."""
    processor = _processor(_read(Path("/proc/cpuinfo")))
    return "\n".join(
        [
            platform.machine(),
            *processor,
            str(len(os.sched_getaffinity(0))),
            f"inspector {__version__}",
            RUNTIME,
        ]
    )


def boot_id() -> str:
    """Another after each start of the machine; empty where the kernel does not tell."""
    return _read(Path("/proc/sys/kernel/random/boot_id")).strip()


def _processor(cpuinfo: str) -> list[str]:
    first, _, _ = cpuinfo.partition("\n\n")
    return [line for line in first.splitlines() if line.startswith(_TELLING)]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
