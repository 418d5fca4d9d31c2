"""A component's life, with tiny shell scripts as components."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from deploying import Deploying
from edgehost.component_log import ComponentLog
from edgehost.deployment import DeploymentError
from edgehost.lifecycle import Component, Upkeep
from edgehost.process import ScriptProcess, group_is_alive
from edgehost.profile import CLASSIC, LITE
from edgehost.recipe import Recipe, Rules, Step
from edgehost.state import State
from edgehost.upkeep import Errors
from edgehost.variables import Scope, fill
from mosquitto_broker import until as poll

# Lite's, but for the wait before it tries again.
LITE_NOW = replace(LITE.upkeep, retry_delay_s=0.0)
FOREVER = "while true; do sleep 0.05; done"
New = Callable[..., AbstractAsyncContextManager[Component]]


@pytest.fixture
def started(tmp_path: Path) -> New:
    """Start a component of the given steps; it is stopped at the end of the block."""

    @asynccontextmanager
    async def start(
        timeout_s: float | None = None,
        upkeep: Upkeep = CLASSIC.upkeep,
        is_new: bool = True,
        **scripts: str | Step,
    ):
        steps = {
            name: script if isinstance(script, Step) else Step(script, timeout_s, {})
            for name, script in scripts.items()
        }
        log = ComponentLog(tmp_path / "log", "com.a")
        scope = Scope({"work:path": str(tmp_path / "work")}, {"Nothing": "no\0thing"})
        component = Component(
            Recipe("com.a", "1.0.0", steps=steps),
            tmp_path / "work",
            log,
            {"PATH": os.environ["PATH"], "GREETING": "hello"},
            lambda step: fill(step, scope, Rules()),
            upkeep,
            is_new=is_new,
        )
        component.start()
        try:
            yield component
        finally:
            await component.stop()

    return start


def transitions(component: Component) -> list[str]:
    return re.findall(r"com\.a: (\w+ -> \w+)", component.log.path.read_text())


def said(component: Component) -> str:
    return component.log.path.read_text()


async def until(component: Component, text: str, times: int = 1) -> None:
    """Wait for the component to log something."""

    async def look() -> None:
        while not (component.log.path.exists() and said(component).count(text) >= times):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), 10)


async def turns() -> None:
    """Let the loop do whatever it can do at once."""
    for _ in range(100):
        await asyncio.sleep(0)


async def settled(component: Component) -> State:
    return await asyncio.wait_for(component.settled(), 10)


async def test_run_is_running_at_once(started: New) -> None:
    """install, then run; the process gets its environment and its work directory."""
    async with started(install="echo installed", run=f"echo $GREETING from $PWD; {FOREVER}") as component:
        assert await settled(component) == State.RUNNING
        await until(component, "hello from")
    assert transitions(component) == [
        "NEW -> INSTALLED",
        "INSTALLED -> STARTING",
        "STARTING -> RUNNING",
        "RUNNING -> STOPPING",
        "STOPPING -> FINISHED",
    ]
    assert f"hello from {component.log.path.parent / 'work'}" in said(component)


async def test_run_that_exits_0_is_finished(started: New) -> None:
    """Done is not an error; shutdown runs all the same."""
    async with started(run="true", shutdown="echo swept") as component:
        await asyncio.wait_for(component.reached(State.FINISHED), 10)
        assert component.pid is None
        assert "stdout. swept" in said(component)


async def test_nothing_to_run_is_finished(started: New) -> None:
    """A component may have install alone."""
    async with started(install="true") as component:
        assert await settled(component) == State.FINISHED


@pytest.mark.parametrize("step", ["install", "startup", "run"])
async def test_three_errors_make_it_broken(started: New, step: str) -> None:
    """Tried again at once, three times in all, then no more until it is started by hand."""
    async with started(**{step: "echo attempt; exit 7"}) as component:
        await asyncio.wait_for(component.reached(State.BROKEN), 10)
        assert said(component).count("stdout. attempt") == 3
        assert f"{step} exited with 7" in said(component)
        component.start()
        await asyncio.wait_for(component.reached(State.ERRORED), 10)
        await asyncio.wait_for(component.reached(State.BROKEN), 10)
        assert said(component).count("stdout. attempt") == 6


async def test_install_is_not_repeated_when_run_fails(started: New) -> None:
    """A crash restarts what crashed."""
    async with started(install="echo installing", run="exit 1") as component:
        await asyncio.wait_for(component.reached(State.BROKEN), 10)
        assert said(component).count("stdout. installing") == 1


async def test_killed_process_is_restarted(started: New) -> None:
    """As after a crash or the out-of-memory killer."""
    async with started(run=FOREVER) as component:
        await settled(component)
        first = component.pid
        component.kill()
        await asyncio.wait_for(component.reached(State.ERRORED), 10)
        await settled(component)
        assert component.pid != first
        assert "run was killed by signal 9" in said(component)


@pytest.mark.parametrize("step", ["install", "startup"])
async def test_step_that_takes_too_long_is_an_error(started: New, step: str) -> None:
    """Its Timeout names it, and its whole group is killed."""
    async with started(timeout_s=0.05, **{step: "echo pid $$; sleep 60 & wait"}) as component:
        await asyncio.wait_for(component.reached(State.BROKEN), 20)
        assert "did not end within its Timeout of 0.05 s" in said(component)
        groups = [int(pid) for pid in re.findall(r"stdout\. pid (\d+)", said(component))]
        assert len(groups) == 3
        assert not any(group_is_alive(group) for group in groups)


async def test_startup_is_running_when_it_exits_0(started: New) -> None:
    """What it left in the background belongs to the component, and is stopped with it."""
    async with started(startup="(while true; do sleep 0.05; done) & echo $$") as component:
        assert await settled(component) == State.RUNNING
        group = component.pid
        assert group
        assert group_is_alive(group)
    assert not group_is_alive(group)


async def test_startup_may_report_running_itself(started: New) -> None:
    """UpdateState RUNNING is as good as exit 0; ERRORED is an error."""
    async with started(startup=FOREVER, timeout_s=30) as component:
        await asyncio.wait_for(component.reached(State.STARTING), 10)
        component.report(State.RUNNING)
        assert await settled(component) == State.RUNNING
        component.report(State.ERRORED)
        await asyncio.wait_for(component.reached(State.ERRORED), 10)
        assert "the component reported ERRORED" in said(component)


async def test_reported_error_restarts_run(started: New) -> None:
    """A component that knows it is sick is restarted."""
    async with started(run=FOREVER) as component:
        await settled(component)
        component.report(State.ERRORED)
        await asyncio.wait_for(component.reached(State.ERRORED), 10)
        assert await settled(component) == State.RUNNING


async def test_stop_lets_the_whole_group_end_itself(started: New) -> None:
    """SIGTERM reaches the children too, and what they print last is kept."""
    child = "sh -c 'trap \"echo child done; exit 0\" TERM; echo ready; while true; do sleep 0.05; done'"
    async with started(run=f"trap 'exit 0' TERM; {child} & wait") as component:
        await until(component, "stdout. ready")
    assert "child done" in said(component)


async def test_stop_kills_what_does_not_end(started: New) -> None:
    """A group that ignores SIGTERM is killed when the grace is over; it leaves nothing behind."""
    stubborn = "trap '' TERM; (trap '' TERM; sleep 60) & echo ready; while true; do sleep 0.05; done"
    async with started(run=stubborn) as component:
        await until(component, "stdout. ready")
        group = component.pid
        assert group
        assert component.stop_grace_s == 5
        component.stop_grace_s = 0.1
    assert not group_is_alive(group)


async def test_shutdown_runs_before_the_signal(started: New) -> None:
    """The component may end itself in its own way; a shutdown that fails does not keep it alive."""
    async with started(run=FOREVER, shutdown="echo shutting down; exit 1") as component:
        await settled(component)
        group = component.pid
    assert "stdout. shutting down" in said(component)
    assert component.state == State.FINISHED
    assert not group_is_alive(group)


async def test_stop_while_starting_leaves_no_process(started: New) -> None:
    """Stopping at any moment of the first steps ends whatever had begun."""
    for _ in range(5):
        async with started(install="sleep 60") as component:
            await asyncio.sleep(0)
        assert component.state == State.FINISHED
        assert component.pid is None


async def test_output_is_logged_line_by_line(started: New) -> None:
    """stdout as INFO, stderr as WARN, an unended last line and bytes that are not UTF-8 included."""
    script = r"echo out; echo err >&2; printf 'bad \377 byte\n'; printf '%70000d\n' 1 | tr ' ' x; printf end"
    async with started(run=script) as component:
        await asyncio.wait_for(component.reached(State.FINISHED), 10)
    text = said(component)
    assert "[INFO] (edgehost) com.a: stdout. out. {scriptName=services.com.a.lifecycle.run.Script" in text
    assert "[WARN] (edgehost) com.a: stderr. err. {" in text
    assert "bad � byte" in text
    assert "stdout. end. {" in text
    assert text.count("x" * 60000) == 1


async def test_unknown_variable_at_run_time_is_an_error(started: New) -> None:
    """The log names it."""
    async with started(run="echo {work:none}") as component:
        await asyncio.wait_for(component.reached(State.BROKEN), 10)
        assert "unknown recipe variable {work:none}" in said(component)


async def test_errors_pass_through_the_states_of_the_nucleus(started: New) -> None:
    """ERRORED, where recover runs, then STOPPING, where shutdown runs, and from INSTALLED on again."""
    async with started(
        run="test -e fine && exit 0; exit 1", recover="echo recovering; touch fine", shutdown="true"
    ) as component:
        await asyncio.wait_for(component.reached(State.FINISHED), 10)
    assert "stdout. recovering. {scriptName=services.com.a.lifecycle.recover.Script" in said(component)
    assert transitions(component) == [
        "NEW -> INSTALLED",
        "INSTALLED -> STARTING",
        "STARTING -> RUNNING",
        "RUNNING -> ERRORED",
        "ERRORED -> STOPPING",
        "STOPPING -> INSTALLED",
        "INSTALLED -> STARTING",
        "STARTING -> RUNNING",
        "RUNNING -> STOPPING",
        "STOPPING -> FINISHED",
    ]


async def test_recover_that_fails_changes_nothing(started: New) -> None:
    """Nor does one that takes too long."""
    async with started(run="exit 1", recover=Step("sleep 60", 0.05, {})) as component:
        await asyncio.wait_for(component.reached(State.BROKEN), 20)
        assert said(component).count("[WARN] (edgehost) com.a: ERRORED: recover did not end") == 2
        assert component.pid is None


async def test_lite_waits_before_it_tries_again_and_before_it_kills(started: New) -> None:
    """A second after a failure, two minutes after SIGTERM; classic tries at once and kills after five seconds."""
    assert (LITE.upkeep.stop_grace_s, CLASSIC.upkeep.stop_grace_s) == (120, 5)
    async with started(upkeep=LITE.upkeep, run="exit 1") as component:
        await asyncio.wait_for(component.reached(State.ERRORED), 10)
        failed = asyncio.get_running_loop().time()
        await asyncio.wait_for(component.reached(State.STARTING), 10)
        assert asyncio.get_running_loop().time() - failed >= 0.9


async def test_run_that_takes_longer_than_its_timeout_is_an_error_on_classic(started: New) -> None:
    """The process is ended; on Lite Timeout says how long it may take to stop."""
    async with started(run=Step(FOREVER, 0.05, {})) as component:
        await asyncio.wait_for(component.reached(State.BROKEN), 20)
        assert "did not end within its Timeout of 0.05 s" in said(component)
    stubborn = "trap '' TERM; echo ready; while true; do sleep 0.05; done"
    async with started(upkeep=LITE_NOW, run=Step(stubborn, 0.3, {})) as component:
        await settled(component)
        assert component.stop_grace_s == 0.3
        await until(component, "stdout. ready")
        assert component.state == State.RUNNING
    assert not component.pid


@pytest.mark.parametrize(("code", "words"), [(100, "a restart of the nucleus"), (101, "a reboot")])
async def test_bootstrap_runs_once_and_may_ask_for_a_restart(started: New, code: int, words: str) -> None:
    """Before install; it is not repeated when the nucleus restarts."""
    async with started(
        bootstrap=f"echo strapping; exit {code}", install="echo installing", run=FOREVER
    ) as component:
        assert await settled(component) == State.RUNNING
        assert words in said(component)
        await component.stop()
        component.renew({"PATH": os.environ["PATH"]})
        component.start()
        assert await settled(component) == State.RUNNING
        assert said(component).count("stdout. strapping") == 1
        assert said(component).count("stdout. installing") == 2


async def test_install_is_not_repeated_when_lite_restarts(started: New) -> None:
    """Lite runs install's unit in deployments alone."""
    async with started(upkeep=LITE_NOW, install="echo installing", run=FOREVER) as component:
        await settled(component)
        await component.stop()
        component.renew({"PATH": os.environ["PATH"]})
        component.start()
        await settled(component)
        assert said(component).count("stdout. installing") == 1


