"""Files arriving in a directory the way cameras write them, at a rate."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
IN_PLACE_PAUSE_S = 0.05
"""Between the halves of a file that is written in place."""


def pictures_in(directory: Path) -> list[Path]:
    """The pictures of a directory in the order of their names; hidden files are none.

    Raises FileNotFoundError if there are none.
    """
    found = sorted(
        path
        for path in directory.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not found:
        raise FileNotFoundError(f"{directory} holds no pictures ({' '.join(sorted(SUFFIXES))})")
    return found


def drop(
    paths: Iterable[Path], directory: Path, rate: float | None = None, in_place: bool = False
) -> Generator[Path, None, None]:
    """Write copies of pictures into a directory, `rate` a second (None: at once), and yield each as it lands.

    Nothing is written until the iterator is advanced.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for path in paced(paths, rate):
        yield write(directory / path.name, path.read_bytes(), in_place)


def write(path: Path, data: bytes, in_place: bool = False) -> Path:
    """Write a file whole: under a hidden name first, then renamed, so that nobody sees half of it.

    In place, it is written in two halves under its own name, so that everybody does.
    """
    if in_place:
        _write_in_halves(path, data)
    else:
        _write_and_rename(path, data)
    return path


def _write_and_rename(path: Path, data: bytes) -> None:
    hidden = path.with_name(f".{path.name}.tmp")
    try:
        hidden.write_bytes(data)
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)


def _write_in_halves(path: Path, data: bytes) -> None:
    middle = len(data) // 2
    with path.open("wb", buffering=0) as file:
        file.write(data[:middle])
        time.sleep(IN_PLACE_PAUSE_S)
        file.write(data[middle:])


def paced(
    items: Iterable[Item],
    rate: float | None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Item]:
    """Hand items on, the nth not before n / rate seconds after the first; late ones follow at once."""
    start = clock()
    for number, item in enumerate(items):
        if rate is not None and (early := start + number / rate - clock()) > 0:
            sleep(early)
        yield item
