"""``station watch`` as a person or a script runs it, against Mosquitto."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import msgspec
import pytest
from paho.mqtt import publish

from mosquitto_broker import Mosquitto, free_port, until
from station.__main__ import main
from station_samples import arrived, fail, result, status, topic


class Station:
    """A running ``station watch``; its output so far is in ``out`` and ``err``."""

    def __init__(self, directory, *arguments: str, **environment: str) -> None:
        self._out, self._err = directory / "out", directory / "err"
        command = [sys.executable, "-m", "station", "watch", *arguments]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env=os.environ | environment)

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def subscribed(self) -> Station:
        until(lambda: "connected to" in self.out + self.err, "the station is subscribed")
        return self


@pytest.fixture
def broker(mosquitto) -> Mosquitto:
    broker = mosquitto()
    broker.start()
    return broker


@pytest.fixture
def watch(tmp_path) -> Iterator[Callable[..., Station]]:
    """Starts stations; kills those that did not end."""
    started: list[Station] = []

    def start(broker: Mosquitto, *arguments: str, **environment: str) -> Station:
        started.append(Station(tmp_path, "--broker", broker.url, *arguments, **environment))
        return started[-1]

    yield start
    for station in started:
        station.process.kill()
        station.process.wait()


def send(broker: Mosquitto, *messages) -> None:
    """Publish each message, or each (topic, payload)."""
    pairs = [m if isinstance(m, tuple) else (topic(m), msgspec.json.encode(m)) for m in messages]
    batch = [(where, payload, 1, False) for where, payload in pairs]
    publish.multiple(batch, hostname="127.0.0.1", port=broker.port)


def test_it_ends_with_0_when_every_expected_image_has_its_verdict(broker, watch, tmp_path):
    (tmp_path / "names").write_text("tag-1.jpg\ntag-2.jpg\n")
    station = watch(broker, "--expect", str(tmp_path / "names"), "--timeout", "30").subscribed()
    send(broker, result(1, "tag-1.jpg"), fail(2, "top/tag-2.jpg"))
    assert station.process.wait(20) == 0
    assert "2 images: 1 pass, 1 fail, 0 review" in station.out
    assert "\x1b" not in station.out


def test_it_ends_with_1_and_the_missing_names_when_time_is_up(broker, watch, tmp_path):
    (tmp_path / "names").write_text("tag-1.jpg\ntag-2.jpg\n")
    station = watch(broker, "--expect", str(tmp_path / "names"), "--timeout", "2").subscribed()
    send(broker, result(1, "tag-1.jpg"))
    assert station.process.wait(20) == 1
    assert "missing: tag-2.jpg" in station.out


def test_a_number_of_results_can_be_awaited(broker, watch):
    station = watch(broker, "--count", "2", "--timeout", "30").subscribed()
    send(broker, result(1), result(1), result(2))
    assert station.process.wait(20) == 0


def test_json_prints_each_message_once_and_nothing_else(broker, watch):
    station = watch(broker, "--json", "--count", "3").subscribed()
    send(broker, status(), result(1), result(1), ("inspect/line-3/results", b"{"), result(3), result(2))
    assert station.process.wait(20) == 0
    messages = [json.loads(line) for line in station.out.splitlines()]
    assert [message.get("seq") for message in messages] == [None, 1, 3, 2]
    assert messages[1] == json.loads(arrived(result(1)).line)
    assert "malformed message on inspect/line-3/results" in station.err
    assert "gap: seq 2 of line-3" in station.err


def test_json_lines_are_there_at_once(broker, watch):
    station = watch(broker, "--json").subscribed()
    send(broker, result(1))
    until(lambda: station.out.endswith("}\n"), "the line is written while the station goes on")


def test_only_the_thing_and_prefix_asked_for_are_shown(broker, watch):
    station = watch(broker, "--thing", "line-4", "--prefix", "plant/a", "--json", "--count", "1").subscribed()
    own = result(7, thing="line-4")
    send(broker, result(1), ("inspect/line-4/results", msgspec.json.encode(own)))
    send(broker, ("plant/a/line-4/results", msgspec.json.encode(own)))
    assert station.process.wait(20) == 0
    assert [json.loads(line)["seq"] for line in station.out.splitlines()] == [7]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_prints_the_summary(broker, watch, number):
    station = watch(broker).subscribed()
    send(broker, fail(1))
    until(lambda: "tag-2.jpg" in station.out, "the row is shown")
    station.process.send_signal(number)
    assert station.process.wait(20) == 130
    assert "1 image: 0 pass, 1 fail, 0 review" in station.out
    assert "Traceback" not in station.err


def test_a_broker_that_comes_late_is_waited_for_visibly(mosquitto, watch):
    late = mosquitto()
    station = watch(late, "--count", "1", "--timeout", "60")
    until(lambda: "can't be reached" in station.out and "trying again" in station.out, "absence is told")
    late.start()
    station.subscribed()
    send(late, result(1))
    assert station.process.wait(20) == 0
    assert "Traceback" not in station.out + station.err


def test_a_broker_that_never_comes_is_a_failure(capsys):
    assert main(["watch", "--broker", f"mqtt://127.0.0.1:{free_port()}", "--timeout", "0.5"]) == 1
    assert "can't be reached" in capsys.readouterr().out


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_reader_that_goes_away_ends_it_quietly(broker, options):
    command = [sys.executable, "-m", "station", "watch", "--broker", broker.url, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = threading.Timer(30, process.kill)
        deadline.start()
        try:
            assert process.stderr
            assert process.stdout
            assert "connected" in (process.stderr if options else process.stdout).readline()
            process.stdout.close()
            send(broker, result(1), result(2))
            assert process.wait(20) == 1
            assert "Traceback" not in process.stderr.read()
        finally:
            deadline.cancel()
            process.kill()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--broker", "localhost"], "is no broker"),
        (["--broker", "mqtt://x", "--expect", "/nowhere"], "/nowhere"),
        (["--broker", "mqtt://x", "--count", "0"], "not a number of results"),
        (["--broker", "mqtt://x", "--timeout", "-1"], "no time to wait"),
        (["--broker", "mqtts://x", "--key", "k"], "go together"),
        ([], "--broker"),
    ],
)
def test_a_wrong_option_is_named(capsys, arguments, why):
    with pytest.raises(SystemExit) as ended:
        main(["watch", *arguments])
    assert ended.value.code == 2
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("command", [["--help"], ["watch", "--help"]])
def test_help_has_an_example(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    assert "station watch --broker mqtt://127.0.0.1:1883" in capsys.readouterr().out
