"""A disk that is cut from its power: which states it may be left in, by what was asked of it and what was synced.

1. What is in a file is certain as of its last fsync or fdatasync; what is written later may be there in whole, in
   part, as zeros, or not at all, in any order.
2. A name in a directory is certain as of the directory's last fsync; later ones may have come to pass up to any of
   them in their order, as with a journal, or without any of them. A rename happens as one or not at all; no name
   comes to pass before what earlier changed the same name, the same file's or its directory's own, and no directory
   goes before what is in it.
3. A change of names says nothing of what is in the files, and an fsync of a file nothing of its name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes into a file."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file's new size."""

    inode: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's new modification time."""

    inode: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Name:
    """Names that change together: (directory, name, what it names from now on or None)."""

    entries: tuple[tuple[int, str, int | None], ...]
    inode: int
    """What is given the name, or loses it."""

    def needs(self, earlier: Name) -> bool:
        """Whether this cannot have come to pass without an earlier one."""
        names = {(directory, name) for directory, name, _ in self.entries}
        places = {directory for directory, _, _ in self.entries}
        return (
            any((directory, name) in names for directory, name, _ in earlier.entries)
            or earlier.inode == self.inode
            or earlier.inode in places  # the directory itself
            or any(directory == self.inode for directory, _, _ in earlier.entries)  # removed when empty
        )


@dataclass(frozen=True, slots=True)
class Sync:
    """An fsync of a file or a directory that has returned."""

    inode: int


@dataclass(frozen=True, slots=True)
class Said:
    """What the world has heard, and cannot be made to forget."""

    data: bytes


Operation = Write | Truncate | Stamp | Name | Sync | Said
Fate = Literal["dropped", "zeros", "half"]
"""What became of a write that was not synced: its place may be zeros, or only its first sector be there."""
SECTOR_BYTES = 512


@dataclass
class Recording:
    """What was asked of the disk; at first there were only the root directories."""

    roots: dict[Path, int] = field(default_factory=dict)
    directories: set[int] = field(default_factory=set)
    operations: list[Operation] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    """The last name of each file and directory, without its directory."""


@dataclass(frozen=True, slots=True)
class File:
    """A file after a power cut; its modification time is None where nobody has set it."""

    content: bytes
    mtime_ns: int | None


Tree = dict[Path, File | None]
"""Path -> file, or None for a directory; parents come before what is in them."""


@dataclass(frozen=True)
class State:
    """One state that a power cut after so many operations may leave: those of ``kept`` (a bit each) came to pass."""

    operations: int
    how: str
    kept: int
    fates: tuple[tuple[int, Fate], ...] = ()


class PowerCut:
    """The states that the disk may be in when the power is cut after so many operations of a recording."""

    def __init__(self, recording: Recording, count: int) -> None:
        self._count = count
        self._operations = recording.operations[:count]
        numbered = list(enumerate(self._operations))
        self._names = [n for n, each in numbered if isinstance(each, Name)]
        self._data = [n for n, each in numbered if isinstance(each, Write | Truncate | Stamp)]
        synced = self._synced()
        self._certain_names = self._with_prerequisites({n for n in self._names if n in synced})
        self._certain_data = {n for n in self._data if n in synced}
        self._open_names = [n for n in self._names if n not in self._certain_names]
        self._open_data = [n for n in self._data if n not in self._certain_data]

    def states(self) -> Iterator[State]:
        """Each state once or more often."""
        names, data = set(self._names), set(self._data)
        yield self._state("all that was asked", names, data)
        yield self._state("only what was synced", self._certain_names, self._certain_data)
        yield self._state("names as synced, data all", self._certain_names, data)
        yield self._state("names all, data as synced", names, self._certain_data)
        open_writes = [n for n in self._open_data if isinstance(self._operations[n], Write)]
        yield self._state("unsynced data is zeros", names, data, *((n, "zeros") for n in open_writes))
        for number in self._open_names:
            upto = {n for n in names if n < number} | self._certain_names
            yield self._state(f"names before {number}, data all", upto, data)
            yield self._state(f"names before {number}, data as synced", upto, self._certain_data)
            yield self._state(f"all but name {number}", names - self._with_consequences(number), data)
        for number in self._open_data:
            upto = {n for n in data if n < number} | self._certain_data
            yield self._state(f"data before {number}", names, upto)
            yield self._state(f"all but data {number}", names, data, (number, "dropped"))
            if number in open_writes:
                yield self._state(f"data {number} is zeros", names, data, (number, "zeros"))
                yield self._state(f"data {number} is torn", names, data, (number, "half"))

    def _state(self, how: str, names: set[int], data: set[int], *fates: tuple[int, Fate]) -> State:
        dropped = {number for number, fate in fates if fate == "dropped"}
        kept = sum(1 << number for number in (names | data) - dropped)
        return State(self._count, how, kept, tuple(each for each in fates if each[1] != "dropped"))

    def _synced(self) -> set[int]:
        """The names and data that an fsync has made certain."""
        synced, pending = set(), {}
        for number, operation in enumerate(self._operations):
            if isinstance(operation, Sync):
                synced |= pending.pop(operation.inode, set())
            elif isinstance(operation, Name):
                for directory, _, _ in operation.entries:
                    pending.setdefault(directory, set()).add(number)
            elif not isinstance(operation, Said):
                pending.setdefault(operation.inode, set()).add(number)
        return synced

    def _with_prerequisites(self, numbers: set[int]) -> set[int]:
        found: set[int] = set()
        for number in reversed(self._names):
            if number in numbers or any(self._name(each).needs(self._name(number)) for each in found):
                found.add(number)
        return found

    def _with_consequences(self, number: int) -> set[int]:
        found = {number}
        for later in (n for n in self._names if n > number):
            if any(self._name(later).needs(self._name(each)) for each in found):
                found.add(later)
        return found

    def _name(self, number: int) -> Name:
        operation = self._operations[number]
        assert isinstance(operation, Name)
        return operation


