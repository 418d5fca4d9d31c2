"""Someone who may write images leads the component nowhere: not by a link, nor by one put there a moment too late.

The attacker of these tests may do anything in the image directory. Only what the component itself made private, its
work directory, is out of reach.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspector.core.settings import Settings
from inspector.ports import Blocked, Claimed, Entry, ImageGoneError
from inspector.shell import log as logs
from inspector.shell.claims import Archive, Claims, claimed_before
from inspector.shell.files import open_regular, pinned, restrict
from inspector.shell.keeper import DirectoryKeeper
from inspector_bench import Bench
from inspector_fakes import candidate, drop, entry, eventually, picture

STOP = threading.Event()
SECRET = b"what nobody else may read"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images" / "top").mkdir(parents=True)
    return tmp_path / "images"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the component's own, of the name that the attacker gives an image."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "a.jpg").write_bytes(SECRET)
    return tmp_path / "private" / "a.jpg"


@pytest.fixture
def untouched(secret: Path) -> Iterator[None]:
    """Whatever the test does, nothing outside has changed."""
    before = secret.lstat()
    yield
    assert list(secret.parent.iterdir()) == [secret]
    after = secret.lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert secret.read_bytes() == SECRET


def claims(root: Path, after: str = "archive") -> Claims:
    archive = Archive(root.parent / "archive") if after == "archive" else None
    return Claims(Settings(settle_milliseconds=0, after_inspection=after), archive)  # type: ignore[arg-type]


def archived(root: Path) -> list[Path]:
    return list((root.parent / "archive").iterdir())


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        directory = os.open(path.parent, os.O_PATH)
        unix.bind(f"/proc/self/fd/{directory}/{path.name}")  # a socket's path is short
        os.close(directory)


SPECIAL: dict[str, Callable[[Path, Path], None]] = {
    "symlink": lambda path, secret: path.symlink_to(secret),
    "symlink to a directory": lambda path, secret: path.symlink_to(secret.parent),
    "symlink in a circle": lambda path, _: path.symlink_to(path),
    "symlink to a device": lambda path, _: path.symlink_to("/dev/zero"),
    "fifo": lambda path, _: os.mkfifo(path),
    "socket": lambda path, _: make_socket(path),
    "directory": lambda path, _: path.mkdir(),
}


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.usefixtures("untouched")
def test_only_regular_files_are_inspected(
    tmp_path: Path, secret: Path, make: Callable[[Path, Path], None], after: str
) -> None:
    """A link, a FIFO, a socket, a directory with a picture's name stays; the next image gets its verdict."""
    bench = Bench(tmp_path, after_inspection=after)
    make(bench.images / "a.jpg", secret)
    drop(bench.images / "z.jpg", picture())
    bench.run(1)
    assert [each["image"]["name"] for each in bench.results()] == ["z.jpg"]
    assert os.path.lexists(bench.images / "a.jpg")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty", "/dev/full"])
