"""A component's life: install, startup, run, stop, restarts and BROKEN, as the classic nucleus does it.

1. ``install`` runs before the first start (and again when the host starts), then ``startup`` or ``run``, once all
   that it depends on (HARD) are RUNNING or FINISHED.
2. RUNNING once ``run`` was started; once ``startup`` exited 0, or the component said so with UpdateState.
3. ``run`` that exits 0 makes it FINISHED, as does having neither ``run`` nor ``startup``.
4. A step that fails makes it ERRORED and is tried again at once. Three errors in one state, less than an hour apart,
   make it BROKEN, and only a deployment or a restart by hand starts it again.
5. Stopping runs ``shutdown``, then sends SIGTERM to the process group, and SIGKILL after 5 s to what is left.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgehost.component_log import ComponentLog
from edgehost.process import ScriptProcess
from edgehost.recipe import Recipe, Step
from edgehost.state import SETTLED, Progress, State
from edgehost.variables import VariableError

__all__ = ["MAX_ERRORS", "Component", "State", "StepFailedError", "Upkeep"]

MAX_ERRORS = 3
_ERROR_MEMORY_S = 3600


# Replaces the recipe variables of a script or an environment value, with the configuration as it is now.
Interpolate = Callable[[str], str]


async def _none() -> None:
    """There is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """How a nucleus keeps components up and stops them, where the two differ. Seconds."""

    retry_delay_s: float = 0.0
    """How long after a failure a component is started again."""
    stop_grace_s: float = 5.0
    """How long after SIGTERM SIGKILL follows."""