@pytest.mark.parametrize(("upkeep", "installs"), [(CLASSIC.upkeep, 1), (LITE_NOW, 0)])
async def test_what_was_deployed_before_the_host_started_is_not_bootstrapped(
    started: New, upkeep: Upkeep, installs: int
) -> None:
    """Nor installed, on Lite."""
    scripts = {"bootstrap": "echo strapping", "install": "echo installing"}
    async with started(upkeep=upkeep, is_new=False, **scripts) as component:
        assert await settled(component) == State.FINISHED
        assert "stdout. strapping" not in said(component)
        assert said(component).count("stdout. installing") == installs


@pytest.mark.parametrize(
    ("condition", "skipped"),
    [
        ("onpath sh", True),
        ("onpath no-such-program", False),
        ("!onpath no-such-program", True),
        ("exists {work:path}", True),
        ("! exists /", False),
    ],
)
async def test_skipped_step_counts_as_done(started: New, condition: str, skipped: bool) -> None:
    """Skipif tells of programs and paths."""
    async with started(install=Step("echo installing", 10, {}, condition)) as component:
        assert await settled(component) == State.FINISHED
        assert ("stdout. installing" in said(component)) is not skipped


async def test_skipped_run_is_running_all_the_same(started: New) -> None:
    """As on classic: the component stays up without a process until it is stopped."""
    async with started(run=Step("echo running", None, {}, "exists /")) as component:
        assert await settled(component) == State.RUNNING
        assert component.pid is None
        await turns()
        assert component.state == State.RUNNING
    assert "stdout. running" not in said(component)


