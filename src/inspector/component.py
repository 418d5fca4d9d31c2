"""The long-running component: puts the parts together, stays up when one is missing, says how it is.

1. Everything from outside arrives in one mailbox and is handled in one thread.
2. What is missing (Greengrass, a valid configuration, the ledger, the model, the image directory) leaves the
   component ``blocked``, with a reason, and is tried again; only what a restart must mend ends the process.
3. A valid change of configuration takes effect between two frames: the line stops in order and starts anew.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from inspector import __version__
from inspector.assembly import assemble
from inspector.core import command as commands
from inspector.core.message import Status, StatusEvent, topic
from inspector.core.naming import rfc3339
from inspector.core.settings import Settings, SettingsError, parse
from inspector.examiner import Judged
from inspector.line import Line
from inspector.office import Office
from inspector.ports import Blocked, Denied, Refused, Unreachable
from inspector.shell import greengrass as ipc
from inspector.shell.detector import Detector, PackageError, load
from inspector.shell.greengrass import Greengrass
from inspector.tally import Tally

log = logging.getLogger(__name__)

TICK_S = 0.25
RETRY_S = 2.0
"""How often what is missing is tried again."""
POLL_S = 30.0
"""How often the configuration is read unasked: Greengrass Lite loses subscriptions silently."""

_IPC_ERRORS = (Unreachable, Denied, Refused)


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The process was told to stop."""


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """A thread ended by an exception."""

    error: Exception


Mail = StopRequested | WorkFailed | ipc.Event