def test_a_device_is_not_read(path: str) -> None:
    """It might never end."""
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(Path(path))


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
@pytest.mark.parametrize("make", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.usefixtures("untouched")
def test_exchanged_after_it_settled(
    root: Path, secret: Path, make: Callable[[Path, Path], None], after: str
) -> None:
    """What was an image when it was seen, and is none when it is claimed, is left alone."""
    drop(root / "a.jpg", picture())
    found = candidate(root, "a.jpg")
    (root / "a.jpg").unlink()
    make(root / "a.jpg", secret)
    assert claims(root, after).claim(found, STOP) is None


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
@pytest.mark.usefixtures("untouched")
def test_a_camera_directory_exchanged_for_a_symlink(root: Path, secret: Path, after: str) -> None:
    """A file behind it is neither read nor moved, though it has the image's name."""
    drop(root / "top" / "a.jpg", picture())
    found = candidate(root, "top/a.jpg")
    (root / "top").rename(root / "moved")
    (root / "top").symlink_to(secret.parent)
    assert claims(root, after).claim(found, STOP) is None


@pytest.mark.usefixtures("untouched")
def test_claimed_exchanged_while_it_is_used(
    root: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symlink in place of .claimed is noticed also between the look at it and its use."""
    drop(root / "a.jpg", picture())
    is_symlink = Path.is_symlink

    def exchange(path: Path) -> bool:
        """The attacker is as quick as can be."""
        answer = is_symlink(path)
        path.symlink_to(secret.parent)
        return answer

    monkeypatch.setattr(Path, "is_symlink", exchange)
    assert claims(root).claim(candidate(root, "a.jpg"), STOP) is None
    assert (root / "a.jpg").exists()


def claim(keeper: Claims, root: Path) -> Claimed:
    drop(root / "a.jpg", picture())
    claimed = keeper.claim(candidate(root, "a.jpg"), STOP)
    assert claimed
    return claimed


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
@pytest.mark.usefixtures("untouched")
def test_a_claimed_directory_exchanged_before_the_file_is_settled(
    root: Path, secret: Path, after: str
) -> None:
    """Nothing behind it is archived, deleted or put back: work stops, and says over which file."""
    source = claim(claims(root), root).source
    decided = entry(1, source)
    source.parent.rename(root / "moved")
    source.parent.symlink_to(secret.parent)
    with pytest.raises(Blocked, match=r"a\.jpg: .*behind a symlink"):
        claims(root, after).settle(decided)


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.usefixtures("untouched")
def test_a_claimed_file_exchanged_before_it_is_settled(
    root: Path, secret: Path, across: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symlink is moved as what it is, and not copied to another file system as what it leads to."""
    source = claim(claims(root), root).source
    decided = entry(1, source)
    source.unlink()
    source.symlink_to(secret)
    if across:
        rename = Path.rename

        def refuse(path: Path, target: Path) -> Path:
            if target.is_relative_to(root.parent / "archive"):
                raise OSError(18, "Invalid cross-device link")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(Blocked, match="symbolic links"):
            claims(root).settle(decided)
    else:
        claims(root).settle(decided)
    assert [path.is_symlink() for path in archived(root)] == ([] if across else [True])


@pytest.mark.usefixtures("untouched")
def test_a_file_exchanged_before_it_is_kept(root: Path, secret: Path) -> None:
    """After a restart the image to keep is read again: not through a symlink, of the file or of its directory."""
    keeper = DirectoryKeeper(root.parent)
    drop(root / "top" / "a.jpg", picture())
    kept: Entry = entry(1, root / "top" / "a.jpg", keep=("uncertain",))
    (root / "top").rename(root / "moved")
    (root / "top").symlink_to(secret.parent)
    with pytest.raises(ImageGoneError):
        keeper.keep(kept, b"[]", None)
    assert list((root.parent / "kept").iterdir()) == []


@pytest.mark.usefixtures("untouched")
def test_what_an_earlier_run_claimed_is_looked_for_behind_no_symlink(root: Path, secret: Path) -> None:
    """Neither a symlink in place of .claimed nor one within it leads anywhere."""
    (root / ".claimed" / "1-1").mkdir(parents=True)
    (root / ".claimed" / "1-1" / "b.jpg").symlink_to(secret)
    (root / ".claimed" / "2-2").symlink_to(secret.parent)
    (root / "top" / ".claimed").symlink_to(secret.parent.parent)
    assert claimed_before(root, Settings()) == []


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_hard_link_is_a_file_of_its_own(tmp_path: Path, mode: int) -> None:
    """What else bears a name in the image directory keeps its other name, content and permissions.

    Linux lets nobody link what they may not both read and write (fs.protected_hardlinks).
    """
    bench = Bench(tmp_path)
    other = tmp_path / "other.jpg"
    other.write_bytes(picture())
    other.chmod(mode)
    os.link(other, bench.images / "a.jpg")
    bench.run(1)
    assert (other.read_bytes(), other.stat().st_mode & 0o777) == (picture(), mode)
    assert len(bench.names("archive")) == 1


def test_archived_files_are_restricted_where_they_are_ours(tmp_path: Path) -> None:
    """Nobody gains a permission by it."""
    for mode, expected in ((0o666, 0o640), (0o604, 0o600), (0o400, 0o400), (0o4755, 0o640)):
        path = drop(tmp_path / f"{mode:o}.jpg", b"x")
        path.chmod(mode)
        restrict(path)
        assert path.stat().st_mode & 0o7777 == expected
    restrict(tmp_path / "missing.jpg")


def test_claims_are_private_whatever_the_umask(root: Path) -> None:
    before = os.umask(0)
    try:
        source = claim(claims(root), root).source
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (source.parent, source.parents[1])} == {0o750}


def test_a_pinned_directory_stays_the_same(tmp_path: Path, secret: Path) -> None:
    """Renamed or exchanged while in use, it is still the one that was found."""
    (tmp_path / "a").mkdir()
    missing = re.escape(str(tmp_path / "a" / "none"))
    with pytest.raises(FileNotFoundError, match=missing), pinned(tmp_path / "a") as directory:
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "a").symlink_to(secret.parent)
        (directory / "file").write_bytes(b"x")
        (directory / "none").read_bytes()
    assert (tmp_path / "b" / "file").exists()
    assert [path.name for path in secret.parent.iterdir()] == ["a.jpg"]


NAMES = [
    "two\nERROR stopping cause=forged.jpg",
    "carriage\rreturn.jpg",
    "\x1b[2Jescape.jpg",
    'quote" key="value.jpg',
    "a=b c.jpg",
    "back\\slash.jpg",
    "\u202egpj.txt",
    "line\u2028separator.jpg",
    "\x85next line.jpg",
    os.fsdecode(b"not-utf8-\xff\n.jpg"),
    "$(touch pwned).jpg",
    "; rm -rf x.jpg",
    "%s%n{0}.jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_writes_no_line_of_its_own(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the log it is quoted, in messages it is JSON: who names a file can forge neither."""
    root_logger = logging.getLogger()
    handlers, level = root_logger.handlers[:], root_logger.level
    logs.set_up("DEBUG")
    try:
        bench = Bench(tmp_path, ignore_pattern="")
        drop(bench.images / name, b"no picture")
        bench.run(1)
    finally:
        root_logger.handlers, root_logger.level = handlers, level
    written = "".join(capfd.readouterr())
    (warning,) = [line for line in written.split("\n") if line.startswith("WARNING")]
    assert warning.startswith("WARNING image not inspected path=")
    assert all(
        line.startswith(("WARNING image not", "DEBUG inspected seq=1 ")) for line in written.splitlines()
    )
    assert all(letter == "\n" or letter.isprintable() for letter in written)
    (result,) = bench.results()
    assert result["verdict"] == "review"
    assert not list(tmp_path.rglob("pwned"))
    eventually(lambda: list((tmp_path / "quarantine").glob("*.json")))
    assert all(
        path.name.isascii() and path.name.isprintable() for path in (tmp_path / "quarantine").iterdir()
    )
