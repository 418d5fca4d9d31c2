"""Files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write(contents: Mapping[Path, bytes]) -> None:
    """Write each file aside, then move all into place. Raises OSError, and leaves what was there."""
    parts = {path: path.with_name(f".{path.name}.part") for path in contents}
    try:
        for path, part in parts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(contents[path])
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