async def test_startup_ends_the_component_on_lite(started: New) -> None:
    """At its last line it tells systemd that it is ready, then that it stops; what it left is stopped too."""
    async with started(upkeep=LITE_NOW, startup="sleep 60 & echo group $$; false") as component:
        await asyncio.wait_for(component.reached(State.FINISHED), 10)
        (group,) = re.findall(r"stdout\. group (\d+)", said(component))
        assert not group_is_alive(int(group))
        assert "STARTING -> RUNNING" in transitions(component)


async def test_startup_that_exits_early_is_an_error_on_lite(started: New) -> None:
    """Even with 0, unless the component said RUNNING before."""
    async with started(upkeep=LITE_NOW, startup="exit 0") as component:
        await asyncio.wait_for(component.reached(State.BROKEN), 10)
        assert "startup exited with 0 before its last line" in said(component)
    async with started(upkeep=LITE_NOW, startup=FOREVER, timeout_s=30) as component:
        await asyncio.wait_for(component.reached(State.STARTING), 10)
        component.report(State.RUNNING)
        assert await settled(component) == State.RUNNING


async def test_reported_error_changes_nothing_on_lite(started: New) -> None:
    """It has no word for systemd."""
    async with started(upkeep=LITE_NOW, run=FOREVER) as component:
        await settled(component)
        component.report(State.ERRORED)
        await turns()
        assert component.state == State.RUNNING


