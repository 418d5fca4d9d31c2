"""The edgehost command line, as a person types it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgehost.__main__ import main
from edgehost.process import group_is_alive
from mosquitto_broker import until

RECIPE = """
RecipeFormatVersion: 2020-01-25
ComponentName: com.example.Hello
ComponentVersion: 1.0.0
ComponentConfiguration: {DefaultConfiguration: {Greeting: hello}}
Manifests:
  - Lifecycle:
      install: test '{configuration:/Greeting}' != fail || { echo no greeting >&2; exit 1; }
      run: echo {configuration:/Greeting} world; while true; do sleep 0.05; done
"""


def edgehost(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgehost", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def running(root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`edgehost run`, once it says that it is up; interrupted at the end if it still runs."""
    command = [sys.executable, "-m", "edgehost", "run", "--root", str(root), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as host:
        assert host.stdout
        host.welcome = [host.stdout.readline() for _ in range(7)]  # type: ignore[attr-defined]
        try:
            yield host
        finally:
            host.send_signal(signal.SIGINT)
            host.communicate(timeout=20)


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    directory = tmp_path / "recipes with a space"
    directory.mkdir()
    (directory / "hello.yaml").write_text(RECIPE)
    return directory


def test_a_session(tmp_path: Path, recipes: Path) -> None:
    """run, deploy, status, logs, a deployment that fails, Ctrl-C: each says and returns what it should."""
    root = tmp_path / "the root"
    with running(root, "--thing", "line-3") as host:
        welcome = "".join(host.welcome)  # type: ignore[attr-defined]
        assert "line-3" in welcome
        assert f"socket  {root}/ipc.socket" in welcome
        assert re.search(r"broker  mqtt://127\.0\.0\.1:\d+", welcome)
        assert f"logs    {root}/logs" in welcome
        assert f"edgehost deploy --root '{root}'" in welcome

        add = ("--root", root, "--recipes", recipes, "--add", "com.example.Hello=1.0.0")
        deployed = edgehost("deploy", *add)
        assert (deployed.returncode, deployed.stderr) == (0, "")
        assert "RUNNING    com.example.Hello 1.0.0" in deployed.stdout

        status = json.loads(edgehost("status", "--root", root, "--json").stdout)
        assert (status["thing"], status["online"]) == ("line-3", True)
        (component,) = status["components"]
        assert (component["name"], component["state"]) == ("com.example.Hello", "RUNNING")
        assert "RUNNING    com.example.Hello 1.0.0" in edgehost("status", "--root", root).stdout

        logs = ("logs", "--root", root, "com.example.Hello")
        until(lambda: "stdout. hello world" in edgehost(*logs).stdout, "the component has said hello")

        failed = edgehost("deploy", *add, "--config", 'com.example.Hello={"Greeting": "fail"}')
        assert failed.returncode == 1
        assert "com.example.Hello 1.0.0 is BROKEN" in failed.stderr
        assert "no greeting" in failed.stderr

        greeting = tmp_path / "greeting.json"
        greeting.write_text('{"Greeting": "welcome"}')
        mended = edgehost("deploy", *add, "--config", f"com.example.Hello=@{greeting}")
        assert mended.returncode == 0
        until(lambda: "stdout. welcome world" in edgehost(*logs).stdout, "the component has said welcome")

        second = edgehost("run", "--root", root)
        assert (second.returncode, "a host runs under" in second.stderr) == (1, True)

        pid = json.loads(edgehost("status", "--root", root, "--json").stdout)["components"][0]["pid"]
        host.send_signal(signal.SIGINT)
        rest, _ = host.communicate(timeout=20)
        assert (host.returncode, rest) == (130, "stopping\n")
        assert not group_is_alive(pid)


def test_logs_follow(tmp_path: Path) -> None:
    """-f goes on with what is added, until Ctrl-C."""
    log = tmp_path / "logs" / "com.a.log"
    log.parent.mkdir()
    log.write_text("first\n")
    command = [sys.executable, "-m", "edgehost", "logs", "--root", str(tmp_path), "com.a", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        assert follower.stdout
        assert follower.stdout.readline() == "first\n"
        with log.open("a") as file:
            file.write("second\n")
        assert follower.stdout.readline() == "second\n"
        follower.send_signal(signal.SIGINT)
        assert follower.communicate(timeout=20) == ("", "")
        assert follower.returncode == 130


def test_killed_host_leaves_no_obstacle(tmp_path: Path, recipes: Path) -> None:
    """After kill -9 of the host, another starts on the same root."""
    with running(tmp_path / "root") as host:
        os.kill(host.pid, signal.SIGKILL)
        host.wait()
        refused = edgehost("status", "--root", tmp_path / "root")
        assert (refused.returncode, "no host runs under" in refused.stderr) == (1, True)
        with running(tmp_path / "root"):
            assert edgehost("status", "--root", tmp_path / "root").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status"], "no host runs under ROOT; start one: edgehost run --root ROOT"),
        (["deploy", "--recipes", ".", "--add", "com.a=1.0.0"], "no host runs under ROOT"),
        (["deploy", "--recipes", ".", "--add", "com.a"], "--add 'com.a' is not NAME=VALUE"),
        (["deploy", "--recipes", ".", "--add", "a=1.0.0", "--config", "a={"], "--config a: not JSON"),
        (["deploy", "--recipes", ".", "--add", "a=1.0.0", "--config", "a=[1]"], "not a JSON object"),
        (["deploy", "--recipes", ".", "--add", "a=1.0.0", "--config", "a=@/none"], "/none"),
        (["logs", "com.a"], "com.a has no log under ROOT; there are: none"),
        (["run", "--broker", "http://x"], "neither 'embedded' nor mqtt://HOST:PORT"),
    ],
)
def test_errors_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """One line on stderr, exit code 1."""
    command, *rest = arguments
    assert main([command, "--root", str(tmp_path), *rest]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edgehost: ")
    assert words.replace("ROOT", str(tmp_path)) in err


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["run"],
        ["deploy"],
        ["status"],
        ["logs"],
        ["camera"],
        ["fault"],
        ["fault", "broker-down"],
        ["fault", "ipc-slow"],
        ["fault", "error"],
    ],
)
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    """Every command explains itself with a line to copy."""
    with pytest.raises(SystemExit) as raised:
        main([*command, "--help"])
    assert raised.value.code == 0
    assert re.search(r"examples?:\n  edgehost \w+ ", capsys.readouterr().out)
