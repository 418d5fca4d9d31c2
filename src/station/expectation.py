"""What has to arrive before watching is over."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from station.message import Result

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})


class Expectation:
    """Named images, or a number of them, or neither: then nothing is awaited and watching goes on.

    A name is a path or the end of one: ``top/a.jpg`` is met by the image ``line-3/top/a.jpg``.
    """

    def __init__(self, names: frozenset[str] = frozenset(), count: int = 0) -> None:
        self._awaited = set(names)
        self._left = count
        self.expected = len(names) or count

    def meet(self, result: Result) -> None:
        """Note that a verdict arrived."""
        parts = PurePosixPath(result.image.path).parts
        self._awaited -= {"/".join(parts[start:]) for start in range(len(parts))}
        self._left = max(0, self._left - 1)

    @property
    def met(self) -> bool:
        """Whether something was awaited and all of it arrived."""
        return self.expected > 0 and not self.missing()

    def missing(self) -> list[str]:
        """The names still awaited, or how many results."""
        return sorted(self._awaited) or ([f"{self._left} more"] if self._left else [])


def expected_names(source: Path) -> frozenset[str]:
    """The images below a directory, or the lines of a file. Raises ValueError where there are none."""
    if source.is_dir():
        names = {path.relative_to(source).as_posix() for path in source.rglob("*") if _is_image(path)}
    else:
        names = {line.strip() for line in source.read_text().splitlines()} - {""}
    if not names:
        raise ValueError(f"{source} names no image to wait for")
    return frozenset(names)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