class StepFailedError(Exception):
    """A lifecycle step ended in failure, in the given state."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Component:
    """One deployed component."""

    def __init__(
        self,
        recipe: Recipe,
        work: Path,
        log: ComponentLog,
        environment: Mapping[str, str],
        interpolate: Interpolate,
        upkeep: Upkeep,
        max_errors: int = MAX_ERRORS,
        dependencies: Callable[[], Awaitable[None]] = _none,
    ) -> None:
        self.recipe = recipe
        self.log = log
        self._progress = Progress()
        self.max_errors = max_errors
        self._upkeep = upkeep
        self.stop_grace_s = upkeep.stop_grace_s
        self._work = work
        self._environment = environment
        self._interpolate = interpolate
        self._dependencies = dependencies
        self._errors: dict[State, list[float]] = {}
        self._installed = False
        self._process: ScriptProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._reported: asyncio.Queue[State] = asyncio.Queue()

    @property
    def name(self) -> str:
        """The component's name."""
        return self.recipe.name

    @property
    def state(self) -> State:
        """Its lifecycle state now."""
        return self._progress.state

    @property
    def pid(self) -> int | None:
        """The process id of the step that runs now."""
        return self._process.pid if self._process else None

    @property
    def errors(self) -> int:
        """How many failures count towards BROKEN now, in whichever state they happened."""
        return sum(map(len, self._errors.values()))

    def renew(self, environment: Mapping[str, str]) -> None:
        """Use another environment from the next start on, with a new token, and install again before it."""
        self._environment = environment
        self._installed = False

    def start(self) -> None:
        """Begin, or begin anew after a stop or BROKEN; earlier errors are forgotten."""
        if self._task and not self._task.done():
            return
        self._errors.clear()
        self._progress.enter(State.INSTALLED if self._installed else State.NEW)
        self._task = asyncio.get_running_loop().create_task(self._live())

    async def stop(self) -> None:
        """Stop it and wait until nothing of it runs."""
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self.state == State.RUNNING or self._process:
            ran = self.state in (State.STARTING, State.RUNNING)
            self._enter(State.STOPPING)
            await self._shut_down(run_script=ran)
        self._enter(State.FINISHED)

    async def settled(self) -> State:
        """Wait for RUNNING, FINISHED or BROKEN."""
        return await self._progress.one_of(SETTLED)

    async def reached(self, state: State) -> None:
        """Wait for a state, also one that passes at once."""
        await self._progress.one_of(frozenset({state}))

    async def one_of(self, states: Iterable[State]) -> State:
        """Wait for one of the states, which may be the one now."""
        return await self._progress.one_of(frozenset(states))

    def report(self, state: State) -> None:
        """The component says it is RUNNING or ERRORED."""
        self._reported.put_nowait(state)

    def kill(self) -> None:
        """Kill its processes at once, as a crash."""
        if self._process:
            self._process.kill()

    async def _live(self) -> None:
        while True:
            try:
                await self._install()
                await self._dependencies()
                await self._start_up()
                await self._run()
                return
            except StepFailedError as error:
                self.log.event("ERROR", f"{error.state.value}: {error}")
                await self._shut_down(run_script=error.state != State.NEW)
                if self._give_up(error.state):
                    self.log.event("ERROR", f"{self.max_errors} errors in state {error.state.value}: BROKEN")
                    self._enter(State.BROKEN)
                    return
                self._enter(State.ERRORED)
                await asyncio.sleep(self._upkeep.retry_delay_s)

    def _give_up(self, state: State) -> bool:
        now = time.monotonic()
        recent = [at for at in self._errors.get(state, []) if now - at < _ERROR_MEMORY_S]
        self._errors[state] = [*recent, now]
        return len(self._errors[state]) >= self.max_errors

    async def _install(self) -> None:
        if not self._installed:
            self._enter(State.NEW)
            await self._complete("install", State.NEW)
            self._installed = True
        self._enter(State.INSTALLED)

    async def _start_up(self) -> None:
        """Run ``startup``, and stay as long as the component is up; without that step, return at once."""
        if not (step := self.recipe.steps.get("startup")):
            return
        self._enter(State.STARTING)
        process = await self._begin("startup", step, State.STARTING)
        code = await self._exit_or_report(process, step.timeout_s, State.STARTING)
        self._check("startup", code, State.STARTING)
        self._enter(State.RUNNING)
        while code is None:
            code = await self._exit_or_report(process, None, State.RUNNING)
        self._check("startup", code, State.RUNNING)
        # Whatever startup left in the background is the component now.
        while await self._reported.get() != State.ERRORED:
            pass
        raise StepFailedError(State.RUNNING, "the component reported ERRORED")

    async def _run(self) -> None:
        if step := self.recipe.steps.get("run"):
            self._enter(State.STARTING)
            process = await self._begin("run", step, State.STARTING)
            self._enter(State.RUNNING)
            while (code := await self._exit_or_report(process, step.timeout_s, State.RUNNING)) is None:
                pass
            self._check("run", code, State.RUNNING)
            await self._end_process()
        self._enter(State.FINISHED)

    async def _complete(self, name: str, state: State) -> None:
        """Run a step to its end. Raises StepFailedError unless it exits 0 in time."""
        if step := self.recipe.steps.get(name):
            process = await self._begin(name, step, state)
            try:
                code = await asyncio.wait_for(process.wait(), step.timeout_s)
            except asyncio.TimeoutError:
                raise StepFailedError(state, _late(name, step.timeout_s)) from None
            self._check(name, code, state)
            await self._end_process()

    async def _exit_or_report(
        self, process: ScriptProcess, timeout_s: float | None, state: State
    ) -> int | None:
        """The exit code, or None where the component reported RUNNING before."""
        ended = asyncio.ensure_future(process.wait())
        reported = asyncio.ensure_future(self._reported.get())
        try:
            done, _ = await asyncio.wait(
                (ended, reported), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ended.cancel()
            reported.cancel()
        if ended in done:
            return ended.result()
        if not done:
            raise StepFailedError(state, _late("it", timeout_s))
        if reported.result() == State.ERRORED:
            raise StepFailedError(state, "the component reported ERRORED")
        return None

    def _check(self, name: str, code: int | None, state: State) -> None:
        if code:
            cause = f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
            raise StepFailedError(state, f"{name} {cause}")

    async def _begin(self, name: str, step: Step, state: State) -> ScriptProcess:
        """Start a step's process and make it the component's."""
        starting = asyncio.ensure_future(self._spawn(name, step, state))
        try:
            self._process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The process is on its way: whoever cancelled must be able to stop it.
            self._process = await starting
            raise
        return self._process

    async def _spawn(self, name: str, step: Step, state: State) -> ScriptProcess:
        try:
            script = self._interpolate(step.script)
            environment = {key: self._interpolate(value) for key, value in step.environment.items()}
            self._work.mkdir(parents=True, exist_ok=True)
            return await ScriptProcess.start(
                script,
                {**self._environment, **environment},
                self._work,
                lambda stream, line: self.log.output(stream, line, name),
            )
        except (OSError, VariableError) as error:
            raise StepFailedError(state, f"{name} could not be started: {error}") from error

    async def _end_process(self) -> None:
        """Stop what the step's process left behind."""
        process, self._process = self._process, None
        if process:
            await process.stop(self.stop_grace_s)

    async def _shut_down(self, *, run_script: bool) -> None:
        main, self._process = self._process, None
        if run_script:
            try:
                await self._complete("shutdown", State.STOPPING)
            except StepFailedError as error:
                self.log.event("WARN", f"STOPPING: {error}")
                await self._end_process()
        if main:
            await main.stop(self.stop_grace_s)

    def _enter(self, state: State) -> None:
        if state != self.state:
            self.log.event("INFO", f"{self.state.value} -> {state.value}")
        self._progress.enter(state)


def _late(name: str, timeout_s: float | None) -> str:
    return f"{name} did not end within its Timeout of {timeout_s:g} s"
