"""Every inconsistency that is planted is found and named, and where nothing is planted nothing is found."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from inspector.pipeline import Pipeline
from inspector.reconcile import examine
from inspector.shell.ledger import SqliteLedger
from inspector_bench import Bench
from inspector_fakes import Killed, drop, eventually, inspection_id, picture

pytestmark = pytest.mark.usefixtures("nothing_is_recent")

ROOT = Path(__file__).parents[2]
CERTAIN, UNCERTAIN = 0.9, 0.4


@pytest.fixture(autouse=True)
def stops_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a watcher may take to see that it is to stop."""
    monkeypatch.setattr("inspector.shell.watcher._WAKE_S", 0.02)


def worked(work: Path, **settings: Any) -> Bench:
    """A work directory in which there is some of everything.

    1, 2 trimmed, the image of 2 still kept; 3 to 5 kept, 3 evicted; 6 in quarantine; 7 to 9 not kept, of which 7 is
    parked, 8 and 9 wait, and all others are published.
    """
    bench = Bench(work, **({"audit_share": 0} | settings))
    bench.detector.confidence = CERTAIN
    drop(bench.images / "1.jpg", picture(1))
    bench.run(inspections=1)
    bench.detector.confidence = UNCERTAIN
    for number in range(2, 6):
        drop(bench.images / "top" / f"{number}.jpg", picture(number))
        bench.run(inspections=number)
    bench.detector.confidence = CERTAIN
    drop(bench.images / "6.jpg", picture(6)[:200])
    bench.run(inspections=6)
    for number in range(7, 10):
        drop(bench.images / f"{number}.jpg", picture(number))
        bench.run(inspections=number)
    _publish(work)
    return bench


def _publish(work: Path) -> None:
    ledger = SqliteLedger(work / "ledger.sqlite")
    ledger.mark_published([1, 2], "iot_core")
    assert ledger.trim(time.time() + 1, 10**9) == 2
    ledger.mark_published([3, 4, 5, 6], "iot_core")
    ledger.park(7, "iot_core", "not authorized")
    evicted = id_of(work, 3)
    ledger.mark_evicted([evicted])
    ledger.close()
    for path in (work / "kept").glob(f"{evicted}.*"):
        path.unlink()


def change(work: Path, *changes: str) -> None:
    """Change a ledger behind the component's back."""
    db = sqlite3.connect(work / "ledger.sqlite", isolation_level=None)
    db.executescript("; ".join(changes))
    db.close()


def id_of(work: Path, seq: int) -> str:
    db = sqlite3.connect(work / "ledger.sqlite")
    ((found,),) = db.execute("SELECT id FROM inspections WHERE seq = ?", (seq,))
    db.close()
    return str(found)


def found(work: Path, directory: Path | None = None) -> list[tuple[str, str]]:
    """Kind and thing of every finding."""
    outcome = examine(work / "ledger.sqlite", directory or work / "images")
    assert outcome.adds_up == (not outcome.findings)
    return [(each.kind, each.thing) for each in outcome.findings]


def rewrite(work: Path, seq: int, /, **values: object) -> None:
    """Change what the message of an inspection says."""
    db = sqlite3.connect(work / "ledger.sqlite", isolation_level=None)
    ((message,),) = db.execute("SELECT message FROM inspections WHERE seq = ?", (seq,))
    message = json.dumps(json.loads(message) | values).encode()
    db.execute("UPDATE inspections SET message = ? WHERE seq = ?", (message, seq))
    db.close()


def kept(work: Path, seq: int, suffix: str) -> Path:
    (path,) = work.glob(f"*/{id_of(work, seq)}.{suffix}")
    return path


def rewrite_sidecar(work: Path, seq: int, /, **values: object) -> None:
    path = kept(work, seq, "json")
    path.write_text(json.dumps(json.loads(path.read_bytes()) | values))


def twice_the_same_id(work: Path) -> None:
    """What only a ledger that lost its rules can hold."""
    change(
        work,
        "CREATE TABLE other AS SELECT * FROM inspections",
        "DROP TABLE inspections",
        "ALTER TABLE other RENAME TO inspections",
        "INSERT INTO sqlite_sequence VALUES ('inspections', 9)",
    )
    rewrite(work, 9, id=id_of(work, 8))
    change(work, "UPDATE inspections SET id = (SELECT id FROM inspections WHERE seq = 8) WHERE seq = 9")


