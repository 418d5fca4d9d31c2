"""The simulated core device: one object that holds the IPC server, the broker and the components."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import shutil
import tempfile
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from edgehost.broker import EMBEDDED, BrokerAddress, EmbeddedBroker, parse_url
from edgehost.components import STEADY_S, Components
from edgehost.configuration import ConfigurationStore, plain
from edgehost.deployed import StateFile
from edgehost.deployment import Deployer, Policy, Request
from edgehost.environment import Surroundings
from edgehost.faults import Faults
from edgehost.ipc import IpcServer
from edgehost.leftovers import end_leftovers
from edgehost.lifecycle import MAX_ERRORS, Component
from edgehost.packages import Layout
from edgehost.profile import CLASSIC, Profile
from edgehost.store import ComponentStore
from edgehost.tokens import Tokens

log = logging.getLogger(__name__)

DEFAULT_THING_NAME = "edgehost-1"
# sockaddr_un holds 108 bytes, the last of them a zero.
_MAX_SOCKET_PATH_BYTES = 107


class RootInUseError(Exception):
    """Another host runs under the same root."""


class UnknownComponentError(LookupError):
    """No component of that name is deployed."""


class EdgeHost:
    """A Greengrass core device in this process, under ``root``; an async context manager.

    ``profile`` is the nucleus it plays. ``broker`` is ``embedded`` or ``mqtt://HOST:PORT``. What it keeps lives under
    ``root`` as on a real device: ``work/``, ``packages/``, ``logs/``, ``config/``; what is deployed there starts with
    it. A component is BROKEN after ``max_errors`` in one state. A deployment has succeeded when what it started has
    run for ``steady_s``.
    """

    def __init__(
        self,
        root: Path,
        *,
        profile: Profile = CLASSIC,
        broker: str = EMBEDDED,
        thing_name: str = DEFAULT_THING_NAME,
        max_errors: int = MAX_ERRORS,
        steady_s: float = STEADY_S,
    ) -> None:
        self.profile = profile
        self.root = Path(root).absolute()
        self.thing_name = thing_name
        self.socket_path = self.root / "ipc.socket"
        self.broker = EmbeddedBroker() if broker == EMBEDDED else None
        self._address = EmbeddedBroker().address if self.broker else parse_url(broker)
        self._max_errors = max_errors
        self._steady_s = steady_s
        self.tokens = Tokens(keeps=profile.keeps_tokens)
        self.components: dict[str, Component] = {}
        self._deploying = asyncio.Lock()
        self._deployments: set[asyncio.Task[None]] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._exit = contextlib.AsyncExitStack()

    async def __aenter__(self) -> EdgeHost:
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    @property
    def broker_url(self) -> str:
        """Where the broker that plays IoT Core listens."""
        return self._address.url

    @property
    def broker_address(self) -> BrokerAddress:
        """How to connect to it."""
        return self._address

    def void_tokens(self) -> None:
        """No token issued until now is good any more; a process that is started from now on gets another."""
        self.tokens.void()
        self._components.renew_environments()

    def authorize(self, component: str, service: str, operation: str, resource: str) -> bool:
        """Whether the component's accessControl, as it is in its configuration now, allows the operation."""
        found = self.configuration.find(component, ("accessControl",))
        access_control = plain(found[1]) if found else None
        return self.profile.is_allowed(
            access_control, service, operation, resource, self._policy_variables(component)
        )

    async def deploy(
        self,
        recipes: Path | None,
        artifacts: Path | None,
        versions: Mapping[str, str],
        config: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        remove: Iterable[str] = (),
        policy: Policy = "rollback",
        answer_timeout_s: float = 60.0,
    ) -> None:
        """Deploy components by name and version and wait until they are up. Raises DeploymentError.

        ``versions`` adds or replaces root components, ``remove`` takes some away; those of earlier deployments stay.
        ``config`` is merged into the components' configuration; one written ``{"MERGE": {…}, "RESET": ["/pointer"]}``
        is set back to the defaults at these JSON pointers first. ``policy`` is what becomes of a deployment that
        fails: ``rollback`` to what was there before, or ``nothing``. ``answer_timeout_s`` bounds how long components
        that subscribed to updates or to validation may take to answer, each time.
        """
        request = Request(
            recipes and Path(recipes),
            artifacts and Path(artifacts),
            versions,
            config or {},
            tuple(remove),
            policy,
            answer_timeout_s,
        )
        # Whoever waits for it may go away; it is carried out to its end all the same.
        deployment = asyncio.ensure_future(self._deploy(request))
        self._deployments.add(deployment)
        deployment.add_done_callback(self._deployment_over)
        await asyncio.shield(deployment)

    @property
    def is_deploying(self) -> bool:
        """Whether a deployment is under way, or waits for its turn."""
        return bool(self._deployments)

    async def configure(self, name: str, values: Mapping[str, Any]) -> None:
        """Deploy configuration alone, to a component that is deployed. Raises what ``deploy`` does."""
        self.component(name)
        await self.deploy(None, None, {}, {name: values})

    def last_deployment(self) -> Mapping[str, Any] | None:
        """The last deployment's ``id``, ``time`` (ISO 8601), ``status`` and ``cause``; None where there was none."""
        return self._deployer.deployed.last

    def status(self) -> list[dict[str, Any]]:
        """Name, version, state, process id, failures, log of each component, and whether it is a root component."""
        return [
            {
                "name": component.name,
                "version": component.recipe.version,
                "state": component.state.value,
                "pid": component.pid,
                "errors": component.errors,
                "is_root": component.name in self._deployer.deployed.roots,
                "log": str(component.log.path),
            }
            for component in self.components.values()
        ]

    def find_component(self, name: str) -> Component | None:
        """A deployed component, None if there is none of that name."""
        return self.components.get(name)

    def component(self, name: str) -> Component:
        """A deployed component. Raises UnknownComponentError."""
        if name not in self.components:
            known = ", ".join(self.components) or "none"
            raise UnknownComponentError(f"{name} is not deployed on this host; deployed: {known}")
        return self.components[name]

    async def start_component(self, name: str) -> None:
        """Start a component that is stopped or BROKEN, and wait until it is RUNNING, FINISHED or BROKEN."""
        async with self._components.changing:
            self.component(name).start()
        await self._components.settled(name)

    async def stop_component(self, name: str) -> None:
        """Stop a component and wait until nothing of it runs."""
        async with self._components.changing:
            await self.component(name).stop()

    async def restart_component(self, name: str) -> None:
        """Stop a component, start it again, and wait until it is RUNNING, FINISHED or BROKEN.

        Those that HARD-depend on it stop before it and start again after it.
        """
        self.component(name)
        await self._components.restart(name)

    def in_background(self, work: Coroutine[Any, Any, None], purpose: str) -> None:
        """Do what a request asks for and does not wait for; a failure is logged, the host's end ends it."""

        def finish(task: asyncio.Task[None]) -> None:
            self._background.discard(task)
            if not task.cancelled() and (error := task.exception()):
                log.error("could not %s: %s", purpose, error)

        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(finish)

    async def restart(self) -> None:
        """Restart the nucleus: components stop, connections and the spool are lost, what is deployed starts anew.

        Waits until every component is RUNNING, FINISHED or BROKEN, or waits for one that is BROKEN.
        """
        async with self._deploying:
            async with self._components.changing:
                await self._components.stop(self.components)
                await self.ipc.stop()
                await self.iot_core.restart()
                self.faults.clear()
                self.tokens.void()
                await self.ipc.start()
                for name in self.components:
                    self._components.renew(name)
                self._components.start(self.components)
            for name in self.components:
                await self._components.settled(name)

    async def _deploy(self, request: Request) -> None:
        async with self._deploying:
            await self._deployer.deploy(request)

    def _policy_variables(self, component: str) -> dict[str, str]:
        """The recipe variables that a component's accessControl may hold."""
        return {
            "{iot:thingName}": self.thing_name,
            "{kernel:rootPath}": str(self.root),
            "{work:path}": f"{Layout(self.root).work(component)}/",
        }

    def _deployment_over(self, deployment: asyncio.Task[None]) -> None:
        self._deployments.discard(deployment)
        if not deployment.cancelled() and (error := deployment.exception()):
            # whoever asked for it may be gone
            log.warning("a deployment failed: %s", str(error).partition("\n")[0])

    async def _start(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock_root()
        await end_leftovers(self.root)
        if self.broker:
            await self.broker.start()
            self._exit.push_async_callback(self.broker.stop)
            self._address = self.broker.address
        state, store = self._recovered(path := self.root / "config" / "configuration.json")
        self.configuration = ConfigurationStore(path, ignores_key_case=self.profile.ignores_key_case)
        self.services = self.profile.serve(self, self._address)
        self.iot_core = self.services.iot_core
        await self._start_ipc()
        self.iot_core.start()
        self._exit.push_async_callback(self.iot_core.stop)
        if self.broker:
            await self.iot_core.online.wait()
        self._components = Components(
            self.components,
            self.profile,
            Surroundings(self.root, self.thing_name, self.socket_path, self.tokens, self.profile.version),
            self.configuration,
            self._max_errors,
            self._steady_s,
        )
        self._deployer = Deployer(
            self.profile, self._components, self.configuration, self.services.consultation, store, state
        )
        self._exit.push_async_callback(self._stop)
        self._deployer.start()

    def _recovered(self, configuration: Path) -> tuple[StateFile, ComponentStore]:
        """What is deployed, after what an earlier host left undone was rolled back."""
        layout = Layout(self.root)
        store = ComponentStore(layout, self.profile.rules)
        state = StateFile(layout)
        if interrupted := state.recover(store, configuration):
            log.warning("the host had ended during deployment %s, which was rolled back now", interrupted)
        return state, store

    async def _stop(self) -> None:
        """Leave a deployment where it is, to be rolled back at the next start, and stop the components."""
        under_way = self._background | self._deployments
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._components.stop(self.components)

    def _lock_root(self) -> None:
        lock = self._exit.enter_context((self.root / ".lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RootInUseError(
                f"a host runs under {self.root} already; stop it, or choose another root"
            ) from error

    async def _start_ipc(self) -> None:
        self.socket_path = self._short_socket_path()
        self.faults = Faults(self, self.profile.daemons)
        operations = {name: self.faults.around(handler) for name, handler in self.services.operations.items()}
        self.ipc = IpcServer(self.socket_path, self.tokens.owner, operations, self.profile.wire)
        await self.ipc.start()
        self._exit.push_async_callback(self.ipc.stop)

    def _short_socket_path(self) -> Path:
        # control.socket, the longer name, is to be beside it
        if len(bytes(self.root / "control.socket")) <= _MAX_SOCKET_PATH_BYTES:
            return self.root / "ipc.socket"
        directory = tempfile.mkdtemp(prefix="edgehost-")
        self._exit.callback(shutil.rmtree, directory, ignore_errors=True)
        return Path(directory) / "ipc.socket"
