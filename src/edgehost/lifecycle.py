"""A component's life: install, startup, run, stop, restarts and BROKEN.

1. ``bootstrap`` and ``install`` run before the first start (on classic ``install`` again when the host starts), then
   ``startup`` or ``run``, once all that it depends on (HARD) are RUNNING or FINISHED.
2. RUNNING once ``run`` was started; once ``startup`` exited 0, or the component said so with UpdateState.
3. ``run`` that exits 0 makes it FINISHED, after ``shutdown``; so does having neither ``run`` nor ``startup``.
4. A step that fails makes it ERRORED; ``recover`` runs, what is left is stopped, and it is tried again. Too many
   errors make it BROKEN, and only a deployment or a restart by hand starts it again.
5. Stopping runs ``shutdown``, then sends SIGTERM to the process group, and SIGKILL after a while to what is left.

Sources: ``Lifecycle`` and ``GenericExternalService`` of the nucleus; of Greengrass Lite the units that
modules/recipe2unit writes, and what modules/recipe-runner appends to ``startup``. ``Upkeep`` holds what differs.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from edgehost.component_log import ComponentLog
from edgehost.process import ScriptProcess
from edgehost.recipe import Recipe, Step
from edgehost.state import SETTLED, Progress, State
from edgehost.upkeep import MAX_ERRORS, Errors, Upkeep
from edgehost.within import within

__all__ = ["MAX_ERRORS", "Component", "State", "StepFailedError", "Upkeep"]

# The bootstrap succeeded, and the nucleus or the device is to restart: Greengrass's own exit codes.
_BOOTSTRAPPED = {100: "a restart of the nucleus", 101: "a reboot of the device"}
# Tells the end of a startup script from an exit on the way.
_LAST_LINE = 213

# A step with its recipe variables replaced, by the configuration as it is now.
Fill = Callable[[Step], Step]


async def _none() -> None:
    """There is nothing to wait for."""


class StepFailedError(Exception):
    """A lifecycle step ended in failure, in the given state."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Component:
    """One deployed component; ``is_new`` unless it was deployed before the host started."""

    def __init__(
        self,
        recipe: Recipe,
        work: Path,
        log: ComponentLog,
        environment: Mapping[str, str],
        fill: Fill,
        upkeep: Upkeep,
        max_errors: int = MAX_ERRORS,
        dependencies: Callable[[], Awaitable[None]] = _none,
        *,
        is_new: bool = True,
    ) -> None:
        self.recipe = recipe
        self.log = log
        self._progress = Progress()
        self._upkeep = upkeep
        self.stop_grace_s = self._stop_grace_s()
        self._work = work
        self.environment = environment
        """Of the processes that are started from now on."""
        self._fill = fill
        self._dependencies = dependencies
        self._errors = Errors(upkeep, max_errors)
        self._bootstrapped = not is_new
        self._installed = not is_new and not upkeep.installs_again
        self._processes: list[ScriptProcess] = []
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
        return self._processes[-1].pid if self._processes else None

    @property
    def errors(self) -> int:
        """How many failures count towards BROKEN now, in whichever state they happened."""
        return len(self._errors)

    def renew(self, environment: Mapping[str, str]) -> None:
        """The nucleus restarts: use another environment, with a new token, from the next start on."""
        self.environment = environment
        self._installed = self._installed and not self._upkeep.installs_again

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
            await asyncio.wait((self._task,))
        if self.state == State.RUNNING or self._processes:
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
        if state != State.ERRORED or self._upkeep.heeds_errored:
            self._reported.put_nowait(state)

    def kill(self) -> None:
        """Kill its processes at once, as a crash."""
        for process in self._processes:
            process.kill()

    async def _live(self) -> None:
        try:
            await self._live_on()
        except Exception as error:
            # A defect of this host's: who waits for the component must not wait for ever.
            self.log.event("ERROR", f"the host failed: {error!r}")
            self._enter(State.BROKEN)
            raise

    async def _live_on(self) -> None:
        while True:
            try:
                await self._install()
                await self._dependencies()
                await self._run()
                return
            except StepFailedError as error:
                self.log.event("ERROR", f"{error.state.value}: {error}")
                if self._errors.add(error.state):
                    await self._break(error.state)
                    return
                self._enter(State.ERRORED)
                await self._recover(error.state)
                await asyncio.sleep(self._upkeep.retry_delay_s)

    async def _break(self, state: State) -> None:
        self.log.event("ERROR", f"{self._errors.most} errors in state {state.value}: BROKEN")
        await self._shut_down(run_script=state != State.NEW)
        self._enter(State.BROKEN)

    async def _recover(self, failed: State) -> None:
        """Run ``recover``, then stop what the failed step left."""
        await self._try("recover", State.ERRORED)
        if failed != State.NEW:
            self._enter(State.STOPPING)
        await self._shut_down(run_script=failed != State.NEW)

    async def _install(self) -> None:
        if not self._installed:
            self._enter(State.NEW)
            await self._bootstrap()
            self._check("install", await self._complete("install", State.NEW), State.NEW)
            self._installed = True
            self._errors.forget(State.NEW)
        self._enter(State.INSTALLED)

    async def _bootstrap(self) -> None:
        if self._bootstrapped:
            return
        code = await self._complete("bootstrap", State.NEW)
        if wish := _BOOTSTRAPPED.get(code):
            self.log.event(
                "WARN", f"bootstrap exited with {code}: it asks for {wish}, which is left out here"
            )
        else:
            self._check("bootstrap", code, State.NEW)
        self._bootstrapped = True

    async def _run(self) -> None:
        """Run ``startup`` or ``run``, and return when the component is FINISHED."""
        self._reported = asyncio.Queue()  # what it said on its way out is of no account any more
        self._enter(State.STARTING)
        if step := self.recipe.steps.get("startup"):
            await self._stay_up(step)
        elif step := self.recipe.steps.get("run"):
            process = await self._begin("run", step, State.STARTING)
            self._errors.forget(State.STARTING)
            self._enter(State.RUNNING)
            timeout_s = step.timeout_s if self._upkeep.limits_run and process else None
            self._check("run", await self._exit(process, timeout_s, State.RUNNING), State.RUNNING)
        else:
            self._enter(State.FINISHED)
            return
        self._enter(State.STOPPING)
        await self._shut_down(run_script=True)
        self._enter(State.FINISHED)

    async def _stay_up(self, step: Step) -> None:
        """Run ``startup``, and stay as long as the component is up."""
        process = await self._begin("startup", step, State.STARTING)
        code = await self._exit_or_report(process, step.timeout_s, State.STARTING)
        if not self._upkeep.notifies_startup or code not in (0, _LAST_LINE):
            self._check("startup", code, State.STARTING)
        elif code == 0:
            raise StepFailedError(
                State.STARTING,
                "startup exited with 0 before its last line, where it is to notify systemd: leave out the exit",
            )
        self._errors.forget(State.STARTING)
        self._enter(State.RUNNING)
        if code is None:
            code = await self._exit(process, None, State.RUNNING)
        if code == _LAST_LINE and self._upkeep.notifies_startup:
            return
        self._check("startup", code, State.RUNNING)
        # Whatever startup left in the background is the component now.
        await self._exit(None, None, State.RUNNING)

    async def _complete(self, name: str, state: State) -> int:
        """Run a step to its end; 0 where there is none or it is skipped. Raises StepFailedError if it is late."""
        step = self.recipe.steps.get(name)
        process = await self._begin(name, step, state) if step else None
        if not step or not process:
            return 0
        try:
            code = await within(step.timeout_s, process.wait())
        except asyncio.TimeoutError:
            raise StepFailedError(state, _late(name, step.timeout_s)) from None
        await self._end(process)
        return code

    async def _try(self, name: str, state: State) -> None:
        """Run a step to its end, whose failure changes nothing."""
        try:
            self._check(name, await self._complete(name, state), state)
        except StepFailedError as error:
            self.log.event("WARN", f"{state.value}: {error}")

    async def _exit(self, process: ScriptProcess | None, timeout_s: float | None, state: State) -> int:
        """The exit code; for ever where there is no process. Raises StepFailedError if it reports ERRORED before."""
        while (code := await self._exit_or_report(process, timeout_s, state)) is None:
            pass
        return code

    async def _exit_or_report(
        self, process: ScriptProcess | None, timeout_s: float | None, state: State
    ) -> int | None:
        """The exit code, or None where the component reported RUNNING before."""
        reported = asyncio.ensure_future(self._reported.get())
        ended = asyncio.ensure_future(process.wait()) if process else None
        try:
            done, _ = await asyncio.wait(
                (ended, reported) if ended else (reported,),
                timeout=timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            reported.cancel()
            if ended:
                ended.cancel()
        if ended and ended in done:
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

    async def _begin(self, name: str, step: Step, state: State) -> ScriptProcess | None:
        """Start a step's process and make it the component's; None where its Skipif holds."""
        self._errors.begin()
        starting = asyncio.ensure_future(self._spawn(name, step, state))
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The process is on its way: whoever cancelled must be able to stop it.
            if process := await starting:
                self._processes.append(process)
            raise
        if process:
            self._processes.append(process)
        return process

    async def _spawn(self, name: str, step: Step, state: State) -> ScriptProcess | None:
        try:
            self._work.mkdir(parents=True, exist_ok=True)
            filled = self._fill(step)
            if filled.skip_if and _holds(filled.skip_if):
                self.log.event("INFO", f"{name} is skipped: {filled.skip_if}")
                return None
            return await ScriptProcess.start(
                f"{filled.script}\nexit {_LAST_LINE}\n"
                if name == "startup" and self._upkeep.notifies_startup
                else filled.script,
                {**self.environment, **filled.environment},
                self._work,
                lambda stream, lines: self.log.output(stream, lines, name),
            )
        # ValueError: a variable without a value, or what no environment can hold, such as a zero byte.
        except (OSError, ValueError) as error:
            raise StepFailedError(state, f"{name} could not be started: {error}") from error

    async def _shut_down(self, *, run_script: bool) -> None:
        if run_script:
            await self._try("shutdown", State.STOPPING)
        for process in list(self._processes):
            await self._end(process)

    async def _end(self, process: ScriptProcess) -> None:
        """Stop a process and what it left behind. Who is cancelled on the way still has it to stop."""
        await process.stop(self.stop_grace_s)
        if process in self._processes:
            self._processes.remove(process)

    def _stop_grace_s(self) -> float:
        run = self.recipe.steps.get("run")
        if run and run.timeout_s is not None and not self._upkeep.limits_run:
            return run.timeout_s
        return self._upkeep.stop_grace_s

    def _enter(self, state: State) -> None:
        if state != self.state:
            self.log.event("INFO", f"{self.state.value} -> {state.value}")
        self._progress.enter(state)


def _late(name: str, timeout_s: float | None) -> str:
    return f"{name} did not end within its Timeout of {timeout_s:g} s"


def _holds(condition: str) -> bool:
    """Whether a Skipif holds. Source: ``GenericExternalService.shouldSkip``."""
    kind, _, subject = condition.strip().removeprefix("!").strip().partition(" ")
    subject = subject.strip()
    found = shutil.which(subject) is not None if kind == "onpath" else Path(subject).expanduser().exists()
    return found != condition.strip().startswith("!")
