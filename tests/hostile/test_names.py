"""Whatever a file is called: it gets its verdict, or is left alone for a reason that the guide names."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.core.books import Told, tell
from inspector.reconcile import examine
from inspector_bench import Bench
from inspector_fakes import eventually, picture, rows

NAMES = {
    "255 bytes": b"a" * 251 + b".jpg",
    "255 bytes, none of them UTF-8": b"\xff" * 251 + b".jpg",
    "255 bytes of letters of three": ("ü€" * 50).encode() + b".jpg",
    "255 bytes of control characters": b"\x01" * 251 + b".jpg",
    "an extension of 255 bytes": b"a." + b"j" * 253,
    "Latin-1": b"caf\xe9.jpg",
    "half a letter": "€".encode()[:2] + b".jpg",
    "a surrogate": b"\xed\xa0\x80.jpg",
    "a letter that is composed": "\u00e9.jpg".encode(),
    "the same, decomposed": "e\u0301.jpg".encode(),
    "upper case": b"A.JPG",
    "lower case": b"a.jpg",
    "a line break": b"one\ntwo.jpg",
    "a forged log line": b"x.jpg\nERROR stopped\n",
    "every control character": bytes(range(1, 32)) + b"\x7f.jpg",
    "colours of the terminal": b"\x1b[31mred\x1b[2J.jpg",
    "quotes": b"\"'`.jpg",
    "backslashes": b"\\..\\..\\x.jpg",
    "right to left": "\u202egpj.exe".encode(),
    "nothing to be seen": "\u200b\ufeff".encode(),
    "a dash": b"-rf.jpg",
    "an option": b"--help",
    "a blank": b" ",
    "blanks around": b" x.jpg ",
    "a shell's": b"$(reboot);`reboot`|reboot&.jpg",
    "a pattern": b"*?[!a].jpg",
    "a format": b"%s%n{0}{x!r}.jpg",
    "a query": b"'; DROP TABLE inspections; --.jpg",
    "a topic": b"#+$aws.jpg",
    "no extension": b"jpg",
    "only digits": b"0",
    "as in the archive": b"000000000001-x.jpg",
    "as a kept image": b"0" * 32 + b".jpg",
    "as a sidecar's, but for the letter": b"0" * 32 + b".jsonx",
    "as the ledger": b"ledger.sqlite",
    "two dots at the end": b"x..",
}
LEFT_ALONE = {
    "hidden": b".hidden.jpg",
    "only an extension": b".jpg",
    "three dots": b"...",
    "being written": b"x.jpg.tmp",
    "being written, in capitals": b"x.jpg.PART",
    "a text": b"labels.csv",
    "a text, in capitals": b"NOTES.TXT",
}


def special(directory: Path) -> dict[str, Callable[[Path], object]]:
    """Ways to make what is no regular file."""
    return {
        "fifo.jpg": os.mkfifo,
        "link.jpg": lambda path: path.symlink_to(directory / "outside.jpg"),
        "broken.jpg": lambda path: path.symlink_to("nowhere.jpg"),
        "loop.jpg": lambda path: path.symlink_to(path.name),
        "out.jpg": lambda path: path.symlink_to(directory, target_is_directory=True),
    }


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
def test_every_name_gets_its_verdict(tmp_path: Path, after: str) -> None:
    """Exactly one, with a message that any JSON reader takes; everything adds up."""
    bench = Bench(tmp_path, after_inspection=after, audit_share=1)
    bench.detector.confidence = 0.0
    for number, name in enumerate(NAMES.values()):
        Path(os.fsdecode(os.fsencode(bench.images) + b"/" + name)).write_bytes(picture(number))
    camera = bench.images / os.fsdecode(b"caf\xe9\n") / ("d" * 255) / "x.jpg"
    camera.mkdir(parents=True)
    (camera / "x.jpg").write_bytes(picture(99))
    bench.run(inspections=len(NAMES) + 1)
    found = rows(tmp_path / "ledger.sqlite", "SELECT path, verdict, message FROM inspections")
    paths = [*NAMES.values(), os.fsencode((camera / "x.jpg").relative_to(bench.images))]
    assert sorted(path for path, _, _ in found) == sorted(paths)
    assert {verdict for _, verdict, _ in found} == {"pass"}
    for _, _, message in found:
        told = tell(message)
        assert isinstance(told, Told)
        message.decode()
    outcome = examine(tmp_path / "ledger.sqlite", bench.images)
    assert (outcome.findings, outcome.to_come) == ((), ())
    assert outcome.kept == {"stored": len(paths)}


def test_what_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It stays where it is, has no verdict, and holds nothing up; what is no file gets a line in the log."""
    (tmp_path / "outside.jpg").write_bytes(picture(1))
    work = tmp_path / "work"
    work.mkdir()
    bench = Bench(work)
    for name in LEFT_ALONE.values():
        (bench.images / os.fsdecode(name)).write_bytes(picture())
    for name, make in special(tmp_path).items():
        make(bench.images / name)
    with socket.socket(socket.AF_UNIX) as server:
        directory = os.open(bench.images, os.O_RDONLY)  # the path itself may be too long for a socket
        server.bind(f"/proc/self/fd/{directory}/socket.jpg")
        os.close(directory)
        (bench.images / "directory.jpg").mkdir()
        (bench.images / "directory.jpg" / "inside.jpg").write_bytes(picture(2))
        before = sorted(path for path in os.listdir(bench.images) if path != "directory.jpg")
        line = bench.line()
        line.start()
        try:
            remarked = {*special(tmp_path), "socket.jpg", "directory.jpg"}
            eventually(lambda: bench.ledger.last_seq() == 1 and remarked <= _remarked(caplog))
        finally:
            line.stop()
            bench.ledger.close()
    assert bench.failures == []
    assert [result["image"]["path"] for result in bench.results()] == ["directory.jpg/inside.jpg"]
    assert sorted(path for path in os.listdir(bench.images) if path != "directory.jpg") == before
    assert (tmp_path / "outside.jpg").read_bytes() == picture(1)


def _remarked(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {record.path for record in caplog.records if hasattr(record, "path")}


@pytest.mark.parametrize(("after", "inspections"), [("archive", 1), ("leave", 3)])
def test_a_path_too_long_to_be_claimed(
    tmp_path: Path, after: str, inspections: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left alone, with a line in the log, and holds nothing up; where files are not claimed it is inspected."""
    bench = Bench(tmp_path, after_inspection=after)
    (bench.images / "a.jpg").write_bytes(picture(1))
    here, room = os.open(bench.images, os.O_RDONLY), 4095 - len(os.fsencode(bench.images))
    while room > 300:
        os.mkdir("d" * 200, dir_fd=here)
        here, above = os.open("d" * 200, os.O_RDONLY, dir_fd=here), here
        os.close(above)
        room -= 201
    for name in ("x" * (room - 1), "y" * (room - 20)):
        with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
            file.write(picture(len(name)))
    os.close(here)
    line = bench.line()
    line.start()
    try:
        expected = set() if after == "leave" else {"its path is too long to be claimed"}
        causes = lambda: {getattr(record, "cause", None) for record in caplog.records}  # noqa: E731
        eventually(
            lambda: (bench.ledger.last_seq() == inspections and expected <= causes()) or bench.failures
        )
    finally:
        line.stop()
        bench.ledger.close()
    assert bench.failures == []
