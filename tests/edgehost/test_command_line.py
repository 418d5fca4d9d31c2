"""The edgehost command line, as a person or a program types it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc.model import BinaryMessage, JsonMessage, PublishMessage

from edgehost.__main__ import main
from edgehost.control import ControlServer
from edgehost.logs_command import Tail, in_order_of_time
from edgehost.process import group_is_alive
from edgehost.running_host import MAX_REQUEST_BYTES, ControlError, send
from edgehost.thread import ThreadedHost, run_in_thread
from ipc_bench import DEADLINE_S, Bench, Inbox
from mosquitto_broker import until

HELLO = "com.example.Hello"
RECIPE = """
RecipeFormatVersion: 2020-01-25
ComponentName: com.example.Hello
ComponentVersion: 1.0.0
ComponentConfiguration: {DefaultConfiguration: {Greeting: hello}}
Manifests:
  - Platform: {os: linux, runtime: "*"}
    Artifacts: []
    Lifecycle:
      install: if test '{configuration:/Greeting}' = fail; then echo no greeting >&2; exit 1; fi
      run: echo {configuration:/Greeting} world; while true; do sleep 0.05; done
"""
SLOW = """
RecipeFormatVersion: "2020-01-25"
ComponentName: com.example.Slow
ComponentVersion: 1.0.0
Manifests:
  - Lifecycle:
      install: while ! test -e {kernel:rootPath}/go; do sleep 0.05; done
      run: sleep 1000 & trap 'while ! test -e {kernel:rootPath}/end; do sleep 0.05; done; exit' TERM; wait
"""


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "edgehost", *map(str, arguments)]


def edgehost(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True, "text": True, "timeout": 60, "check": False} | options
    return subprocess.run(command(*arguments), **options)


@contextmanager
def running(root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`edgehost run --json`, once it says that it is up; interrupted at the end if it still runs."""
    line = command("run", "--json", "--root", root, *arguments)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as host:
        assert host.stdout
        host.ready = json.loads(host.stdout.readline())  # type: ignore[attr-defined]
        try:
            yield host
        finally:
            host.send_signal(signal.SIGINT)
            host.communicate(timeout=20)


@contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on; interrupted at the end if it still runs."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command(*arguments), **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> str:
    """What a command says on stderr as Ctrl-C ends it; that is its exit code."""
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    return err


def on_terminal(*arguments: str | Path, **environment: str) -> str:
    """What a command writes on a terminal."""
    ours, its = pty.openpty()
    shown = b""
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "80", **environment}
    with subprocess.Popen(command(*arguments), stdout=its, stderr=its, env=env):
        os.close(its)
        with suppress(OSError):  # which Linux raises at the end
            while data := os.read(ours, 4096):
                shown += data
    os.close(ours)
    return shown.decode()


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    directory = tmp_path / "recipes with a space"
    directory.mkdir()
    (directory / "hello.yaml").write_text(RECIPE)
    (directory / "slow.yaml").write_text(SLOW)
    return directory


@contextmanager
def served(threaded: ThreadedHost) -> Iterator[None]:
    """The host can be reached by the command line."""
    server = ControlServer(threaded.host)
    threaded.call(server.__aenter__(), DEADLINE_S)
    try:
        yield
    finally:
        threaded.call(server.__aexit__(None, None, None), DEADLINE_S)


@pytest.fixture
def root(bench: Bench) -> Iterator[Path]:
    """The root of a host in this process that the command line reaches."""
    with served(bench.threaded):
        yield bench.host.root


@pytest.fixture
def hello(bench: Bench, recipes: Path) -> str:
    """A deployed component."""
    bench.call(bench.host.deploy(recipes, None, {HELLO: "1.0.0"}), DEADLINE_S)
    return HELLO


class Shell:
    """Commands in this process, on one root."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._root, self._capsys = root, capsys

    def __call__(self, line: str, *more: str | Path) -> str:
        """What a command prints; it must be carried out."""
        code, out, err = self.try_(line, *more)
        assert (code, err) == (0, "")
        return out

    def json(self, line: str, *more: str | Path) -> Any:
        """What a command prints with --json."""
        return json.loads(self(line, *more, "--json"))

    def try_(self, line: str, *more: str | Path) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a command."""
        self._capsys.readouterr()
        code = main([*line.split(), *map(str, more), "--root", str(self._root)])
        return code, *self._capsys.readouterr()


