"""The files of a package -> a directory, all or nothing; other files there stay.

1. Everything is written and flushed aside, in the directory itself: nothing was touched where it finds no room.
2. The package that is there moves aside, its manifest first; then the new one moves in, its manifest last. So a
   directory with a manifest holds that package, whole.
3. Where this fails half-way, the old package moves back; where the process is killed, it does so before the next one
   is written.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import get_args

from inspector.core.package import SIGNATURE, Precision
from inspector.shell.package import MANIFEST

_MODELS = [f"{precision}.onnx" for precision in get_args(Precision)]
ENTRIES = (MANIFEST, SIGNATURE, "golden", *_MODELS)
"""All that a package may have in its directory, in the order in which it moves aside."""
NEW, LEAVING, OLD = ".package.new", ".package.leaving", ".package.old"
"""What is written; what has moved aside until now; what has moved aside, all of it."""


def replace(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Make ``contents`` (name -> content), and nothing else, the package in ``directory``. Raises OSError."""
    was_there = directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        recover(directory)
        _write(directory / NEW, contents)
        _exchange(directory)
    finally:
        shutil.rmtree(directory / NEW, ignore_errors=True)
        if not was_there:
            with suppress(OSError):  # where it holds the package
                directory.rmdir()


def strangers(directory: Path) -> list[str]:
    """What has the name of a file of a package in a directory that holds none: it is not ours to replace."""
    if any((directory / name).exists() for name in (LEAVING, OLD)):
        return []
    there = [name for name in ENTRIES if (directory / name).exists()]
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return there
    is_ours = isinstance(manifest, dict) and str(manifest.get("schema")).startswith("edge-inspector/model/")
    return [] if is_ours else there


def recover(directory: Path) -> None:
    """Let the old package move back where the new one did not move in, all of it."""
    leaving, old = directory / LEAVING, directory / OLD
    if old.exists() and not (directory / MANIFEST).exists():
        for name in ENTRIES:
            if not (old / name).exists():
                _remove(directory / name)
        old.rename(leaving)
    shutil.rmtree(old, ignore_errors=True)
    _move(reversed(ENTRIES), leaving, directory)
    shutil.rmtree(leaving, ignore_errors=True)


def _write(target: Path, contents: Mapping[str, bytes]) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for name, content in contents.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        with (target / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _exchange(directory: Path) -> None:
    leaving = directory / LEAVING
    try:
        leaving.mkdir()
        _move(ENTRIES, directory, leaving)
        leaving.rename(directory / OLD)
        _move(reversed(ENTRIES), directory / NEW, directory)
    finally:
        recover(directory)


def _move(names: Iterable[str], source: Path, target: Path) -> None:
    for name in names:
        if (source / name).exists():
            _remove(target / name)
            (source / name).rename(target / name)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