@pytest.mark.parametrize(
    ("upkeep", "minutes", "too_many"),
    [
        (CLASSIC.upkeep, [0, 50, 100], True),
        (CLASSIC.upkeep, [0, 50, 111], False),
        (LITE.upkeep, [0, 20, 40], True),
        (LITE.upkeep, [0, 20, 70], False),
        (LITE.upkeep, [0, 70, 80], False),
    ],
)
def test_errors_are_forgotten(
    monkeypatch: pytest.MonkeyPatch, upkeep: Upkeep, minutes: list[int], too_many: bool
) -> None:
    """Classic: an hour after the last one. Lite: an hour after the first start."""
    now = 0.0
    monkeypatch.setattr("edgehost.upkeep.time.monotonic", lambda: now)
    errors = Errors(upkeep, 3)
    for minute in minutes:
        errors.begin()
        now = 60.0 * minute
        gave_up = errors.add(State.RUNNING)
    assert gave_up is too_many


async def test_errors_of_a_step_that_succeeds_are_forgotten_on_classic(started: New) -> None:
    """Two failures of startup, then a success: the next may fail twice again."""
    script = "echo . >> tries; case $(wc -l < tries) in 1|2|4|5) exit 1;; esac"
    async with started(startup=script) as component:
        assert await settled(component) == State.RUNNING
        component.report(State.ERRORED)
        await asyncio.wait_for(component.reached(State.STARTING), 10)
        assert await settled(component) == State.RUNNING


