"""Images kept for relabelling, each with a sidecar that holds its message and every detection down to 0.05.

1. The image is durable before its sidecar appears, and the sidecar appears whole: an image without a sidecar is
   one whose keeping was cut short, and is kept again.
2. Only what has an inspection's id for a name is ours; whatever else is there is left alone.
3. Images that a model could learn from are in ``kept``; those that could not be read are in ``quarantine``.
4. The keeper takes in; what goes, and when, is housekeeping's.
"""

from __future__ import annotations

import io
import logging
import os
import re
import sys
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import msgspec

from inspector.core.curation import KeptImage, evictions, rank
from inspector.ports import Blocked, Entry, ImageGoneError
from inspector.shell.files import modified_ns, open_regular, write_durably

log = logging.getLogger(__name__)

OURS = re.compile(r"([0-9a-f]{32})\.[a-z0-9]{1,8}")
"""The name of a kept image or its sidecar; the group is the id."""
_REASONS: dict[tuple[str, ...], tuple[str, ...]] = {}

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
    """Keeps images in ``kept`` and ``quarantine`` of the work directory. May be called from any thread."""

    def __init__(self, work: Path) -> None:
        self._kept_directory = work / "kept"
        self._quarantine_directory = work / "quarantine"
        self._lock = Lock()
        self._images: dict[str, KeptImage] = {}
        self._loose: dict[str, list[Path]] = {}
        self._recounted = 0
        try:
            for directory in (self._kept_directory, self._quarantine_directory):
                directory.mkdir(mode=0o750, exist_ok=True)
                self._read(directory)
        except OSError as error:
            raise Blocked(f"directory {work}", error.strerror, _FIX) from error
        self._ranked = sorted(self._images.values(), key=rank)
        self.size_bytes = sum(each.size_bytes for each in self._ranked)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._images)

    def keep(self, entry: Entry, raw: bytes, data: bytes | None) -> None:
        """Keep the image of an entry.

        One that is kept already is not looked for again: its file may be gone by now.

        ``raw`` is the detections down to 0.05 as JSON; ``data`` is the file's content, None: it is read again.
        Raises ImageGoneError where the file is no longer there as it was, and Blocked where the disk fails.
        """
        directory = self._directory(entry.keep)
        image = directory / (entry.id + _suffix(entry.source.name))
        path = directory / f"{entry.id}.json"
        result, detections = msgspec.Raw(entry.message), msgspec.Raw(raw)
        sidecar = Sidecar(SCHEMA, entry.id, entry.seq, entry.keep, image.name, result, detections)
        document = msgspec.json.encode(sidecar)
        try:
            if not (entry.id in self._images and path.is_file() and path.read_bytes() == document):
                with _content(entry, data) as reader:
                    write_durably(reader, image.with_suffix(".part"), image)
                write_durably(io.BytesIO(document), path.with_suffix(".part"), path)
                self._add(_describe(sidecar, image.suffix, image.stat(), path.stat()))
        except OSError as error:
            raise Blocked(f"kept image {image}", error.strerror, _FIX) from error

    def least(self, excess_bytes: int, at_most: int) -> tuple[str, ...]:
        """The ids of the least informative images, whose removal would free ``excess_bytes``; ``at_most`` so many."""
        with self._lock:
            return tuple(each.id for each in evictions(self._ranked, excess_bytes, at_most))

    def remove(self, ids: Iterable[str]) -> None:
        """Remove what there is of images; whoever asks has put on record that they go."""
        for each in ids:
            paths = self._forget(each)
            try:
                for path in paths:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise Blocked(f"directory {paths[0].parent}", error.strerror, _FIX) from error

    def recount(self, at_most: int) -> None:
        """Look at the next so many images, and take those out of the books that somebody else has taken away."""
        with self._lock:
            images = list(islice(self._images.values(), self._recounted, self._recounted + at_most))
        self._recounted = self._recounted + at_most if len(images) == at_most else 0
        for image in images:
            directory = self._directory(image.reasons)
            if not all(os.path.lexists(directory / (image.id + each)) for each in (image.suffix, ".json")):
                with self._lock:
                    self._discard(image.id)

    def found(self) -> tuple[str, ...]:
        """The ids of all that is there, whole or not."""
        with self._lock:
            return (*self._images, *self._loose)

    def loose(self) -> tuple[str, ...]:
        """The ids of which an earlier run left less than an image and its sidecar, or somebody else did."""
        with self._lock:
            return tuple(each for each in self._loose if each not in self._images)

    def _directory(self, reasons: Collection[str]) -> Path:
        return self._quarantine_directory if "error" in reasons else self._kept_directory

    def _add(self, image: KeptImage) -> None:
        with self._lock:
            self._discard(image.id)  # kept by a run that could not say so any more
            self._images[image.id] = image
            insort(self._ranked, image, key=rank)
            self.size_bytes += image.size_bytes

    def _forget(self, image_id: str) -> list[Path]:
        """Take an image out of the books; return where its files are, the sidecar last: it names the other."""
        with self._lock:
            paths = self._loose.pop(image_id, [])
            if image := self._discard(image_id):
                directory = self._directory(image.reasons)
                paths += [directory / (image_id + suffix) for suffix in (image.suffix, ".json")]
            return paths

    def _discard(self, image_id: str) -> KeptImage | None:
        image = self._images.pop(image_id, None)
        if image:
            del self._ranked[bisect_left(self._ranked, rank(image), key=rank)]
            self.size_bytes -= image.size_bytes
        return image

    def _read(self, directory: Path) -> None:
        """Take into the books what an earlier run has kept; remove what it was writing when it ended."""
        files = _regular_files(directory)
        for name in [each for each in files if each.endswith(".part")]:
            Path(files.pop(name)).unlink(missing_ok=True)
        for name in [each for each in files if each.endswith(".json")]:
            try:
                image = _read_pair(files, name)
                self._images[image.id] = image
                del files[image.id + image.suffix], files[name]
            except (OSError, msgspec.DecodeError, ValueError) as error:
                fix = "none needed: it is left there, and does not count"
                extra = {"path": directory / name, "cause": str(error), "fix": fix}
                log.warning("kept image not whole", extra=extra)
        for file in files.values():
            self._loose.setdefault(Path(file).stem, []).append(Path(file))