LATER = inspection_id(99)

PLANTED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a row is gone": (
        lambda work: change(
            work,
            "DELETE FROM inspections WHERE seq = 8",
            "DELETE FROM outbox WHERE seq = 8",
            "UPDATE verdicts SET count = count - 1 WHERE name = 'fail'",
        ),
        "gap",
        "seq 8",
    ),
    "the last rows are gone": (
        lambda work: change(
            work,
            "DELETE FROM inspections WHERE seq > 7",
            "DELETE FROM outbox WHERE seq > 7",
            "UPDATE verdicts SET count = count - 2 WHERE name = 'fail'",
        ),
        "gap",
        "seq 8 to 9",
    ),
    "a trimmed range covers a row": (
        lambda work: change(
            work, "UPDATE trimmed SET last = 3", "UPDATE verdicts SET count = count + 1 WHERE name = 'fail'"
        ),
        "counted_twice",
        "seq 3",
    ),
    "the sequence was put back": (
        lambda work: change(work, "UPDATE sqlite_sequence SET seq = 8 WHERE name = 'inspections'"),
        "beyond_last_seq",
        "seq 9",
    ),
    "a decided one is still under way": (
        lambda work: change(
            work, "INSERT INTO attempts SELECT id, 'run', path, source, 0 FROM inspections WHERE seq = 8"
        ),
        "begun_and_decided",
        "id {8}",
    ),
    "a message is cut short": (
        lambda work: change(work, "UPDATE inspections SET message = substr(message, 1, 50) WHERE seq = 8"),
        "bad_message",
        "seq 8 (8.jpg)",
    ),
    "a message lacks what the schema asks for": (
        lambda work: change(work, "UPDATE inspections SET message = '{\"seq\":8}' WHERE seq = 8"),
        "bad_message",
        "seq 8 (8.jpg)",
    ),
    "a message has another seq": (lambda work: rewrite(work, 8, seq=7), "message_disagrees", "seq 8 (8.jpg)"),
    "a message has another id": (
        lambda work: rewrite(work, 8, id=LATER),
        "message_disagrees",
        "seq 8 (8.jpg)",
    ),
    "a message is of another ledger": (
        lambda work: rewrite(work, 8, ledger="0" * 16),
        "message_disagrees",
        "seq 8 (8.jpg)",
    ),
    "a message has another verdict": (
        lambda work: rewrite(work, 8, verdict="pass"),
        "message_disagrees",
        "seq 8 (8.jpg)",
    ),
    "a row has another path": (
        lambda work: change(work, "UPDATE inspections SET path = CAST('z.jpg' AS BLOB) WHERE seq = 8"),
        "message_disagrees",
        "seq 8 (z.jpg)",
    ),
    "a result was never queued": (
        lambda work: change(work, "DELETE FROM outbox WHERE seq = 8"),
        "not_queued",
        "seq 8 (8.jpg)",
    ),
    "a result is queued for another target": (
        lambda work: change(work, "INSERT INTO outbox (target, seq) VALUES ('topic', 8)"),
        "queued_unasked",
        "seq 8 (8.jpg)",
    ),
    "an unknown result is queued": (
        lambda work: change(work, "INSERT INTO outbox (target, seq) VALUES ('iot_core', 1)"),
        "queued_unknown",
        "seq 1",
    ),
    "settled before it was kept": (
        lambda work: change(work, "UPDATE inspections SET image = 'due' WHERE seq = 4"),
        "due_but_settled",
        "seq 4 (top/4.jpg)",
    ),
    "to be kept for no reason": (
        lambda work: change(work, "UPDATE inspections SET image = 'evicted' WHERE seq = 8"),
        "keep_disagrees",
        "seq 8 (8.jpg)",
    ),
    "a counter is too low": (
        lambda work: change(work, "UPDATE verdicts SET count = count - 1 WHERE name = 'fail'"),
        "verdicts_disagree",
        "the counters of verdicts",
    ),
    "a counter counts another verdict": (
        lambda work: change(
            work,
            "UPDATE verdicts SET count = count - 3 WHERE name = 'fail'",
            "UPDATE verdicts SET count = count + 3 WHERE name = 'review'",
        ),
        "verdicts_disagree",
        "the counter of fail",
    ),
    "a kept image is gone with its sidecar": (
        lambda work: [kept(work, 4, suffix).unlink() for suffix in ("jpg", "json")],
        "kept_missing",
        "seq 4 (top/4.jpg)",
    ),
    "a kept image is gone": (
        lambda work: kept(work, 4, "jpg").unlink(),
        "image_missing",
        "seq 4 (top/4.jpg)",
    ),
    "one in quarantine is gone": (
        lambda work: kept(work, 6, "jpg").unlink(),
        "image_missing",
        "seq 6 (6.jpg)",
    ),
    "a sidecar is gone": (
        lambda work: kept(work, 4, "json").unlink(),
        "sidecar_missing",
        "seq 4 (top/4.jpg)",
    ),
    "a kept image is cut short": (
        lambda work: os.truncate(kept(work, 4, "jpg"), 100),
        "image_damaged",
        "seq 4 (top/4.jpg)",
    ),
    "a sidecar is cut short": (
        lambda work: os.truncate(kept(work, 4, "json"), 100),
        "sidecar_damaged",
        "seq 4 (top/4.jpg)",
    ),
    "a sidecar has another seq": (
        lambda work: rewrite_sidecar(work, 4, seq=5),
        "sidecar_disagrees",
        "seq 4 (top/4.jpg)",
    ),
    "a sidecar has another result": (
        lambda work: rewrite_sidecar(
            work, 4, result=json.loads(kept(work, 4, "json").read_bytes())["result"] | {"verdict": "pass"}
        ),
        "sidecar_disagrees",
        "seq 4 (top/4.jpg)",
    ),
    "an evicted image is still there": (
        lambda work: (work / "kept" / f"{id_of(work, 3)}.jpg").write_bytes(picture()),
        "evicted_but_there",
        "seq 3 (top/3.jpg)",
    ),
    "an image that nobody kept": (
        lambda work: (work / "kept" / f"{LATER}.jpg").write_bytes(picture()),
        "orphan",
        f"kept/{LATER}",
    ),
    "a kept image in the wrong place": (
        lambda work: (work / "quarantine" / f"{id_of(work, 8)}.jpg").write_bytes(picture()),
        "orphan",
        "quarantine/{8}",
    ),
    "a kept image whose row was trimmed is damaged": (
        lambda work: next(
            path for path in (work / "kept").glob("*.jpg") if path.read_bytes() == picture(2)
        ).write_bytes(picture()),
        "image_damaged",
        "kept/{2}",
    ),
    "inspected, settled, and still claimed": (
        lambda work: claimed_again(work, 8),
        "still_claimed",
        "seq 8 (8.jpg)",
    ),
    "begun, and gone": (
        lambda work: change(
            work,
            f"INSERT INTO attempts VALUES ('{LATER}', 'run', CAST('x.jpg' AS BLOB), CAST('/x/x.jpg' AS BLOB), 0)",
        ),
        "lost",
        f"id {LATER} (x.jpg)",
    ),
    "to be kept, and gone": (
        lambda work: [
            change(work, "UPDATE inspections SET image = 'due', settled = 0 WHERE seq = 4"),
            *(kept(work, 4, suffix).unlink() for suffix in ("jpg", "json")),
        ],
        "image_lost",
        "seq 4 (top/4.jpg)",
    ),
    "two rows have an id": (twice_the_same_id, "duplicate_id", "id {8}"),
}