async def test_stop_as_a_step_ends_is_not_forgotten(started: New, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Python's wait_for makes of a cancellation that comes in the same turn."""
    ended = asyncio.Event()

    async def wait(_: ScriptProcess) -> int:
        await ended.wait()
        return 0

    async with started(install=Step("true", 30, {}), run=FOREVER) as component:
        monkeypatch.setattr(ScriptProcess, "wait", wait)
        while component.pid is None:
            await asyncio.sleep(0)
        await turns()
        ended.set()
        await asyncio.wait_for(component.stop(), 10)
        assert component.state == State.FINISHED
        assert "STARTING" not in said(component)


@pytest.mark.parametrize("state", [State.NEW, State.STARTING, State.ERRORED, State.STOPPING])
async def test_stop_in_any_state_leaves_nothing(started: New, state: State) -> None:
    """Whatever step is at work: its whole group is gone, and so is the one before."""
    work = "(trap '' HUP; sleep 60) & echo group $$;"
    linger = f"{work} wait"
    scripts = {
        State.NEW: {"install": linger},
        State.STARTING: {"startup": linger},
        State.ERRORED: {"run": f"{work} exit 1", "recover": linger},
        State.STOPPING: {"run": f"{work} exit 1", "shutdown": linger},
    }[state]
    async with started(timeout_s=30, **scripts) as component:
        expected = len(scripts)
        await asyncio.wait_for(component.reached(state), 10)
        await until(component, "stdout. group", expected)
    assert component.state == State.FINISHED
    assert component.pid is None
    groups = [int(group) for group in re.findall(r"stdout\. group (\d+)", said(component))]
    assert len(groups) == expected
    assert not any(group_is_alive(group) for group in groups)


async def test_what_no_environment_can_hold_is_an_error(started: New) -> None:
    """A zero byte that configuration brings into it."""
    async with started(run=Step("true", None, {"X": "{configuration:/Nothing}"})) as component:
        await asyncio.wait_for(component.reached(State.BROKEN), 10)
        assert "run could not be started" in said(component)


def test_variable_of_a_dependency(deploy: Deploying) -> None:
    """Its configuration and its paths; another component's are refused before anything is touched."""
    deploy.recipe("com.base", configuration={"Port": 80})
    deploy.recipe(
        "com.top",
        run=f"echo {{com.base:configuration:/Port}} {{com.base:work:path}}; {FOREVER}",
        dependencies={"com.base": "HARD"},
    )
    deploy("com.top", "com.base")
    said_so = f"stdout. 80 {deploy.bench.host.root}/work/com.base. {{"
    poll(lambda: said_so in deploy.log("com.top"), "it was told")
    deploy.recipe("com.stranger", run="echo {com.base:configuration:/Port}")
    with pytest.raises(DeploymentError, match=r"not deployed or not among ComponentDependencies"):
        deploy("com.stranger")
    assert "com.stranger" not in deploy.bench.host.components


@pytest.mark.parametrize("profile", [LITE])
def test_component_on_lite(deploy: Deploying) -> None:
    """Paths end with a slash, configuration is quoted; a brace of the shell's is refused first of all."""
    run = f'echo "{{work:path}}x {{configuration:/Price}}"; {FOREVER}'
    deploy.recipe("com.a", run=run, configuration={"Price": "$5"})
    deploy("com.a")
    said_so = f"stdout. {deploy.bench.host.root}/work/com.a/x $5. {{"
    poll(lambda: said_so in deploy.log("com.a"), "it was told")
    deploy.recipe("com.b", run="echo ${HOME}")
    with pytest.raises(DeploymentError, match=r"com\.b 1\.0\.0: '\{HOME\}' is no recipe variable"):
        deploy("com.b")
    assert "com.b" not in deploy.bench.host.components


async def test_what_it_reported_as_it_stopped_is_forgotten(started: New) -> None:
    """An ERRORED of before is no error of the process that is started next."""
    async with started(run=f"echo up; {FOREVER}") as component:
        await until(component, "up")
        await component.stop()
        component.report(State.ERRORED)
        component.start()
        await until(component, "up", 2)
        await turns()
        assert (component.state, component.errors) == (State.RUNNING, 0)


def test_log_takes_what_is_no_text(tmp_path: Path) -> None:
    """Half a character, as JSON may escape it, in whatever encoding the terminal has."""
    ComponentLog(tmp_path / "log", "com.a").event("INFO", "caf\u00e9 \ud83d")
    assert (tmp_path / "log").read_text(encoding="utf-8").endswith(" com.a: caf\u00e9 \\ud83d\n")


def test_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is full becomes NAME.log.1, and the one before it goes."""
    monkeypatch.setattr("edgehost.component_log.MAX_BYTES", 100)
    log = ComponentLog(tmp_path / "a.log", "com.a")
    for number in range(3):
        log.output("stdout", [f"line {number}", "x" * 100], "run")
    assert [path.name for path in tmp_path.iterdir()] == ["a.log.1"]
    assert "line 2" in (tmp_path / "a.log.1").read_text()
    log.event("INFO", "goes on")
    assert log.tail(1)[0].endswith("goes on")