@pytest.fixture
def shell(root: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(root, capsys)


def test_a_session(tmp_path: Path, recipes: Path) -> None:
    """run, deploy, status, logs, a deployment that fails, Ctrl-C: each says and returns what it should."""
    root = tmp_path / "the root"
    with running(root, "--thing", "line-3", "--profile", "lite") as host:
        about = host.ready  # type: ignore[attr-defined]
        assert re.fullmatch(r"mqtt://127\.0\.0\.1:\d+", about.pop("broker"))
        assert about == {
            "socket": f"{root}/ipc.socket",
            "root": str(root),
            "pid": host.pid,
            "profile": "lite",
            "thing": "line-3",
            "logs": f"{root}/logs",
        }

        add = ("--root", root, "--recipes", recipes, "--add", f"{HELLO}=1.0.0")
        deployed = edgehost("deploy", *add)
        assert (deployed.returncode, deployed.stderr) == (0, "")
        assert deployed.stdout.splitlines()[-1] == f"RUNNING    {HELLO} 1.0.0"

        status = json.loads(edgehost("status", "--root", root, "--json").stdout)
        assert (status["thing"], status["profile"], status["online"]) == ("line-3", "lite", True)
        (component,) = status["components"]
        assert (component["name"], component["state"]) == (HELLO, "RUNNING")

        logs = ("logs", "--root", root, HELLO)
        until(lambda: "stdout. hello world" in edgehost(*logs).stdout, "the component has said hello")

        second = edgehost("run", "--root", root)
        assert (second.returncode, "a host runs under" in second.stderr) == (1, True)

        host.send_signal(signal.SIGINT)
        assert host.communicate(timeout=20) == ("", None)
        assert host.returncode == 130
        assert not group_is_alive(component["pid"])


def test_the_welcome_tells_where_things_are_and_what_to_type(tmp_path: Path) -> None:
    """Socket, broker, logs, profile, and the next command with the root quoted."""
    root = tmp_path / "the root"
    with subprocess.Popen(command("run", "--root", root), stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout
        welcome = "".join(host.stdout.readline() for _ in range(7))
        assert "edgehost-1 (classic 2." in welcome
        assert f"socket  {root}/ipc.socket" in welcome
        assert re.search(r"broker  mqtt://127\.0\.0\.1:\d+", welcome)
        assert f"logs    {root}/logs" in welcome
        assert f"edgehost deploy --root '{root}'" in welcome
        assert welcome.endswith("Ctrl-C stops it.\n")
        host.send_signal(signal.SIGTERM)
        assert host.stdout.read() == "stopping\n"
    assert host.returncode == 143


def test_second_interrupt_does_not_cut_the_stopping_short(tmp_path: Path, recipes: Path) -> None:
    """Impatience leaves no process behind."""
    root = tmp_path / "root"
    with started("run", "--root", root) as host:
        assert host.stdout
        until(lambda: (root / "edgehost.json").exists(), "the host is up")
        (root / "go").touch()
        slow = ("--recipes", recipes, "--add", "com.example.Slow=1.0.0", "--json")
        answer = json.loads(edgehost("deploy", "--root", root, *slow).stdout)
        pid = answer["components"][0]["pid"]
        host.send_signal(signal.SIGINT)
        while host.stdout.readline() != "stopping\n":
            pass
        host.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            host.wait(0.5)
        (root / "end").touch()
        assert host.communicate(timeout=20) == ("", "")
        assert host.returncode == 130
        assert not group_is_alive(pid)


def test_closed_terminal_stops_the_host_and_its_components(tmp_path: Path, recipes: Path) -> None:
    """SIGHUP is a stop, orderly as Ctrl-C: what ran does not go on by itself."""
    with running(tmp_path / "root") as host:
        send(
            tmp_path / "root",
            "deploy",
            recipes=str(recipes),
            artifacts=None,
            versions={HELLO: "1.0.0"},
            config={},
        )
        (component,) = send(tmp_path / "root", "status")["components"]
        host.send_signal(signal.SIGHUP)
        assert host.wait(DEADLINE_S) == 128 + signal.SIGHUP
        assert not group_is_alive(component["pid"])


def test_nohup_is_heeded(tmp_path: Path) -> None:
    """A host that is to outlive its terminal does."""
    nohup = ["nohup", *command("run", "--json", "--root", tmp_path / "root")]
    with subprocess.Popen(nohup, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as host:
        assert host.stdout
        assert host.stdout.readline()
        host.send_signal(signal.SIGHUP)
        assert send(tmp_path / "root", "status")["components"] == []
        host.send_signal(signal.SIGINT)
        assert host.wait(DEADLINE_S) == 128 + signal.SIGINT


def test_the_next_run_says_what_starts_again(tmp_path: Path, recipes: Path) -> None:
    """What was deployed starts by itself, and the welcome tells of it."""
    root = tmp_path / "root"
    with running(root):
        edgehost("deploy", "--root", root, "--recipes", recipes, "--add", f"{HELLO}=1.0.0")
    with started("run", "--root", root) as host:
        assert host.stdout
        welcome = [host.stdout.readline() for _ in range(8)]
        assert welcome[4] == f"starting again: {HELLO} 1.0.0\n"
        assert welcome[6] == f"  edgehost status --root {root}\n"
        assert interrupted(host) == ""


def test_killed_host_leaves_no_obstacle(tmp_path: Path) -> None:
    """After kill -9 of the host, another starts on the same root."""
    with running(tmp_path / "root") as host:
        os.kill(host.pid, signal.SIGKILL)
        host.wait()
        refused = edgehost("status", "--root", tmp_path / "root")
        assert (refused.returncode, "no host runs under" in refused.stderr) == (1, True)
        with running(tmp_path / "root"):
            assert edgehost("status", "--root", tmp_path / "root").returncode == 0


def test_the_host_logs_beside_its_components(tmp_path: Path, recipes: Path) -> None:
    """greengrass.log has a nucleus's line format, and what became of deployments."""
    root = tmp_path / "root"
    with running(root):
        fail = f'{HELLO}={{"Greeting": "fail"}}'
        edgehost("deploy", "--root", root, "--recipes", recipes, "--add", f"{HELLO}=1.0.0", "--config", fail)
    entries = [json.loads(line) for line in edgehost("logs", "--root", root, "--json").stdout.splitlines()]
    (failed,) = (entry for entry in entries if "deployment failed" in entry["message"])
    assert (failed["component"], failed["level"]) == ("greengrass", "WARN")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", failed["time"])


def test_failed_deployment_tells_cause_and_log(shell: Shell, recipes: Path) -> None:
    """Exit code 1, which component, and what it said; --json tells what became of it all the same."""
    add = ("--recipes", recipes, "--add", f"{HELLO}=1.0.0", "--config", f'{HELLO}={{"Greeting": "fail"}}')
    code, out, err = shell.try_("deploy", *add, "--json")
    assert code == 1
    assert f"{HELLO} 1.0.0" in err
    assert "stderr. no greeting" in err
    assert json.loads(out).keys() == {"components", "deployment"}
    assert shell.try_("deploy", *add)[0] == 1


def test_deployment_tells_each_state_on_a_line(shell: Shell, recipes: Path, root: Path) -> None:
    """Where it is no terminal: one line each, and what was named last even if nothing about it changed."""
    (root / "end").touch()
    add = ("--recipes", recipes, "--add", "com.example.Slow=1.0.0")
    with started("deploy", "--root", root, *add) as deploying:
        assert deploying.stdout
        assert deploying.stdout.readline() == "NEW        com.example.Slow 1.0.0\n"
        (root / "go").touch()
        out, err = deploying.communicate(timeout=20)
    assert (out.splitlines()[-1], err) == ("RUNNING    com.example.Slow 1.0.0", "")
    assert shell("deploy", *add) == "RUNNING    com.example.Slow 1.0.0\n"


def test_configuration_from_a_file(shell: Shell, recipes: Path, tmp_path: Path) -> None:
    """@FILE is merged."""
    file = tmp_path / "greeting.json"
    file.write_text('{"Greeting": "welcome"}')
    shell("deploy", "--recipes", recipes, "--add", f"{HELLO}=1.0.0", "--config", f"{HELLO}=@{file}")
    assert shell.json(f"component config {HELLO}") == {"Greeting": "welcome"}


def test_what_the_host_has_needs_no_recipes(shell: Shell, hello: str) -> None:
    """Deployed again by name and version alone, with part of its configuration set back; then removed."""
    add = ("deploy", "--add", f"{hello}=1.0.0", "--config")
    shell(*add, f'{hello}={{"Greeting": "hi", "More": 1}}')
    shell(*add, f'{hello}={{"MERGE": {{"More": 2}}, "RESET": ["/Greeting"]}}')
    assert shell.json(f"component config {hello}") == {"Greeting": "hello", "More": 2}
    assert f"REMOVED    {hello} 1.0.0\n" in shell(f"deploy --remove {hello}")
    assert "components  none; edgehost deploy brings some\n" in shell("status")


def test_policy_of_a_deployment_that_fails(shell: Shell, hello: str) -> None:
    """Rolled back, unless it is to stay as it is; the status tells which."""
    fail = ("deploy", "--add", f"{hello}=1.0.0", "--config", f'{hello}={{"Greeting": "fail"}}')
    for more, states in (
        ((), ("ROLLBACK_COMPLETE", "RUNNING")),
        (("--policy", "nothing"), ("NOT_REQUESTED", "BROKEN")),
    ):
        code, _, err = shell.try_(*fail, *more)
        assert (code, f"{hello} 1.0.0 is BROKEN" in err) == (1, True)
        status = shell.json("status")
        assert status["last_deployment"]["status"].endswith(states[0])
        assert status["components"][0]["state"] == states[1]


def test_configuration_by_hand(shell: Shell, hello: str) -> None:
    """--merge and --reset change it, by a deployment; what is in force then is shown."""
    config = ("component", "config", hello)
    assert shell.json(*config, "--merge", '{"Greeting": "hi", "More": 1}') == {"Greeting": "hi", "More": 1}
    assert shell.json(*config, "--reset", "/Greeting") == {"Greeting": "hello", "More": 1}


def test_interrupted_deployment_goes_on_in_the_host(root: Path, recipes: Path, shell: Shell) -> None:
    """Ctrl-C says so, and how to see how it ends."""
    slow = ("--recipes", recipes, "--add", "com.example.Slow=1.0.0")
    with started("deploy", "--root", root, *slow) as deploying:
        assert deploying.stdout
        assert deploying.stdout.readline() == "NEW        com.example.Slow 1.0.0\n"
        assert interrupted(deploying) == (
            f"edgehost: the deployment goes on in the host; how it ends: edgehost status --root {root}\n"
        )
    assert "one is under way" in shell("status")
    (root / "go").touch()
    (root / "end").touch()
    until(lambda: not shell.json("status")["deploying"], "the deployment is over")
    assert shell.json("status")["components"][0]["state"] == "RUNNING"


def test_status_tells_all_at_a_glance(shell: Shell, hello: str, bench: Bench) -> None:
    """The facts above, a table below; nothing else on stdout."""
    shell("fault spool-full 1m")
    text = shell("status")
    for line in (r"profile +classic 2\.", r"thing +edgehost-1$", r"socket +/.*/ipc\.socket$"):
        assert re.search(f"^{line}", text, re.MULTILINE)
    assert re.search(r"^broker +mqtt://127\.0\.0\.1:\d+ \(online\)$", text, re.MULTILINE)
    assert re.search(r"^faults +spool-full, [\d.]+ s more$", text, re.MULTILINE)
    pid = bench.host.status()[0]["pid"]
    assert re.search(rf"^RUNNING +{hello} +1\.0\.0 +{pid} +0 ", text, re.MULTILINE)
    assert "\x1b" not in text


def test_colour_is_for_terminals(root: Path, hello: str) -> None:
    """A state is green on a terminal, unless NO_COLOR is set."""
    assert re.search(r"\x1b\[32mRUNNING", on_terminal("status", "--root", root))
    assert "\x1b" not in on_terminal("status", "--root", root, NO_COLOR="1")


def test_progress_on_a_terminal(root: Path, recipes: Path) -> None:
    """The table is brought up to date in place, and stays as it ended."""
    (root / "go").touch()
    (root / "end").touch()
    shown = on_terminal("deploy", "--root", root, "--recipes", recipes, "--add", "com.example.Slow=1.0.0")
    assert "deploying" in shown
    last = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.split("deploying")[-1])
    assert re.search(r"RUNNING  com\.example\.Slow  1\.0\.0", last)


def test_component_by_hand(shell: Shell, hello: str) -> None:
    """stop, start and restart do that, and show how the component is then."""
    (running,) = shell.json("status")["components"]
    assert shell.json(f"component stop {hello}") == [running | {"state": "FINISHED", "pid": None}]
    assert re.search(rf"^RUNNING +{hello}", shell(f"component start {hello}"), re.MULTILINE)
    (again,) = shell.json(f"component restart {hello}")
    assert (again["state"], again["pid"] == running["pid"]) == ("RUNNING", False)


def test_component_that_breaks_is_an_error(shell: Shell, hello: str, bench: Bench) -> None:
    """Exit code 1, and where the reason is."""

    async def spoil() -> None:
        bench.host.configuration.merge(hello, (), {"Greeting": "fail"}, 2**60)
        bench.host.component(hello).renew({})

    bench.call(spoil())
    code, out, err = shell.try_(f"component restart {hello}")
    assert (code, out.splitlines()[-1].split()[0]) == (1, "BROKEN")
    assert f"{hello}: BROKEN; the log says why: edgehost logs {hello}" in err


def test_configuration_in_force(shell: Shell, hello: str) -> None:
    """As JSON in lines, or on one line for programs."""
    assert shell(f"component config {hello}") == '{\n  "Greeting": "hello"\n}\n'
    assert shell(f"component config {hello} --json") == '{"Greeting": "hello"}\n'


LOG = """2026-01-01T00:00:0{0}.000Z [INFO] (edgehost) com.{1}: stdout. {1}{0}. {{scriptName=x}}
"""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The root of a host that is gone, with two logs."""
    directory = tmp_path / "old" / "logs"
    directory.mkdir(parents=True)
    (directory / "com.a.log").write_text(LOG.format(1, "a") + LOG.format(3, "a"))
    (directory / "com.b.log").write_text(LOG.format(2, "b") + "  at line 7\n" + LOG.format(4, "b"))
    return tmp_path / "old"


def test_logs_of_one(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As they are; -n the last lines only."""
    shell = Shell(logs, capsys)
    assert shell("logs com.a") == LOG.format(1, "a") + LOG.format(3, "a")
    assert shell("logs com.a -n 1") == LOG.format(3, "a")


def test_logs_of_several_are_one(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of time, each line behind its log's name; what tells no time stays where it belongs."""
    text = Shell(logs, capsys)("logs")
    assert [line[:8] for line in text.splitlines()] == [f"com.{name} | " for name in "abbab"]
    assert text.splitlines()[2] == "com.b |   at line 7"
    assert Shell(logs, capsys)("logs com.b com.a") == text


def test_logs_for_programs(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An object a line."""
    first, other, _ = map(json.loads, Shell(logs, capsys)("logs com.b --json").splitlines())
    message = "stdout. b2. {scriptName=x}"
    time = "2026-01-01T00:00:02.000Z"
    assert first == {"component": "com.b", "time": time, "level": "INFO", "message": message}
    assert other == {"component": "com.b", "time": None, "level": None, "message": "  at line 7"}


def test_logs_follow(logs: Path) -> None:
    """-f goes on with what is added, with a file cut short or made anew, and with new logs, until Ctrl-C."""
    log = logs / "logs" / "com.a.log"
    with started("logs", "--root", logs, "-f", "-n", "1") as follower:
        assert follower.stdout

        def next_line() -> str:
            assert follower.stdout
            return follower.stdout.readline().rpartition("| ")[2]

        assert {next_line(), next_line()} == {LOG.format(3, "a"), LOG.format(4, "b")}
        for number, change in enumerate(("append", "truncate", "recreate", "another")):
            path = log.with_name("com.c.log") if change == "another" else log
            if change == "recreate":
                log.rename(log.with_name("com.a.log.1"))
            with path.open("w" if change == "truncate" else "a") as file:
                file.write(f"{number}\n")
            assert next_line() == f"{number}\n"
        assert interrupted(follower) == ""


def test_tail_misses_nothing_when_a_log_is_made_anew(tmp_path: Path) -> None:
    """What came last in the old file comes before what comes first in the new one."""
    path = tmp_path / "a.log"
    path.write_text("1\n2\n")
    with closing(Tail(path, 1)) as tail:
        assert list(tail.read()) == ["2"]
        with path.open("a") as file:
            file.write("3\n")
        path.rename(tmp_path / "a.log.1")
        path.write_text("4\n")
        assert list(tail.read()) == ["3", "4"]
        assert list(tail.read()) == []


def test_tail_misses_nothing_when_a_log_is_rotated_as_it_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that comes just before the file is replaced."""
    path = tmp_path / "a.log"
    path.write_text("1\n")
    looks = Tail._is_outdated

    def rotated(tail: Tail, file: Any) -> bool:
        with path.open("a") as writer:
            writer.write("2\n")
        path.rename(tmp_path / "a.log.1")
        path.write_text("3\n")
        return looks(tail, file)

    with closing(Tail(path, None)) as tail:
        assert list(tail.read()) == ["1"]
        monkeypatch.setattr(Tail, "_is_outdated", rotated)
        assert list(tail.read()) == ["2", "3"]


def test_logs_that_tell_no_time_keep_their_order() -> None:
    """Lines of a stack trace stay together."""
    logs = {
        "a": ["2026-01-02 [INFO] (x) y", "trace"],
        "b": ["2026-01-01 [INFO] (x) y", "2026-01-03 [INFO] (x) y"],
    }
    assert [name for name, _ in in_order_of_time(logs)] == ["b", "a", "a", "b"]


@contextmanager
def subscriber(root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`edgehost subscribe`, once it is subscribed."""
    with started("subscribe", "--root", root, *arguments) as process:
        assert process.stderr
        assert process.stderr.readline().startswith("subscribed ")
        yield process


def test_console_in_the_cloud(shell: Shell, root: Path, tmp_path: Path) -> None:
    """What is published arrives, a line each: text with control characters escaped, what is none as base64."""
    file = tmp_path / "picture"
    file.write_bytes(b"\xff\xd8\xff")
    with subscriber(root, "a/#", "--count", "4") as process:
        assert shell("publish a/b", '{"x": 1}') == "published 8 bytes to a/b\n"
        assert shell.json("publish a/b", "text\nand \x1b[31mred") == {
            "topic": "a/b",
            "bytes": 17,
            "local": False,
        }
        shell("publish a/b", f"@{file}", "--qos", "1")
        shell("publish a")
        out, err = process.communicate(timeout=20)
    assert out.splitlines() == ['a/b {"x": 1}', r"a/b text\nand \x1b[31mred", "a/b base64:/9j/", "a "]
    assert (process.returncode, err) == (0, "")


def test_console_for_programs(shell: Shell, root: Path) -> None:
    """An object a line, which tells apart JSON, text and what is neither."""
    with subscriber(root, "+", "--json", "--count", "3") as process:
        for payload in ('{"x": [1]}', "NaN", os.fsdecode(b"\xff")):
            shell("publish a", payload)
        out, _ = process.communicate(timeout=20)
    messages = [json.loads(line) for line in out.splitlines()]
    assert [message.pop("topic") for message in messages] == ["a"] * 3
    bodies = [
        {key: message[key] for key in message.keys() & {"json", "text", "base64"}} for message in messages
    ]
    assert bodies == [{"json": {"x": [1]}}, {"text": "NaN"}, {"base64": "/w=="}]
    assert messages[0]["retain"] is False


def test_console_takes_stdin_and_ends_at_interrupt(root: Path) -> None:
    """- is stdin; Ctrl-C ends with 130 and not a word."""
    with subscriber(root, "a") as process:
        edgehost("publish", "--root", root, "a", "-", input="from a pipe")
        assert process.stdout
        assert process.stdout.readline() == "a from a pipe\n"
        assert interrupted(process) == ""


def test_console_on_a_terminal(root: Path) -> None:
    """JSON is spread over lines, and nothing steers the terminal."""
    line = command("subscribe", "--root", root, "a", "--count", "2")
    ours, its = pty.openpty()
    env = os.environ | {"NO_COLOR": "1", "TERM": "xterm"}
    with subprocess.Popen(line, stdout=its, stderr=subprocess.PIPE, env=env, text=True) as process:
        os.close(its)
        assert process.stderr
        process.stderr.readline()
        for payload in ('{"x": "\\u0007 \\u009b31m"}', "bell \x07"):
            edgehost("publish", "--root", root, "a", payload)
        assert process.wait(20) == 0
        shown = os.read(ours, 4096).decode()
    os.close(ours)
    first, second = re.split(r"\d\d:\d\d:\d\d a\r\n", shown)[1:]
    assert first == '{\r\n  "x": "\\u0007 \\x9b31m"\r\n}\r\n'
    assert second == "bell \\x07\r\n"


def test_local_console_hears_components(bench: Bench, root: Path) -> None:
    """What components publish locally, either kind of message."""
    client = bench.client("com.example.A")
    with subscriber(root, "local/#", "--local", "--json", "--count", "2") as process:
        as_json = PublishMessage(json_message=JsonMessage(message={"x": 1}))
        client.publish_to_topic(topic="local/a", publish_message=as_json)
        as_bytes = PublishMessage(binary_message=BinaryMessage(message=b"\x00\xff"))
        client.publish_to_topic(topic="local/b", publish_message=as_bytes)
        out, _ = process.communicate(timeout=20)
    first, second = map(json.loads, out.splitlines())
    assert (first["topic"], first["kind"], first["json"]) == ("local/a", "jsonMessage", {"x": 1})
    assert (second["topic"], second["kind"], second["base64"]) == ("local/b", "binaryMessage", "AP8=")


def test_local_console_speaks_to_components(bench: Bench, shell: Shell, inbox: Inbox) -> None:
    """As a component sees it: a binaryMessage, whatever accessControl others have."""
    bench.client("com.example.A").subscribe_to_topic(topic="local/a", **inbox.handlers())
    shell("publish local/a hi --local")
    message = inbox.next().binary_message
    assert (message.message, message.context.topic) == (b"hi", "local/a")


def test_local_console_that_leaves_is_forgotten(bench: Bench, root: Path, shell: Shell) -> None:
    """Its subscription ends with it."""
    with subscriber(root, "local/a", "--local") as process:
        shell("publish local/a hi --local")
        assert process.stdout
        assert process.stdout.readline() == "local/a hi\n"
        assert interrupted(process) == ""
    subscribe = bench.host.services.operations["SubscribeToTopic"]
    subscriptions = subscribe.__self__._subscriptions  # type: ignore[attr-defined]
    until(lambda: not subscriptions, "the subscription is gone")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status"], "no host runs under ROOT; start one: edgehost run --root ROOT"),
        (["deploy", "--recipes", ".", "--add", "com.a=1.0.0"], "no host runs under ROOT"),
        (["deploy"], "nothing to deploy; name a component (--add NAME=VERSION"),
        (["deploy", "--add", "com.a"], "--add 'com.a' is not NAME=VERSION"),
        (["deploy", "--add", "a=1", "--add", "a=2"], "--add names a twice"),
        (["deploy", "--add", "a=1", "--remove", "a"], "a is both in --add and in --remove"),
        (["deploy", "--config", "a={"], "--config a: not JSON: Expecting property name enclosed"),
        (["deploy", "--config", 'a={"x" 1}'], "line 1 column 6"),
        (["deploy", "--config", "a=[1]"], "--config a: [1] is not a JSON object"),
        (["deploy", "--config", 'a={"b": 1, "b": 2}'], "--config a: not JSON: the key 'b' is there twice"),
        (["deploy", "--config", 'a={"b": NaN}'], "--config a: not JSON: NaN is no JSON value"),
        (["deploy", "--config", "a=" + "[" * 100_000], "--config a: it is nested too deeply"),
        (["component", "config", "a", "--merge", ""], "--merge: not JSON"),
        (["deploy", "--config", "a=@/none"], "--config a: /none: No such file or directory"),
        (["component", "config", "a", "--reset", "x"], "--reset 'x' is no JSON pointer; write /x"),
        (["logs", "com.a"], "com.a has no log under ROOT; there are: none"),
        (["logs"], "there are no logs under ROOT"),
        (["publish", "a", "@/none"], "/none: No such file or directory"),
        (["publish", "a/#", "1"], "Publish to topic a/# failed: The topic of publish request should not"),
        (["subscribe", "a+"], "filter 'a+': The wildcard + must be a whole level"),
        (["run", "--broker", "http://x"], "neither 'embedded' nor mqtt://HOST:PORT"),
    ],
)
def test_errors_say_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """One line on stderr, exit code 1."""
    assert main([*arguments, "--root", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("edgehost: ")
    assert words.replace("ROOT", str(tmp_path)) in err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("component restart com.b", f"com.b is not deployed on this host; deployed: {HELLO}"),
        ("component config com.b", f"com.b is not deployed on this host; deployed: {HELLO}"),
        ("deploy --recipes /none --add com.b=1.0.0", "/none is not a directory"),
        (f"deploy --artifacts /none --config {HELLO}={{}}", "artifact directory /none is not a directory"),
        ("publish a/+ x --local", "local topic 'a/+': InvalidArgumentsError: Publish topic must not contain"),
    ],
)
def test_the_host_says_what_to_do(shell: Shell, hello: str, line: str, words: str) -> None:
    """One line on stderr, exit code 1."""
    code, out, err = shell.try_(line)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("edgehost: ")
    assert words in err


def test_broker_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The console says which broker it missed."""
    with run_in_thread(tmp_path / "root", broker="mqtt://127.0.0.1:1") as threaded, served(threaded):
        assert (
            Shell(tmp_path / "root", capsys)
            .try_("publish a b")[2]
            .startswith("edgehost: broker mqtt://127.0.0.1:1: ")
        )


HELP = [
    [],
    *([name] for name in ("run", "deploy", "status", "component", "logs", "publish", "subscribe", "camera")),
    *(["component", name] for name in ("restart", "stop", "start", "config")),
    ["fault"],
    *(["fault", name] for name in ("broker-down", "ipc-slow", "error")),
]


@pytest.mark.parametrize("arguments", HELP, ids=" ".join)
def test_help_has_an_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """Every command explains itself, in 80 columns, with a line to copy."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as raised:
        main([*arguments, "--help"])
    assert raised.value.code == 0
    about, examples = re.split(r"^examples?:\n", capsys.readouterr().out, flags=re.MULTILINE)
    assert re.match(r"  (.*\| )?edgehost \w+ ", examples)
    assert max(map(len, about.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["logs"], ["deploy", "--add", "a=1"]])
def test_commands_are_quick(tmp_path: Path, arguments: list[str]) -> None:
    """None but the host loads asyncio, a broker, an MQTT client or YAML."""
    script = "import sys; from edgehost.__main__ import main\ntry: main(sys.argv[1:])\nfinally: print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    loaded = set(run.stdout.split())
    assert "edgehost.arguments" in loaded
    assert not loaded & {"asyncio", "amqtt", "aiomqtt", "paho", "yaml", "numpy", "edgehost.nucleus"}


def test_what_is_too_long_for_the_host_is_told(root: Path) -> None:
    """Not a word less; what fits is carried out, however long."""
    payload = "A" * (MAX_REQUEST_BYTES // 2)
    assert send(root, "publish", topic="a", payload=payload) is None
    with pytest.raises(ControlError, match=r"publish has \d+ bytes; the host takes"):
        send(root, "publish", topic="a", payload=payload * 2)


def test_failure_of_the_hosts_own_is_told(
    root: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody thought of reaches the command, and the host goes on."""

    def fail() -> None:
        raise OSError("the disk is on fire")

    with monkeypatch.context() as patch, pytest.raises(ControlError, match="the disk is on fire"):
        patch.setattr(bench.host, "status", fail)
        send(root, "status")
    assert send(root, "status")
    assert "the disk is on fire" in caplog.text
