"""A package replaces another all or nothing, wherever the work is cut off."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from modelkit.replacement import recover, replace
from small_disk import small_disk

OLD = {
    "golden/a.jpg": b"a",
    "golden/b.jpg": b"b",
    "fp32.onnx": b"old",
    "manifest.sig": b"s",
    "manifest.json": b"1",
}
NEW = {"golden/a.jpg": b"A", "fp32.onnx": b"new", "int8.onnx": b"new", "manifest.json": b"2"}
OTHERS = {"recipe.yaml": b"stays", "notes/x.txt": b"stays"}
CHANGES = [(Path, name) for name in ("mkdir", "rename", "unlink", "rmdir")] + [
    (os, "fsync"),
    (shutil, "rmtree"),
]


def contents(directory: Path) -> dict[str, bytes]:
    """What is there but for what is hidden: left to be removed before the next package is written."""
    files = (path for path in directory.rglob("*") if path.is_file())
    found = {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}
    return {name: content for name, content in found.items() if not name.startswith(".")}


def make(directory: Path) -> Path:
    for name, content in OTHERS.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    replace(directory, OLD)
    return directory


class Killed(BaseException):
    """The process ends here: nothing that it would have done to tidy up is done."""


@contextmanager
def failing(at: int, error: BaseException) -> Iterator[Callable[[], bool]]:
    """The ``at``-th change of the file system fails, and after a kill all others. Yields whether it came to that."""
    left = at

    def change(original: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0 or (left < 0 and isinstance(error, Killed)):
                if options.get("ignore_errors") and isinstance(error, OSError):
                    return None
                raise error
            return None if original is os.fsync else original(*arguments, **options)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CHANGES:
            patch.setattr(owner, name, change(getattr(owner, name)))
        yield lambda: left <= 0


def test_the_new_package_replaces_the_old_one_and_other_files_stay(tmp_path: Path) -> None:
    replace(make(tmp_path), NEW)
    assert contents(tmp_path) == NEW | OTHERS
    assert not list(tmp_path.glob(".*"))


def test_an_error_leaves_the_old_package_or_the_new_one(tmp_path: Path) -> None:
    """Wherever it happens; there are dozens of places."""
    for at in count(1):
        directory = make(tmp_path / str(at))
        with failing(at, OSError("no")) as has_failed, suppress(OSError):
            replace(directory, NEW)
        assert contents(directory) in (OLD | OTHERS, NEW | OTHERS), at
        if not has_failed():
            break
    assert at > 20


def test_a_kill_leaves_a_whole_package_or_none_and_then_the_old_one_is_there_again(tmp_path: Path) -> None:
    """Or the new one, where it was there already."""
    for at in count(1):
        directory = make(tmp_path / str(at))
        with failing(at, Killed()) as has_failed, suppress(Killed):
            replace(directory, NEW)
        found = contents(directory)
        assert "manifest.json" not in found or found in (OLD | OTHERS, NEW | OTHERS), at
        recover(directory)
        assert contents(directory) in (OLD | OTHERS, NEW | OTHERS), at
        replace(directory, NEW)
        assert contents(directory) == NEW | OTHERS
        assert not list(directory.glob(".*"))
        if not has_failed():
            break
    assert at > 20


def test_a_full_disk_leaves_the_package_that_was_there(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 2) as disk:
        package = disk.path / "package"
        replace(package, OLD)
        with pytest.raises(OSError, match="No space left"):
            replace(package, NEW | {"int8.onnx": bytes(3_000_000)})
        assert contents(package) == OLD
        assert not list(package.glob(".*"))


def test_a_full_disk_leaves_no_directory_where_there_was_none(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", 2) as disk:
        with pytest.raises(OSError, match="No space left"):
            replace(disk.path / "package", {"fp32.onnx": bytes(3_000_000)})
        assert not (disk.path / "package").exists()
