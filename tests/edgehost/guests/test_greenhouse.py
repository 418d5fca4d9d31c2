"""A stranger's component, in AWS's older client, with a JSON recipe and a wheel to install, on both nuclei."""

from __future__ import annotations

import json
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import awsiot.greengrasscoreipc.model as m
import pytest
from paho.mqtt.client import Client

from edge import subscribed
from edgehost.profile import CLASSIC, LITE, Profile
from edgehost.state import State
from edgehost.thread import run_in_thread
from ipc_bench import Bench
from mosquitto_broker import until

SOURCE = Path(__file__).parent / "greenhouse"
NAME = "com.example.Greenhouse"
INSTALL_S = 60


class Greenhouse:
    """The device, a thermometer on it, and the cloud that hears and commands."""

    def __init__(self, bench: Bench, cloud: Client, packages: Path) -> None:
        self.host = bench.host
        self.call = bench.call
        self.told: list[dict[str, Any]] = []
        self._packages = packages
        self._cloud = cloud
        self._thermometer = bench.client("com.example.Thermometer")
        cloud.on_message = lambda _client, _data, message: self.told.append(json.loads(message.payload))
        cloud.subscribe("greenhouse/+/vents", qos=1)

    def deploy(self, version: str, **configuration: str) -> None:
        """Deploy a version that was published."""
        deployment = self.host.deploy(
            self._packages / "recipes", self._packages / "artifacts", {NAME: version}, {NAME: configuration}
        )
        self.call(deployment, INSTALL_S)

    def measure(self, celsius: float) -> None:
        message = m.JsonMessage(message={"celsius": celsius})
        self._thermometer.publish_to_topic(
            topic="greenhouse/temperature", publish_message=m.PublishMessage(json_message=message)
        )

    def command(self, word: str) -> None:
        self._cloud.publish(f"greenhouse/{self.host.thing_name}/commands", word, qos=1)

    def wait_for(self, what: dict[str, Any]) -> None:
        """Until the cloud has been told so."""
        until(lambda: what in self.told, f"the cloud hears {what}, not only {self.told}")

    @property
    def log(self) -> str:
        return self.host.components[NAME].log.path.read_text()

    @property
    def pid(self) -> int | None:
        return self.host.components[NAME].pid


def publish(packages: Path, version: str) -> None:
    """The recipe and the artifacts of a version, as its author publishes them; 1.1.0 has one more default."""
    recipe = json.loads((SOURCE / "recipe.json").read_text().replace("1.0.0", version))
    if version != "1.0.0":
        recipe["ComponentConfiguration"]["DefaultConfiguration"]["NightMode"] = "off"
    directory = packages / "artifacts" / NAME / version
    for each in (packages / "recipes", directory):
        each.mkdir(parents=True, exist_ok=True)
    (packages / "recipes" / f"{NAME}-{version}.json").write_text(json.dumps(recipe, indent=2))
    with zipfile.ZipFile(directory / "greenhouse.zip", "w") as archive:
        archive.write(SOURCE / "vents.py", "vents.py")
    write_wheel(directory / f"greenhouse_rules-{version}-py3-none-any.whl", version)


def write_wheel(path: Path, version: str) -> None:
    """A wheel is a ZIP archive: the package, and three files about it."""
    about = f"greenhouse_rules-{version}.dist-info"
    members = {
        "greenhouse_rules/__init__.py": (SOURCE / "greenhouse_rules/__init__.py").read_text(),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: greenhouse_rules\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*members, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**members, f"{about}/RECORD": record}.items():
            wheel.writestr(name, text)


@pytest.fixture
def grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Profile], Greenhouse]]:
    """A greenhouse on a device of a profile, whose ``python3`` has AWS's SDK."""
    publish(tmp_path, "1.0.0")
    publish(tmp_path, "1.1.0")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    with ExitStack() as exit_stack:

        def start(profile: Profile) -> Greenhouse:
            threaded = exit_stack.enter_context(
                run_in_thread(tmp_path / "root", profile=profile, steady_s=0.3)
            )
            cloud = exit_stack.enter_context(subscribed(threaded.host.broker_url))
            return Greenhouse(Bench(threaded, exit_stack), cloud, tmp_path)

        yield start


@pytest.mark.parametrize("profile", [CLASSIC, LITE], ids=lambda profile: profile.name)
def test_a_whole_life(grow: Callable[[Profile], Greenhouse], profile: Profile) -> None:
    """Deployed, measured, commanded, configured, stopped, upgraded: it does what its author meant it to do."""
    greenhouse = grow(profile)
    greenhouse.deploy("1.0.0")
    greenhouse.wait_for({"version": "1.0.0", "state": "started", "starts": 1})

    greenhouse.measure(31)
    greenhouse.wait_for({"version": "1.0.0", "vents": "open", "because": 31})
    greenhouse.measure(-2)
    greenhouse.wait_for({"version": "1.0.0", "vents": "closed", "because": -2})
    greenhouse.command("ajar")
    greenhouse.wait_for({"version": "1.0.0", "vents": "ajar", "because": "command"})
    assert "[INFO]" in line_with("stdout. vents open above 28.0", greenhouse.log)
    assert "[WARN]" in line_with("stderr. frost: -2 degrees", greenhouse.log)

    pid = greenhouse.pid
    greenhouse.deploy("1.0.0", OpenAbove="18")
    until(lambda: "vents open above 18.0" in greenhouse.log, "it goes by the new configuration")
    assert (greenhouse.pid != pid) == profile.restarts_on_configuration
    if profile.restarts_on_configuration:
        greenhouse.wait_for({"version": "1.0.0", "state": "started", "starts": 2})
    greenhouse.measure(20)
    greenhouse.wait_for({"version": "1.0.0", "vents": "open", "because": 20})

    greenhouse.call(greenhouse.host.stop_component(NAME), 20)
    greenhouse.wait_for({"version": "1.0.0", "state": "stopping"})
    assert greenhouse.host.components[NAME].state == State.FINISHED
    assert "stdout. bye" in greenhouse.log

    starts = int((greenhouse.host.root / "work" / NAME / "starts").read_text())
    greenhouse.deploy("1.1.0")
    greenhouse.wait_for({"version": "1.1.0", "state": "started", "starts": starts + 1})
    configuration = greenhouse.host.configuration.value(NAME)
    assert (configuration["OpenAbove"], configuration["NightMode"]) == ("18", "off")


def line_with(text: str, log: str) -> str:
    return next(line for line in log.splitlines() if text in line)