def claimed_again(work: Path, seq: int) -> None:
    """Put the archived file of an inspection back to where it was claimed."""
    db = sqlite3.connect(work / "ledger.sqlite")
    ((source,),) = db.execute("SELECT source FROM inspections WHERE seq = ?", (seq,))
    db.close()
    path = Path(os.fsdecode(source))
    path.parent.mkdir(parents=True)
    next((work / "archive").glob(f"{seq:012d}-*")).rename(path)


@pytest.mark.parametrize("planted", PLANTED)
def test_what_is_planted_is_found(tmp_path: Path, planted: str) -> None:
    """Each by its name, and nothing else."""
    worked(tmp_path)
    ids = {f"{{{seq}}}": id_of(tmp_path, seq) for seq in range(3, 10)}
    ids["{2}"] = next(
        path.stem for path in (tmp_path / "kept").glob("*.jpg") if path.read_bytes() == picture(2)
    )
    plant, kind, thing = PLANTED[planted]
    plant(tmp_path)
    for key, value in ids.items():
        thing = thing.replace(key, value)
    assert found(tmp_path) == [(kind, thing)]


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
def test_what_was_done_in_order_adds_up(tmp_path: Path, after: str) -> None:
    """Whatever becomes of files; what waits, is parked or was trimmed is said, and is no inconsistency."""
    bench = worked(tmp_path, after_inspection=after)
    drop(bench.images / "10.jpg", picture(10))
    (bench.images / "labels.csv").touch()
    (tmp_path / "kept" / "notes.txt").touch()
    outcome = examine(tmp_path / "ledger.sqlite", tmp_path / "images")
    assert outcome.findings == ()
    assert (outcome.seen, outcome.decided, outcome.rows, outcome.trimmed, outcome.last_seq) == (9, 9, 7, 2, 9)
    assert outcome.verdicts == {"fail": 4, "review": 5}
    target = outcome.targets["iot_core"]
    assert (target.queued, target.published, target.waiting, target.parked) == (7, 4, 2, 1)
    assert outcome.kept == {"stored": 3, "evicted": 1}
    assert [(each.seq, each.path, each.error) for each in outcome.parked] == [(7, "7.jpg", "not authorized")]
    assert [each.seq for each in outcome.waiting] == [8, 9]
    assert outcome.unsettled == ()
    assert outcome.to_come == ("10.jpg",)
    assert outcome.foreign == ("kept/notes.txt",)