class Every:
    """Is due at once, then every ``interval_s``."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._next_s = 0.0

    def is_due(self) -> bool:
        """Whether it is time; if so, the next time is an interval from now."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """The next time is an interval from now."""
        self._next_s = time.monotonic() + self.interval_s


class Component:
    """The component of one thing, in one work directory. ``mail`` is filled by signal handlers and threads."""

    def __init__(self, work: Path, thing: str, mail: queue.SimpleQueue[Mail]) -> None:
        self._work = work
        self._thing = thing
        self._mail = mail
        self._greengrass = Greengrass(mail.put)
        self._is_connected = False
        self._configuration: Mapping[str, Any] | None = None
        self._settings: Settings | None = None
        self._settings_errors: tuple[str, ...] = ()
        self._office: Office | None = None
        self._detector: Detector | None = None
        self._model_path: Path | None = None
        self._line: Line | None = None
        self._blocked: str | None = None
        self._tally = Tally()
        self._retry, self._poll, self._status = Every(RETRY_S), Every(POLL_S), Every(60.0)
        self._lock: int | None = None

    def run(self) -> int:
        """Work until told to stop; return the exit status: 0, or 1 where a restart must mend something."""
        try:
            while True:
                self._advance()
                try:
                    mail = self._mail.get(timeout=TICK_S)
                except queue.Empty:
                    continue
                if isinstance(mail, StopRequested):
                    return 0
                self._handle(mail)
        except ipc.TokenRefusedError as error:
            log.critical(
                "stopping", extra={"cause": str(error), "fix": "none needed: Greengrass starts it anew"}
            )
            return 1
        finally:
            self._shut_down()

    def _handle(self, mail: Mail) -> None:
        match mail:
            case WorkFailed(Blocked() as reason):
                self._dismantle()
                self._block(reason)
            case WorkFailed(error):
                raise error
            case ipc.ConfigurationChanged():
                self._read_configuration()
            case ipc.ValidationRequested(deployment_id, configuration):
                self._validate(deployment_id, configuration)
            case ipc.CommandReceived(payload):
                self._obey(payload)
            case ipc.ConnectionLost(cause):
                self._is_connected = False
                log.warning("connection to Greengrass lost", extra={"cause": cause})

    def _advance(self) -> None:
        """Do what is due; try again what is missing, in the order in which one part needs the other."""
        is_complete = self._is_connected and self._line is not None
        if not is_complete and self._retry.is_due():
            try:
                self._complete()
            except Blocked as reason:
                self._block(reason)
        if self._is_connected and self._poll.is_due():
            self._read_configuration()
        if self._line and self._has_model_moved():
            self._change_model()
        if self._status.is_due():
            self._publish_status("interval")

    def _complete(self) -> None:
        self._take_lock()
        if not self._is_connected:
            self._connect()
        if self._settings is None:
            self._read_configuration()
        if self._settings is None:
            errors = "; ".join(self._settings_errors) or "Greengrass does not answer"
            raise Blocked("configuration", errors, "deploy a valid one")
        if self._office is None:
            self._office = Office(self._work, self._thing, self._settings, self._greengrass, self._failed)
        if self._detector is None:
            self._model_path = self._find_model()
            self._detector = self._load(self._model_path, self._settings)
        if self._line is None:
            self._start_line(self._settings, self._office, self._detector)

    def _take_lock(self) -> None:
        """A process that outlived its nucleus may still work in this directory; there must be one at a time."""
        if self._lock is not None:
            return
        lock = os.open(self._work / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise Blocked(
                f"work directory {self._work}", "another inspector works in it", "stop that one"
            ) from error
        self._lock = lock

    def _connect(self) -> None:
        """Connect and subscribe. While the line runs, a missing connection does not stop it."""
        try:
            self._greengrass.connect()
            self._is_connected = True
            self._read_configuration()
            prefix = self._settings.topic_prefix if self._settings else "inspect"
            self._greengrass.listen(topic(prefix, self._thing, "commands"))
            self._greengrass.report_running()
        except _IPC_ERRORS as error:
            log.warning("not connected to Greengrass", extra={"cause": str(error), "retry_s": RETRY_S})
        else:
            log.info("connected to Greengrass", extra={"thing": self._thing})
        if self._office and self._is_connected:
            self._office.reconnected()

    def _read_configuration(self) -> None:
        """Apply the configuration where it changed and is valid; otherwise the last valid one stays."""
        try:
            configuration = self._greengrass.configuration()
        except _IPC_ERRORS as error:
            log.warning("configuration not read", extra={"cause": str(error), "retry_s": POLL_S})
            return
        if configuration == self._configuration:
            return
        self._configuration = configuration
        try:
            settings, warnings = parse(configuration)
        except SettingsError as error:
            self._settings_errors = error.errors
            log.error("configuration refused", extra={"errors": "; ".join(error.errors)})
            self._publish_status("configuration")
            return
        self._settings_errors = ()
        for warning in warnings:
            log.warning("configuration", extra={"warning": warning})
        self._apply(settings)

    def _apply(self, settings: Settings) -> None:
        if settings == self._settings:
            return
        is_change = self._settings is not None
        self._dismantle()
        self._settings = settings
        self._status.interval_s = settings.status_interval_seconds
        logging.getLogger().setLevel(settings.log_level)
        log.info("configuration applied", extra={"changed": is_change})

    def _validate(self, deployment_id: str, configuration: Mapping[str, Any]) -> None:
        """Tell a deployment whether its configuration would do; nothing is applied."""
        errors: tuple[str, ...] = ()
        try:
            parse(configuration)
        except SettingsError as error:
            errors = error.errors
        try:
            self._greengrass.report_validity(deployment_id, errors)
        except _IPC_ERRORS as error:
            log.warning("validity not reported", extra={"deployment": deployment_id, "cause": str(error)})

    def _obey(self, payload: bytes) -> None:
        """Carry out a command and answer it."""
        request, error, results = None, None, 0
        try:
            command = commands.parse(payload)
            request = command.request
            if isinstance(command, commands.StatusRequest):
                self._publish_status("requested")
            elif self._office:
                results = self._office.resend(command)
            else:
                error = "the ledger is not open: " + (self._blocked or "starting")
        except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as problem:
            error = str(problem)
        response = commands.Response("edge-inspector/response/1", self._thing, request, error, results)
        self._publish("commands/response", response)

    def _find_model(self) -> Path:
        """Where the model directory points now: ``current`` is a symlink that a deployment moves."""
        assert self._settings is not None
        return (self._work / self._settings.model_directory).resolve()

    def _load(self, path: Path, settings: Settings) -> Detector:
        return load(path, precision=settings.precision, threads=settings.inference_threads)

    def _has_model_moved(self) -> bool:
        return self._find_model() != self._model_path

    def _change_model(self) -> None:
        """Load the model that was deployed; one that fails is refused, and the old one goes on."""
        assert self._settings is not None
        self._model_path = self._find_model()
        try:
            detector = self._load(self._model_path, self._settings)
        except PackageError as error:
            log.error("new model refused, the old one goes on", extra={"cause": str(error)})
            return
        self._stop_line()
        self._detector = detector
        log.info("model changed", extra=_model(detector))
        self._publish_status("model")

    def _start_line(self, settings: Settings, office: Office, detector: Detector) -> None:
        self._line = assemble(self._work, self._thing, settings, detector, office, self._report, self._failed)
        self._line.start()
        event: StatusEvent = "unblocked" if self._blocked else "start"
        self._blocked = None
        log.info("inspecting", extra={"images": settings.image_directory} | _model(detector))
        self._publish_status(event)

    def _report(self, judged: Judged) -> None:
        self._tally.add(judged, time.monotonic())
        if self._office:
            self._office.wake()

    def _failed(self, error: Exception) -> None:
        self._mail.put(WorkFailed(error))

    def _block(self, reason: Blocked) -> None:
        """Say why nothing is inspected, once for each reason."""
        if str(reason) == self._blocked:
            return
        self._blocked = str(reason)
        log.error("blocked", extra={"cause": self._blocked, "retry_s": RETRY_S})
        self._publish_status("blocked")

    def _stop_line(self) -> None:
        if self._line:
            self._line.stop()
            self._line = None

    def _dismantle(self) -> None:
        """Stop the line and the couriers in order; what they were doing is in the ledger."""
        self._stop_line()
        self._detector = None
        if self._office:
            self._office.close()
            self._office = None

    def _shut_down(self) -> None:
        self._stop_line()
        self._publish_status("stop")
        self._greengrass.close()
        self._dismantle()

    def _publish_status(self, event: StatusEvent) -> None:
        self._status.restart()
        self._publish("status", self._describe(event))

    def _describe(self, event: StatusEvent) -> Status:
        ledger = self._office.ledger if self._office else None
        state: Literal["running", "blocked", "stopped"] = "running" if self._line else "blocked"
        return Status(
            schema="edge-inspector/status/1",
            thing=self._thing,
            sent_at=rfc3339(time.time()),
            version=__version__,
            state="stopped" if event == "stop" else state,
            event=event,
            reason=None if self._line else self._blocked,
            ledger=ledger.id if ledger else None,
            last_seq=ledger.last_seq() if ledger else None,
            verdicts=ledger.verdicts() if ledger else {},
            outbox=ledger.count("waiting") if ledger else None,
            parked=ledger.count("parked") if ledger else None,
            model=self._detector.info if self._detector else None,
            disk_free_bytes=shutil.disk_usage(self._work).free,
            settings_errors=self._settings_errors,
            **asdict(self._tally.figures(time.monotonic())),
        )

    def _publish(self, kind: str, message: msgspec.Struct) -> None:
        """Publish to IoT Core what is not worth a place in the ledger: if it fails, the next will do."""
        prefix = self._settings.topic_prefix if self._settings else "inspect"
        if not self._is_connected or (self._settings and not self._settings.publish_to_iot_core):
            return
        try:
            self._greengrass.publish_to_iot_core(
                topic(prefix, self._thing, kind), msgspec.json.encode(message)
            )
        except _IPC_ERRORS as error:
            log.warning("not published", extra={"kind": kind, "cause": str(error)})


def _model(detector: Detector) -> dict[str, str]:
    info = detector.info
    return {"model": info.name, "model_version": info.version, "precision": info.precision}
