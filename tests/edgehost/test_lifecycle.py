"""A component's life, with tiny shell scripts as components."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from edgehost.component_log import ComponentLog
from edgehost.lifecycle import Component, Upkeep
from edgehost.process import group_is_alive
from edgehost.recipe import Recipe, Step
from edgehost.state import State
from edgehost.variables import interpolate

FOREVER = "while true; do sleep 0.05; done"
New = Callable[..., AbstractAsyncContextManager[Component]]


@pytest.fixture
def started(tmp_path: Path) -> New:
    """Start a component of the given steps; it is stopped at the end of the block."""

    @asynccontextmanager
    async def start(timeout_s: float | None = None, **scripts: str):
        steps = {name: Step(script, timeout_s, {}) for name, script in scripts.items()}
        log = ComponentLog(tmp_path / "log", "com.a")
        variables = {"work:path": str(tmp_path / "work")}
        component = Component(
            Recipe("com.a", "1.0.0", steps=steps),
            tmp_path / "work",
            log,
            {"PATH": os.environ["PATH"], "GREETING": "hello"},
            lambda text: interpolate(text, variables, {}),
            Upkeep(),
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


async def until(component: Component, text: str) -> None:
    """Wait for the component to log something."""

    async def look() -> None:
        while not (component.log.path.exists() and text in said(component)):
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), 10)


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
    """Done is not an error."""
    async with started(run="true") as component:
        await asyncio.wait_for(component.reached(State.FINISHED), 10)
        assert component.pid is None


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
