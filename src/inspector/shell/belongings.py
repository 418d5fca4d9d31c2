"""The files beside a ledger -> Files: what is kept, what lies in the image directory. Changes nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from inspector.core.books import Arrival, Books, Files, Holding, Sidecar, tell
from inspector.core.naming import is_left_alone
from inspector.core.settings import Settings
from inspector.shell import keeper
from inspector.shell.claims import CLAIMED
from inspector.shell.files import modified_ns, open_regular

PLACES = ("kept", "quarantine")

Progress = Callable[[int, int], None]
"""Hears how many kept images of how many were read."""


def survey(work: Path, directory: Path | None, books: Books, progress: Progress) -> Files:
    """What lies in a work directory and, where it is given, in the image directory. Raises OSError."""
    listed, foreign = _list_places(work)
    holdings = []
    for count, ((place, inspection_id), names) in enumerate(sorted(listed.items()), start=1):
        holdings.append(_holding(work / place, inspection_id, sorted(names)))
        progress(count, len(listed))
    return Files(
        holdings=tuple(holdings),
        foreign=tuple(sorted(foreign)),
        arrivals=None if directory is None else tuple(_arrivals(directory.resolve())),
        present=frozenset(filter(os.path.lexists, _unfinished(books))),
    )


def _list_places(work: Path) -> tuple[dict[tuple[str, str], list[str]], list[str]]:
    """The names of files by place and inspection, and those that are none of ours."""
    listed: dict[tuple[str, str], list[str]] = defaultdict(list)
    foreign = []
    for place in filter(lambda each: (work / each).is_dir(), PLACES):
        with os.scandir(work / place) as entries:
            for entry in entries:
                found = keeper.OURS.fullmatch(entry.name)
                if found and entry.is_file(follow_symlinks=False):
                    listed[place, found[1]].append(entry.name)
                else:
                    foreign.append(f"{place}/{entry.name}")
    return listed, foreign


def _holding(directory: Path, inspection_id: str, names: list[str]) -> Holding:
    sidecar = _sidecar(directory / f"{inspection_id}.json")
    image = sidecar.image if isinstance(sidecar, Sidecar) else ""
    sha256, size_bytes = _hash(directory / image) if image in names else (None, 0)
    return Holding(directory.name, inspection_id, tuple(names), sidecar, sha256, size_bytes)


def _sidecar(path: Path) -> Sidecar | str | None:
    try:
        read = msgspec.json.decode(path.read_bytes(), type=keeper.Sidecar)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return str(error)
    return Sidecar(read.id, read.seq, read.image, tell(bytes(read.result)))


def _hash(path: Path) -> tuple[str | None, int]:
    """SHA-256 and size of a file; None where it went away."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            return digest.hexdigest(), file.tell()
    except FileNotFoundError:
        return None, 0


def _unfinished(books: Books) -> Iterable[str]:
    """Where the files lie of what was begun and not finished."""
    yield from (attempt.source for attempt in books.attempts)
    yield from (row.source for row in books.rows if not row.is_settled)


def _arrivals(root: Path) -> Iterator[Arrival]:
    """Files that are claimed, or that would be taken by the default rules."""
    root.stat()  # a walk through what is missing finds nothing, and says nothing
    for directory, directories, names in os.walk(root, onerror=_pass_over):
        relative = Path(directory).relative_to(root)
        is_claimed = relative.parts[-2:-1] == (CLAIMED,)
        directories[:] = [name for name in directories if not name.startswith(".") or name == CLAIMED]
        home = relative.parent.parent if is_claimed else relative
        for name in names if relative.name != CLAIMED else ():
            if is_claimed or not is_left_alone(name, Settings().ignore_pattern):
                yield from _arrival(Path(directory, name), home / name, is_claimed)


def _pass_over(error: OSError) -> None:
    """Directories of claims come and go; one that may not be read must not pass for an empty one."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _arrival(source: Path, path: Path, is_claimed: bool) -> Iterator[Arrival]:
    """One, where it is a regular file and still there."""
    try:
        status = source.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISREG(status.st_mode):
        yield Arrival(str(path), str(source), modified_ns(status), status.st_size, is_claimed)