@pytest.mark.parametrize("after", ["archive", "delete", "leave"])
@pytest.mark.parametrize("effect", ["claim", "attempt", "decode", "judge", "decide", "keep", "settle"])
def test_what_a_kill_leaves_unfinished_adds_up(tmp_path: Path, effect: str, after: str) -> None:
    """It is under way or to come, not lost; and when the next run has finished it, there is nothing left."""
    bench = Bench(tmp_path, audit_share=0, after_inspection=after)
    bench.detector.confidence = UNCERTAIN

    def run_and_die(self: Pipeline, *arguments: Any) -> None:
        getattr(Pipeline, effect)(self, *arguments)
        raise Killed

    drop(bench.images / "a.jpg", picture())
    bench.pipeline_type = type("Cut", (Pipeline,), {effect: run_and_die})
    with pytest.raises(Killed):
        bench.take_by_hand()
    bench.kill()
    cut = examine(tmp_path / "ledger.sqlite", bench.images)
    assert cut.findings == ()
    assert len(cut.to_come or ()) + cut.under_way + cut.decided == 1
    bench.pipeline_type = Pipeline
    bench.run(inspections=1)
    finished = examine(tmp_path / "ledger.sqlite", bench.images)
    assert (finished.findings, finished.seen, finished.decided, finished.to_come) == ((), 1, 1, ())


def test_beside_a_component_at_work(tmp_path: Path) -> None:
    """What changes between the reading of the ledger and that of the files is no inconsistency."""
    bench = Bench(tmp_path, audit_share=0, keep_max_megabytes=1)
    bench.detector.confidence = UNCERTAIN
    line = bench.line()
    enough, reads = threading.Event(), 0
    was_trimmed = was_evicted = False

    def deliver() -> None:
        for number in count():
            eventually(lambda: bench.ledger.last_seq() > number - 20 or bench.failures)  # noqa: B023
            drop(bench.images / f"{number}.jpg", picture(number % 50))
            if enough.is_set():
                return

    feeder = threading.Thread(target=deliver)
    line.start()
    feeder.start()
    try:
        while reads < 15 or not (was_trimmed and was_evicted):
            at = bench.ledger.last_seq()
            outcome = examine(
                tmp_path / "ledger.sqlite",
                bench.images,
                between=lambda: eventually(lambda: bench.ledger.last_seq() > at + 5),  # noqa: B023
            )
            assert outcome.findings == ()
            published = list(range(1, bench.ledger.last_seq()))
            bench.ledger.mark_published(published, "iot_core")
            bench.ledger.trim(time.time() - 5, 10**9)
            bench.housekeeping.turn()
            was_trimmed |= outcome.trimmed > 0
            was_evicted |= outcome.kept.get("evicted", 0) > 0
            reads += 1
    finally:
        enough.set()
        feeder.join()
        line.stop()
        bench.ledger.close()
    assert bench.failures == []


