"""Files with the host's state: replaced whole, on the disk when ``write`` returns, read with a clear error."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class DamagedFileError(OSError):
    """A file of the host's own state that can't be read; the message tells which and what to do."""


def write(path: Path, text: str) -> None:
    """Replace a file in one step: whatever happens, it is the old one or the new one. OSErrors name it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def read_mapping(path: Path) -> dict[str, Any]:
    """The JSON object in a file, empty where there is no file. Raises DamagedFileError."""
    if not path.exists():
        return {}
    try:
        stored = json.loads(path.read_bytes())
    except ValueError as error:
        raise damaged(path, str(error)) from error
    if not isinstance(stored, dict):
        raise damaged(path, "it holds no JSON object")
    return stored


def damaged(path: Path, problem: str) -> DamagedFileError:
    """The error that ``path`` can't be used."""
    return DamagedFileError(
        f"{path} is damaged: {problem}; put a good copy in its place, or start under an empty root"
    )
