"""Images kept for relabelling, each with a sidecar that holds its message and every detection down to 0.05.

1. The image is durable before its sidecar appears, and the sidecar appears whole: an image without a sidecar is
   one whose keeping was cut short, and is kept again.
2. Only what has an inspection's id for a name is ours; whatever else is there is left alone.
3. Images that a model could learn from are in ``kept``; those that could not be read are in ``quarantine``.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
from pathlib import Path
from typing import BinaryIO

import msgspec

from inspector.core.curation import KeptImage, evictions
from inspector.ports import Blocked, Entry, ImageGoneError
from inspector.shell.files import make_durable, open_regular

log = logging.getLogger(__name__)

_OURS = re.compile(r"[0-9a-f]{32}\.json")

SCHEMA = "edge-inspector/kept/1"


class Sidecar(msgspec.Struct, frozen=True):
    """What stands beside a kept image, as ``<id>.json``."""

    schema: str
    id: str
    seq: int
    reasons: tuple[str, ...]
    image: str
    """The image's file name, beside the sidecar."""
    result: msgspec.Raw
    """The result message as published."""
    raw_detections: msgspec.Raw
    """Detections down to 0.05, as in the message."""


class DirectoryKeeper:
    """Keeps images in ``kept`` and ``quarantine`` of the work directory, within one budget."""

    def __init__(self, work: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept_directory = work / "kept"
        self._quarantine_directory = work / "quarantine"
        self._kept: dict[str, KeptImage] = {}
        try:
            for directory in (self._kept_directory, self._quarantine_directory):
                directory.mkdir(mode=0o750, exist_ok=True)
                self._kept |= _read_sidecars(directory)
        except OSError as error:
            raise Blocked(f"directory {work}", error.strerror, _FIX) from error
        self._size_bytes = sum(each.size_bytes for each in self._kept.values())

    def keep(self, entry: Entry, raw: bytes, data: bytes | None) -> tuple[str, ...]:
        """Keep the image of an entry; return the ids of those that were removed to make room for it.

        One that is kept already is not looked for again: its file may be gone by now.

        ``raw`` is the detections down to 0.05 as JSON; ``data`` is the file's content, None: it is read again.
        Raises ImageGoneError where the file is no longer there as it was, and Blocked where the disk fails.
        """
        directory = self._quarantine_directory if "error" in entry.keep else self._kept_directory
        image = directory / (entry.id + _suffix(entry.source.name))
        sidecar = Sidecar(
            SCHEMA, entry.id, entry.seq, entry.keep, image.name, _json(entry.message), _json(raw)
        )
        document, path = msgspec.json.encode(sidecar), directory / f"{entry.id}.json"
        try:
            if not (entry.id in self._kept and path.read_bytes() == document):
                with _content(entry, data) as reader:
                    _write_durably(image, reader)
                _write_durably(path, io.BytesIO(document))
                self._add(_describe(directory, sidecar))
            return self._make_room() if self._size_bytes > self._max_bytes else ()
        except OSError as error:
            raise Blocked(f"kept image {image}", error.strerror, _FIX) from error

    def _add(self, kept: KeptImage) -> None:
        before = self._kept.get(kept.id)  # kept by a run that could not say so any more
        self._size_bytes += kept.size_bytes - (before.size_bytes if before else 0)
        self._kept[kept.id] = kept

    def _make_room(self) -> tuple[str, ...]:
        removed = evictions(self._kept.values(), self._max_bytes)
        for kept in removed:
            directory = self._quarantine_directory if "error" in kept.reasons else self._kept_directory
            for path in directory.glob(f"{kept.id}.*"):
                path.unlink(missing_ok=True)
            del self._kept[kept.id]
            self._size_bytes -= kept.size_bytes
        return tuple(kept.id for kept in removed)


_FIX = "make room on the disk and see that the work directory can be written"


def _read_sidecars(directory: Path) -> dict[str, KeptImage]:
    kept = {}
    for path in filter(lambda each: _OURS.fullmatch(each.name), directory.iterdir()):
        try:
            sidecar = msgspec.json.decode(path.read_bytes(), type=Sidecar)
            kept[path.stem] = _describe(directory, sidecar)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            fix = "none needed: it is left there, and does not count"
            log.warning("kept image not whole", extra={"path": path, "cause": str(error), "fix": fix})
    return kept


def _describe(directory: Path, sidecar: Sidecar) -> KeptImage:
    size_bytes = sum((directory / name).stat().st_size for name in (sidecar.image, f"{sidecar.id}.json"))
    return KeptImage(sidecar.id, sidecar.seq, sidecar.reasons, size_bytes)


def _suffix(name: str) -> str:
    """The file's extension where it is a plain one: names come from outside."""
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", name)
    suffix = found[0].lower() if found else ".image"
    return ".image" if suffix in (".json", ".part") else suffix


def _json(document: bytes) -> msgspec.Raw:
    return msgspec.Raw(document)


def _content(entry: Entry, data: bytes | None) -> BinaryIO:
    if data is not None:
        return io.BytesIO(data)
    try:
        descriptor = open_regular(entry.source)
    except OSError as error:
        raise ImageGoneError(str(error)) from error
    file = os.fdopen(descriptor, "rb")
    status = os.fstat(descriptor)
    if (status.st_mtime_ns, status.st_size) != (entry.mtime_ns, entry.size_bytes):
        file.close()
        raise ImageGoneError(f"{entry.source} was overwritten")
    return file


def _write_durably(target: Path, reader: BinaryIO) -> None:
    """Write under a temporary name, fsync, rename, fsync the directory."""
    temporary = target.with_suffix(".part")
    with temporary.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())
    temporary.rename(target)
    make_durable(target.parent)
