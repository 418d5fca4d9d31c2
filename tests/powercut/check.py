"""What must hold after a power cut: a new run on what the disk has kept makes everything whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from inspector.core.frame import Identity
from inspector_bench import Bench
from inspector_fakes import rows
from powercut import scenario
from powercut.disk import Recording, State, Tree, heard, tree

THING = "line-3"


@dataclass
class World:
    """What is known outside of the device when the power is cut."""

    delivered: dict[str, bytes] = field(default_factory=dict)
    """Inspection id -> the image's content: the camera knows that it is there for good."""
    published: dict[str, dict[str, Any]] = field(default_factory=dict)
    killed_over: set[str] = field(default_factory=set)
    """Paths that were under way in a run that was killed: a second death over them makes a review of them."""


def world(said: Iterable[bytes]) -> World:
    """What follows from all that was said."""
    known = World()
    for each in map(json.loads, said):
        if each["kind"] == "delivered":
            known.delivered[_id(**each["what"])] = bytes.fromhex(each["what"]["data"])
        elif each["kind"] == "published":
            message = json.loads(each["what"])
            assert known.published.setdefault(message["id"], message) == message
        else:
            known.killed_over |= set(each["what"].split())
    return known


def _id(path: str, mtime_ns: int, data: str) -> str:
    content = bytes.fromhex(data)
    return Identity(path, mtime_ns, len(content), sha256(content).hexdigest()).inspection_id(THING)


def materialize(found: Tree) -> None:
    """Make the directories what they are after the power cut."""
    roots = [path for path in found if path.parent not in found]
    for root in roots:
        for entry in root.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for path, file in found.items():
        if file is None:
            path.mkdir(exist_ok=True)
            continue
        path.write_bytes(file.content)
        if file.mtime_ns is not None:
            os.utime(path, ns=(file.mtime_ns, file.mtime_ns))


class NotAccountedForError(Exception):
    """After a power cut something is lost, or contradicts what the world knows."""


class Check:
    """Checks states of one recording; where something does not hold raises NotAccountedForError."""

    def __init__(self, recording: Recording, archive: Path, after_inspection: str) -> None:
        self._recording = recording
        self._root, *_ = recording.roots
        self._archive = archive
        self._after_inspection = after_inspection
        self._seen: set[int] = set()
        self.all = world(heard(recording, State(len(recording.operations), "", 0)))

    def check(self, state: State) -> bool:
        """Restart on what the power cut has left, and look whether everything is accounted for.

        False where the same was left in a state that was checked before.
        """
        found = tree(self._recording, state)
        key = hash(frozenset(found.items()))
        if key in self._seen:
            return False
        self._seen.add(key)
        try:
            self._check(found, world(heard(self._recording, state)))
        except Exception as error:
            last = self._recording.operations[state.operations - 1]
            when = f"after operation {state.operations}, {last!r:.100}, {state.how}"
            raise NotAccountedForError(f"{when}: {error}") from error
        return True

    def _check(self, found: Tree, known: World) -> None:
        materialize(found)
        bench = scenario.bench(self._root, self._archive, self._after_inspection)
        published: list[dict[str, Any]] = []
        with self._running(bench, published):
            self._check_verdicts(bench, known)
            self._check_published(bench, known, published)
            self._check_kept(bench)
            self._check_files(bench)

    @contextlib.contextmanager
    def _running(self, bench: Bench, published: list[dict[str, Any]]) -> Iterator[None]:
        try:
            scenario.run(bench, lambda message: published.append(json.loads(message)))
            yield
        finally:
            bench.kill()

    def _check_verdicts(self, bench: Bench, known: World) -> None:
        """Each image that was delivered has one verdict, the one it gets without a power cut; seq has no gap."""
        results = bench.results()
        assert [each["seq"] for each in results] == list(range(1, len(results) + 1)), "seq has gaps"
        by_id = {each["id"]: each for each in results}
        assert len(by_id) == len(results), "an id twice"
        missing = {each for each in known.delivered if each not in by_id}
        assert not missing, f"without a verdict: {missing}"
        for inspection_id, result in by_id.items():
            assert inspection_id in self.all.delivered, f"inspected something else: {result}"
            expected = self.all.published[inspection_id]
            was_killed_twice = (
                result["reasons"] == ["crashed"] and result["image"]["path"] in known.killed_over
            )
            assert result["verdict"] == expected["verdict"] or was_killed_twice, result

    def _check_published(self, bench: Bench, known: World, published: list[dict[str, Any]]) -> None:
        """What was published is on record as it was published, and everything on record was or is published now."""
        by_id = {each["id"]: each for each in bench.results()}
        for inspection_id, message in (known.published | {each["id"]: each for each in published}).items():
            assert by_id.get(inspection_id) == message, f"published otherwise: {message}"
        silent = by_id.keys() - known.published.keys() - {each["id"] for each in published}
        assert not silent, f"on record and never published: {silent}"

    def _check_kept(self, bench: Bench) -> None:
        """Every image to be kept is there, whole, with its sidecar; nothing else is, and the ledger says so."""
        kept = {}
        for result in bench.results():
            if result["kept"]:
                directory = bench.work / ("quarantine" if "error" in result["kept"] else "kept")
                sidecar = json.loads((directory / f"{result['id']}.json").read_bytes())
                assert (sidecar["id"], sidecar["result"]) == (result["id"], result), "another sidecar"
                content = (directory / sidecar["image"]).read_bytes()
                assert content == self.all.delivered[result["id"]], f"kept image not whole: {result['id']}"
                kept[result["id"]] = "stored"
        query = "SELECT id, image FROM inspections WHERE image != 'none'"
        assert dict(rows(bench.work / "ledger.sqlite", query)) == kept, "kept otherwise than on record"
        present = {name.split(".")[0] for place in ("kept", "quarantine") for name in bench.names(place)}
        assert present <= kept.keys(), f"kept beyond the record: {present - kept.keys()}"

    def _check_files(self, bench: Bench) -> None:
        """Every file is where AfterInspection wants it, and nothing is left to be done."""
        assert not bench.ledger.unsettled()
        names = {
            path.relative_to(bench.images).as_posix() for path in bench.images.rglob("*") if path.is_file()
        }
        results = bench.results()
        left = {each["image"]["path"] for each in results} if self._after_inspection == "leave" else set()
        assert names - {".delivering", "top/.delivering"} == left, "images where they should not be"
        assert not list(bench.images.rglob(".claimed")), "an empty directory of claims"
        if self._after_inspection == "archive":
            found = {path.name: path.read_bytes() for path in self._archive.iterdir()}
            expected = [self.all.delivered[each["id"]] for each in results]
            assert [name[:13] for name in sorted(found)] == [f"{each['seq']:012d}-" for each in results]
            assert [found[name] for name in sorted(found)] == expected, "archived image not whole"
