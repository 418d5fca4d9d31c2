"""A device on which models are deployed: packages on the disk, their trials and their loading played."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import msgspec
import pytest

from inspector.core.message import ModelInfo
from inspector.core.model_status import ModelStatus, Outcome
from inspector.core.settings import Settings
from inspector.models import Models
from inspector.shell.package import PackageError, Trust
from inspector_fakes import DEADLINE_S, FakeDetector, eventually

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "schema" / "model-status.json").read_text())
ACCEPTED = Outcome("accepted", precision="fp32")
SETTINGS = Settings(model_directory="packages/current", probation_frames=10)


class Device:
    """A work directory with packages in it, a process that works there, and what trials there come to."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.outcomes: dict[str, Outcome] = {}
        """By version; those that are not here are accepted."""
        self.unloadable: set[str] = set()
        self.before: dict[str, Callable[[], object]] = {}
        """What a model of a version does before it looks at a picture."""
        self.tried: list[str] = []
        self.loaded: list[tuple[str, str]] = []
        self.boot = "boot-1"
        self.gate = threading.Event()
        self.gate.set()
        self.settings = SETTINGS
        (work / "packages").mkdir()

    def package(self, version: str) -> Path:
        return self.work / "packages" / version

    def deploy(self, version: str) -> None:
        """Install a package and let ``current`` lead there."""
        package = self.package(version)
        if not package.exists():
            package.mkdir()
            (package / "fp32.onnx").write_bytes(version.encode())
            manifest = {"name": "tag", "version": version, "files": [{"name": "fp32.onnx"}]}
            (package / "manifest.json").write_text(json.dumps(manifest))
        link = package.with_name("current")
        package.with_name("fresh").symlink_to(package.name)
        package.with_name("fresh").replace(link)

    def start(self) -> Models:
        """A process begins; the one before has ended without a word."""
        self.models = Models(self.work)
        return self.models

    def settle(self) -> Models:
        """Let it do whatever is to be done."""

        def is_settled() -> bool:
            changed = self.models.follow(self.settings)
            return not changed and not self.models.is_preparing

        eventually(is_settled)
        return self.models

    def run(self, *versions: str) -> Models:
        """A process that was given these, one after the other, each of which proved itself."""
        self.start()
        for version in versions:
            self.deploy(version)
            self.settle()
            if self.models.predecessor:
                self.models.prove()
                self.settle()
        return self.models

    @property
    def in_use(self) -> str | None:
        return self.models.in_use.info.version if self.models.in_use else None

    @property
    def predecessor(self) -> str | None:
        return self.models.predecessor.info.version if self.models.predecessor else None

    @property
    def status(self) -> ModelStatus:
        document = (self.work / "model-status.json").read_bytes()
        jsonschema.validate(json.loads(document), SCHEMA)
        return msgspec.json.decode(document, type=ModelStatus)


def version_of(path: Path) -> str:
    """What the manifest says; of a single file its content."""
    version: str = (
        json.loads((path / "manifest.json").read_text())["version"] if path.is_dir() else path.read_text()
    )
    return version


@contextmanager
def played(work: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A device whose trials end as it says, and whose models find one scratch in every picture."""
    device = Device(work)

    class PlayedTrial:
        def __init__(self, path: Path, *_: object) -> None:
            self._version = version_of(path)
            device.tried.append(self._version)

        def outcome(self) -> Outcome:
            assert device.gate.wait(DEADLINE_S)
            return device.outcomes.get(self._version, ACCEPTED)

        def cancel(self) -> None:
            device.gate.set()

    def load(path: Path, *, precision: str, threads: int, trust: Trust) -> FakeDetector:
        version = version_of(path)
        device.loaded.append((version, precision))
        file = path / "fp32.onnx" if path.is_dir() else path
        if version in device.unloadable or file.read_bytes() != version.encode():
            raise PackageError(path, "fp32.onnx has another SHA-256", "redeploy")
        detector = FakeDetector(before=device.before.get(version, lambda: None))
        detector.info = ModelInfo("tag", version, precision, "0" * 64)
        return detector

    monkeypatch.setattr("inspector.preparation.Trial", PlayedTrial)
    monkeypatch.setattr("inspector.preparation.load", load)
    monkeypatch.setattr("inspector.models.LOOK_S", 0.0)
    monkeypatch.setattr("inspector.models.machine.boot_id", lambda: device.boot)
    try:
        yield device
    finally:
        device.gate.set()