def tree(recording: Recording, state: State) -> Tree:
    """The files and directories of a state."""
    fates = dict(state.fates)
    children: dict[int, dict[str, int]] = {}
    contents: dict[int, bytearray] = {}
    stamps: dict[int, int] = {}
    for number, operation in enumerate(recording.operations[: state.operations]):
        if not state.kept >> number & 1:
            continue
        if isinstance(operation, Name):
            for directory, name, inode in operation.entries:
                _rename(children.setdefault(directory, {}), name, inode)
        elif isinstance(operation, Stamp):
            stamps[operation.inode] = operation.mtime_ns
        elif isinstance(operation, Truncate):
            _resize(contents.setdefault(operation.inode, bytearray()), operation.size_bytes)
        elif isinstance(operation, Write):
            _write(contents.setdefault(operation.inode, bytearray()), operation, fates.get(number))
    found: Tree = {}
    for path, root in recording.roots.items():
        for below, inode in _walk(path, root, children):
            is_directory = inode in recording.directories
            content = bytes(contents.get(inode, b""))
            found[below] = None if is_directory else File(content, stamps.get(inode))
    return found


def _rename(names: dict[str, int], name: str, inode: int | None) -> None:
    names.pop(name, None)
    if inode is not None:
        names[name] = inode


def _resize(content: bytearray, size_bytes: int) -> None:
    del content[size_bytes:]
    content.extend(bytes(size_bytes - len(content)))


def _write(content: bytearray, write: Write, fate: Fate | None) -> None:
    size_bytes = len(content)
    end = write.offset + len(write.data)
    _resize(content, max(size_bytes, end))
    if fate is None:
        content[write.offset : end] = write.data
    elif fate == "half":
        content[write.offset : write.offset + SECTOR_BYTES] = write.data[:SECTOR_BYTES]


def _walk(path: Path, inode: int, children: dict[int, dict[str, int]]) -> Iterator[tuple[Path, int]]:
    yield path, inode
    for name, child in children.get(inode, {}).items():
        yield from _walk(path / name, child, children)


def every_state(recording: Recording) -> Iterator[State]:
    """Every state that a power cut at any moment may leave, once, at the last moment that may leave it."""
    seen: set[tuple[int, tuple[tuple[int, Fate], ...]]] = set()
    for count in range(len(recording.operations), -1, -1):
        for state in PowerCut(recording, count).states():
            if (state.kept, state.fates) not in seen:
                seen.add((state.kept, state.fates))
                yield state


def without_syncs(recording: Recording, pattern: str) -> Recording:
    """The recording of a program that doesn't sync what bears a name of this pattern."""
    careless = {inode for inode, name in recording.names.items() if re.fullmatch(pattern, name)}
    operations = [
        each for each in recording.operations if not (isinstance(each, Sync) and each.inode in careless)
    ]
    assert len(operations) < len(recording.operations)
    return replace(recording, operations=operations)


def heard(recording: Recording, state: State) -> Iterable[bytes]:
    """What the world had heard when the power was cut."""
    return [each.data for each in recording.operations[: state.operations] if isinstance(each, Said)]