_FIX = "make room on the disk and see that the work directory can be written"


def _regular_files(directory: Path) -> dict[str, os.DirEntry[str]]:
    """Those that a keeper has made, by name."""
    with os.scandir(directory) as entries:
        return {
            each.name: each
            for each in entries
            if OURS.fullmatch(each.name) and each.is_file(follow_symlinks=False)
        }


def _read_pair(files: Mapping[str, os.DirEntry[str]], name: str) -> KeptImage:
    """What the sidecar of this name and its image are. Raises OSError, or ValueError where they are no pair."""
    sidecar = msgspec.json.decode(Path(files[name]).read_bytes(), type=Sidecar)
    stem, _, suffix = sidecar.image.rpartition(".")
    if (sidecar.id, f"{stem}.json") != (stem, name) or sidecar.image not in files:
        raise ValueError(f"image {sidecar.image} does not stand beside it")
    return _describe(sidecar, f".{suffix}", files[sidecar.image].stat(), files[name].stat())


def _describe(
    sidecar: Sidecar, suffix: str, image_status: os.stat_result, sidecar_status: os.stat_result
) -> KeptImage:
    return KeptImage(
        sidecar.id,
        sys.intern(suffix),
        _REASONS.setdefault(sidecar.reasons, sidecar.reasons),  # few different ones, for many images
        sidecar_status.st_mtime_ns,
        image_status.st_size + sidecar_status.st_size,
    )


def _suffix(name: str) -> str:
    """The file's extension where it is a plain one: names come from outside."""
    found = re.search(r"\.[A-Za-z0-9]{1,8}$", name)
    suffix = found[0].lower() if found else ".image"
    return ".image" if suffix in (".json", ".part") else suffix


def _content(entry: Entry, data: bytes | None) -> BinaryIO:
    if data is not None:
        return io.BytesIO(data)
    try:
        descriptor = open_regular(entry.source)
    except OSError as error:
        raise ImageGoneError(str(error)) from error
    file = os.fdopen(descriptor, "rb")
    status = os.fstat(descriptor)
    if (modified_ns(status), status.st_size) != (entry.mtime_ns, entry.size_bytes):
        file.close()
        raise ImageGoneError(f"{entry.source} was overwritten")
    return file
