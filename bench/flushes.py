"""What the ledger asks of the disk: flushes and bytes for each image, of which two targets want the result.

    python bench/flushes.py [--images 2000]

Of each image: attempt, verdict, settled, published twice. Needs strace, which counts.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from inspector.core.frame import Identity
from inspector.ports import Claimed, Decision
from inspector.shell.database import Database
from inspector.shell.ledger import SqliteLedger

GROUPS = {"every commit waits": 0, "only verdicts, one by one": 1, "in groups of 4": 4, "in groups of 8": 8}
MESSAGE, RAW = b"m" * 900, b"r" * 600
STRACE = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o"]


def written_bytes() -> int:
    """What this process has written so far."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["wchar"])


def work(directory: Path, images: int, group: int) -> None:
    """Take so many images through the ledger, and print what was written."""
    if group == 0:
        Database.change = functools.partialmethod(Database.change, is_durable=True)  # type: ignore[assignment]
    ledger, before = SqliteLedger(directory / "ledger.sqlite"), written_bytes()
    for first in range(0, images, max(group, 1)):
        decisions = [decision(number) for number in range(first, min(first + max(group, 1), images))]
        for each in decisions:
            ledger.attempt(each.id, each.claimed)
        for entry in ledger.decide(decisions, 0.0):
            ledger.mark_settled(entry, remains=False)
            ledger.mark_published([entry.seq], "topic")
            ledger.mark_published([entry.seq], "iot_core")
    print(json.dumps(written_bytes() - before))


def decision(number: int) -> Decision:
    claimed = Claimed(Identity(f"top/tag-{number}.jpg", number, 1, "ab"), Path(f"tag-{number}.jpg"), 0.0, b"")
    return Decision(f"{number:032x}", claimed, "pass", (), RAW, lambda _: MESSAGE, ("topic", "iot_core"))


def measure(images: int, group: int) -> tuple[float, float]:
    """Flushes, and bytes written, for each image."""
    with tempfile.TemporaryDirectory(dir=".") as made:
        trace = Path(made, "trace")
        arguments = ["--images", str(images), "--group", str(group), "--directory", made]
        command = [*STRACE, str(trace), sys.executable, __file__, *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return len(trace.read_text().splitlines()) / images, json.loads(done.stdout) / images


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--group", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.directory:
        work(arguments.directory, arguments.images, arguments.group)
        return
    for name, group in GROUPS.items():
        flushes, size_bytes = measure(arguments.images, group)
        print(f"{name:28} {flushes:5.2f} flushes  {size_bytes / 1e3:5.1f} kB")


if __name__ == "__main__":
    main()
