"""What lies where the model is looked for, told without loading it: cheap enough to be looked at every second."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inspector.core.package import SIGNATURE
from inspector.shell.files import open_regular
from inspector.shell.package import MANIFEST, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, PackageError

MAX_TEXT = 200
"""Characters of a name or version."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A package, or a single ONNX file, as it lies there; nothing of it is verified."""

    path: Path
    """Links resolved."""
    manifest_sha256: str | None
    name: str | None
    version: str | None
    """As the manifest says; null of a single file, and where it says nothing of the kind."""
    identity: str
    """SHA-256 over manifest and signature; of a single file over what the file system says of it."""
    files: str
    """SHA-256 over sizes and times of the files that the manifest names."""


def link_of(place: Path) -> str:
    """What tells whether a link was moved, also to where it led before; empty where there is nothing."""
    try:
        status = place.lstat()
    except OSError:
        return ""
    return f"{status.st_ino}:{status.st_ctime_ns}"


def spelled(path: Path) -> str:
    """A path as text that JSON can hold; another than the path where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def look(place: Path) -> Sighting:
    """What is there now. Raises PackageError."""
    path = Path(os.path.realpath(place))
    try:
        return _look_into(path) if path.is_dir() else _look_at(path)
    except OSError as error:
        raise PackageError.unreadable(path, error) from error


def _look_into(path: Path) -> Sighting:
    manifest = _content(path / MANIFEST, MAX_MANIFEST_BYTES)
    try:
        signature = _content(path / SIGNATURE, MAX_SIGNATURE_BYTES)
    except FileNotFoundError:
        signature = b""
    said = _said(manifest)
    return Sighting(
        path=path,
        manifest_sha256=hashlib.sha256(manifest).hexdigest(),
        name=_text(said.get("name")),
        version=_text(said.get("version")),
        identity=_digest([hashlib.sha256(part).hexdigest() for part in (manifest, signature)]),
        files=_digest(_state(path / name) for name in (MANIFEST, SIGNATURE, *_names(said))),
    )


def _look_at(path: Path) -> Sighting:
    path.stat()
    state = _state(path)
    return Sighting(path, None, None, None, _digest([os.fspath(path), state]), _digest([state]))


def _content(path: Path, max_bytes: int) -> bytes:
    """The beginning of a file; one that is too large is refused when it is tried."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(max_bytes + 1)


def _said(manifest: bytes) -> dict[str, Any]:
    """What the manifest says, if it is any; whether that makes sense is for the trial to find."""
    try:
        said = msgspec.json.decode(manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _names(said: dict[str, Any]) -> list[str]:
    """The names of all files, as far as there are any."""
    files = [each for each in _list(said.get("files")) if isinstance(each, dict)]
    pictures = [
        golden.get("image")
        for each in files
        for golden in _list(each.get("golden"))
        if isinstance(golden, dict)
    ]
    return sorted(
        {name for name in (*(each.get("name") for each in files), *pictures) if isinstance(name, str)}
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    """What is remembered and logged, so no more of it than makes sense."""
    return value if isinstance(value, str) and len(value) <= MAX_TEXT else None


def _state(path: Path) -> str:
    try:
        status = path.lstat()
    except (OSError, ValueError) as error:
        return type(error).__name__
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogateescape")).hexdigest()
