"""The real component on the simulated edge host, and an independent MQTT subscriber beside it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edgehost.broker import parse_url
from edgehost.profile import CLASSIC, LITE, Profile
from edgehost.thread import ThreadedHost, run_in_thread
from mosquitto_broker import until

INSPECTOR = "com.edgeinspector.Inspector"
MODEL = "com.edgeinspector.Model"
VERSION = "0.1.0"
MODEL_VERSION = json.loads((Path(__file__).parents[1] / "models" / "gdk-config.json").read_text("utf-8"))[
    "component"
][MODEL]["version"]
SAMPLES = Path(__file__).parents[1] / "sample_images"
PASSING, FAILING, DOUBTFUL = SAMPLES / "tag-0004.jpg", SAMPLES / "tag-0001.jpg", SAMPLES / "tag-0014.jpg"
"""A good part, a scratched one, and one of which the model is not sure."""
QUICK = {"SettleMilliseconds": 50, "RescanSeconds": 0.5, "AuditShare": 0, "ReviewRepeatedFrames": False}
"""Most tests drop one picture under many names."""

only_classic = pytest.mark.parametrize("profile", [CLASSIC], ids=["classic"])
only_lite = pytest.mark.parametrize("profile", [LITE], ids=["lite"])


class Edge:
    """A host with its broker; what the component says arrives in ``results`` and ``statuses``."""

    def __init__(self, threaded: ThreadedHost, build: Path, subscriber: Client) -> None:
        self.threaded = threaded
        self.host = threaded.host
        self.work = self.host.root / "work" / INSPECTOR
        self.images = self.work / "images"
        self.results: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.responses: list[dict[str, Any]] = []
        self.payloads: list[bytes] = []
        self._build = build
        self._subscriber = subscriber
        subscriber.on_message = self._on_message

    def _on_message(self, _client: Client, _data: object, message: Any) -> None:
        kind = message.topic.split("/", 2)[2]
        lists = {"results": self.results, "status": self.statuses, "commands/response": self.responses}
        if kind in lists:
            lists[kind].append(json.loads(message.payload))
        if kind == "results":
            self.payloads.append(bytes(message.payload))

    def deploy(self, **configuration: Any) -> None:
        """Deploy both components; the configuration is merged over one that suits tests."""
        versions = {INSPECTOR: VERSION, MODEL: MODEL_VERSION}
        config = {INSPECTOR: QUICK | configuration}
        deployment = self.host.deploy(self._build / "recipes", self._build / "artifacts", versions, config)
        self.threaded.call(deployment, 120)

    def deploy_model(self, version: str, **options: Any) -> None:
        """Deploy another version of the model alone; with its own recipe and artifact in the build."""
        recipes, artifacts = self._build / "recipes", self._build / "artifacts"
        self.threaded.call(self.host.deploy(recipes, artifacts, {MODEL: version}, **options), 300)

    def start(self, **configuration: Any) -> None:
        """Deploy and wait until the component inspects."""
        self.deploy(**configuration)
        self.wait_for_status(lambda status: status["state"] == "running")

    def restart(self) -> None:
        self.threaded.call(self.host.restart_component(INSPECTOR), 60)

    def stop(self) -> float:
        """Stop the component; return how many seconds that took."""
        started = time.monotonic()
        self.threaded.call(self.host.stop_component(INSPECTOR), 60)
        return time.monotonic() - started

    @property
    def pid(self) -> int:
        return next(each["pid"] for each in self.host.status() if each["name"] == INSPECTOR)

    @property
    def log(self) -> str:
        return self.log_of(INSPECTOR)

    def log_of(self, component: str) -> str:
        return (self.host.root / "logs" / f"{component}.log").read_text()

    def drop(self, source: Path | bytes, name: str, camera: str = "top") -> Path:
        """Put an image into place by renaming it there."""
        directory = self.images / camera
        directory.mkdir(parents=True, exist_ok=True)
        temporary = directory / f".{time.monotonic_ns()}.tmp"
        temporary.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
        return temporary.rename(directory / name)

    def command(self, document: Any) -> dict[str, Any]:
        """Send a command and return the response to it."""
        known = len(self.responses)
        self.send(document if isinstance(document, bytes) else json.dumps(document).encode())
        until(lambda: len(self.responses) > known, "the component answers")
        return self.responses[known]

    def send(self, command: bytes) -> None:
        """Send a command without waiting for anything."""
        self._subscriber.publish(f"inspect/{self.host.thing_name}/commands", command, qos=1)

    def wait_for_results(self, count: int) -> list[dict[str, Any]]:
        until(lambda: len(self.results) >= count, f"{count} results arrive, not only {self.verdicts()}", 30)
        return self.results

    def wait_for_status(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status, of all that ever came, that meets the condition."""
        until(lambda: any(map(condition, self.statuses)), "such a status arrives", 30)
        return next(filter(condition, self.statuses))

    def wait_until_settled(self) -> None:
        """Nothing is claimed any more."""
        until(lambda: not list(self.images.rglob(".claimed/*/*")), "every claimed file is settled")

    def wait_until_nothing_waits(self) -> None:
        """All that was decided is published."""

        def is_empty() -> bool:
            return self.command({"command": "status"})["error"] is None and self.statuses[-1]["outbox"] == 0

        until(is_empty, "the outbox is empty")

    def verdicts(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Verdict and reasons by image name."""
        return {each["image"]["name"]: (each["verdict"], tuple(each["reasons"])) for each in self.results}


@contextmanager
def edge_host(root: Path, build: Path, device_venv: Path, profile: Profile) -> Iterator[Edge]:
    """A host below ``root`` whose component finds its virtual environment made, and a subscriber."""
    work = root / "work" / INSPECTOR
    work.mkdir(parents=True, exist_ok=True)
    environment = device_venv.resolve()
    if not (work / environment.name).exists():
        (work / environment.name).symlink_to(environment)
    with run_in_thread(root, profile=profile) as threaded, subscribed(threaded.host.broker_url) as subscriber:
        edge = Edge(threaded, build, subscriber)
        subscriber.subscribe("inspect/#", qos=1)
        yield edge
        for log in (root / "logs").glob("*.log"):
            print(log.read_text())


@contextmanager
def subscribed(url: str) -> Iterator[Client]:
    address = parse_url(url)
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect(address.host, address.port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
        client.on_message = None  # a cycle that the garbage collector may end at its sockets first


@contextmanager
def held(host: ThreadedHost) -> Iterator[None]:
    """A nucleus that answers nothing: its event loop stands still."""
    is_held, release = threading.Event(), threading.Event()

    async def hold() -> None:
        is_held.set()
        assert release.wait(30), "the test took longer than the host can be held"

    holding = host.submit(hold())
    assert is_held.wait(10)
    try:
        yield
    finally:
        release.set()
        holding.result(10)