def test_every_finding_is_planted_and_explained() -> None:
    """The page says of each what it means and what to do."""
    page = (ROOT / "docs" / "reconcile.md").read_text()
    explained = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    source = (ROOT / "src" / "inspector" / "core" / "findings.py").read_text()
    kinds = set(re.findall(r'Finding\(\s*"(\w+)"', source))
    assert sorted(explained) == sorted(kinds)
    assert {kind for _, kind, _ in PLANTED.values()} | {"damaged"} == kinds


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inspector", "reconcile", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_command_line(tmp_path: Path) -> None:
    """A person sees the sums, and what does not add up; a machine gets one object; the exit status tells."""
    worked(tmp_path)
    good = run(tmp_path / "ledger.sqlite", "--directory", tmp_path / "images")
    assert (good.returncode, good.stderr) == (0, "")
    assert "iot_core     7 = 4 published + 2 waiting + 1 parked" in good.stdout
    assert good.stdout.splitlines()[-1] == "adds up"
    kept(tmp_path, 4, "jpg").unlink()
    bad = run(tmp_path / "ledger.sqlite")
    assert bad.returncode == 1
    assert "image_missing: seq 4 (top/4.jpg): its sidecar is in kept, its image is not" in bad.stdout
    as_json = run(tmp_path / "ledger.sqlite", "--json")
    assert as_json.returncode == 1
    assert [each["kind"] for each in json.loads(as_json.stdout)["findings"]] == ["image_missing"]


def test_what_cannot_be_read(tmp_path: Path) -> None:
    """Exit status 2, and one line that names the thing, the cause and the fix."""
    nothing = run(tmp_path / "ledger.sqlite")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "there is no such file; name the ledger.sqlite of a work directory" in nothing.stderr
    (tmp_path / "other").write_bytes(b"no ledger at all" * 100)
    assert "file is not a database" in run(tmp_path / "other").stderr
    (tmp_path / "empty").touch()
    assert "it is no ledger" in run(tmp_path / "empty").stderr
    worked(tmp_path)
    missing = run(tmp_path / "ledger.sqlite", "--directory", tmp_path / "elsewhere")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    for version, said in (
        (1, "start the component of this version on it once"),
        (9, "use the inspector of that"),
    ):
        change(tmp_path, f"PRAGMA user_version = {version}")
        refused = run(tmp_path / "ledger.sqlite")
        assert refused.returncode == 2
        assert said in refused.stderr


def test_a_damaged_file(tmp_path: Path) -> None:
    """What SQLite itself finds wrong is a finding; what it cannot read ends the reading, with its words."""
    worked(tmp_path)
    change(tmp_path, "PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = 'unsettled'")
    assert found(tmp_path) == [("damaged", "the ledger's file")]
    content = (tmp_path / "ledger.sqlite").read_bytes()
    (tmp_path / "ledger.sqlite").write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    unreadable = run(tmp_path / "ledger.sqlite")
    assert (unreadable.returncode, "malformed" in unreadable.stderr) == (2, True)


def test_nothing_is_written(tmp_path: Path) -> None:
    """No file comes, goes or changes, be the ledger at rest or in use."""
    bench = worked(tmp_path)

    def contents() -> dict[str, tuple[int, bytes]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes())
            for path in tmp_path.rglob("*")
            if path.is_file() and path.suffix != ".sqlite-shm"
        }

    before = contents()
    assert found(tmp_path) == []
    assert contents() == before
    bench.open()
    drop(bench.images / "a.jpg", picture(20))
    before = contents()
    assert any(path.endswith("-wal") for path in before)
    assert found(tmp_path) == []
    assert contents() == before
    bench.kill()
