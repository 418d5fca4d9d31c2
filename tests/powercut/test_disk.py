"""The model of a disk keeps what was synced, and may lose anything else, but never half a rename."""

from __future__ import annotations

from pathlib import Path

from powercut.disk import File, Name, Operation, Recording, Sync, Tree, Truncate, Write, every_state, tree

ROOT = Path("/disk")
TOP, DIRECTORY, FILE = 1, 2, 3


def trees(*operations: Operation) -> list[Tree]:
    """Every state after a power cut, without the root."""
    recording = Recording({ROOT: TOP}, {TOP, DIRECTORY}, list(operations))
    found = [tree(recording, state) for state in every_state(recording)]
    assert all(each.pop(ROOT) is None for each in found)
    return found


def contents(*operations: Operation) -> set[bytes | None]:
    """What may be in the file ``/disk/a``; None: it may be missing."""
    files = [found.get(ROOT / "a") for found in trees(*operations)]
    return {file.content if file else None for file in files}


def named(name: str, inode: int | None, directory: int = TOP, moved: int = FILE) -> Name:
    return Name(((directory, name, inode),), moved)


DURABLE_NAME = (named("a", FILE), Sync(TOP))
AT_FIRST = None
"""Before anything was asked of the disk."""


def test_unsynced_write() -> None:
    """A write that was not synced is there, or not, or zeros, or its first sector."""
    data = b"x" * 600
    torn = b"x" * 512 + bytes(88)
    assert contents(*DURABLE_NAME, Write(FILE, 0, data)) == {AT_FIRST, b"", data, bytes(600), torn}


def test_writes_in_any_order() -> None:
    """Of two writes that were not synced the later may be there without the earlier."""
    found = contents(*DURABLE_NAME, Write(FILE, 0, b"1"), Write(FILE, 1, b"2"))
    assert {b"12", b"1", b"\x002", b"1\x00", b""} <= found


def test_synced_write() -> None:
    """What was synced is there in each state from then on."""
    synced = (*DURABLE_NAME, Write(FILE, 0, b"1"), Sync(FILE))
    assert contents(*synced, Truncate(FILE, 0), Write(FILE, 0, b"2")) >= {b"1", b"2", b""}
    states = trees(*synced, named("b", FILE))
    assert {found.get(ROOT / "b") for found in states} == {None, File(b"1", None)}


def test_fsync_says_nothing_of_the_name() -> None:
    """An fsync of a new file does not make its name last, nor that of a directory what is in its files."""
    assert None in [
        found.get(ROOT / "a") for found in trees(named("a", FILE), Write(FILE, 0, b"1"), Sync(FILE))
    ]
    assert b"" in contents(named("a", FILE), Write(FILE, 0, b"1"), Sync(TOP))


def test_rename_is_atomic() -> None:
    """A file that is renamed, also into a new directory, has one of its names in each state."""
    rename = Name(((TOP, "a", None), (DIRECTORY, "b", FILE)), FILE)
    found = trees(*DURABLE_NAME, named("d", DIRECTORY, moved=DIRECTORY), rename)
    since = [each for each in found if each]
    assert all((ROOT / "a" in each) != (ROOT / "d" / "b" in each) for each in since)
    assert any(ROOT / "a" in each for each in since)
    assert any(ROOT / "d" / "b" in each for each in since)


def test_synced_directory() -> None:
    """Once the directory that a file was renamed into is synced, the rename lasts."""
    rename = Name(((TOP, "a", None), (DIRECTORY, "b", FILE)), FILE)
    operations = (*DURABLE_NAME, named("d", DIRECTORY, moved=DIRECTORY), rename, Sync(DIRECTORY))
    recording = Recording({ROOT: TOP}, {TOP, DIRECTORY}, list(operations))
    last = [tree(recording, state) for state in every_state(recording) if state.operations == len(operations)]
    assert last
    assert all(ROOT / "d" / "b" in each for each in last)


def test_directory_is_emptied_first() -> None:
    """A directory is never gone while the file that was in it was not moved out of it."""
    into = Name(((DIRECTORY, "b", FILE),), FILE)
    out = Name(((DIRECTORY, "b", None), (TOP, "c", FILE)), FILE)
    begun = (named("d", DIRECTORY, moved=DIRECTORY), Sync(TOP), into, Sync(DIRECTORY))
    found = trees(*begun, out, named("d", None, moved=DIRECTORY))
    c_and_d = {(ROOT / "c" in each, ROOT / "d" in each) for each in found}
    assert c_and_d >= {(False, True), (True, True), (True, False)}
    assert not any(ROOT / "c" not in each and ROOT / "d" not in each for each in found if len(each) > 1)
