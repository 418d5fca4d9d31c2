"""The long-running component: puts the parts together, stays up when one is missing, says how it is.

1. Everything from outside arrives in one mailbox and is handled in one thread.
2. What is missing (Greengrass, a valid configuration, the ledger, the model, the image directory) leaves the
   component ``blocked``, with a reason, and is tried again; only what a restart must mend ends the process.
3. A valid change of configuration takes effect between two frames: the line stops in order and starts anew.
4. Of an invalid one nothing takes effect: the last valid one stays in force, over a restart too.
"""

from __future__ import annotations

import faulthandler
import logging
import queue
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from inspector import __version__
from inspector.alarms import Alarms
from inspector.core import command as commands
from inspector.core.message import Alarm, Status, StatusEvent, topic
from inspector.core.naming import rfc3339
from inspector.core.settings import Settings, SettingsError, parse
from inspector.every import Every
from inspector.examiner import Judged
from inspector.ports import Blocked, Denied, LedgerBlocked, Refused, Unreachable
from inspector.shell import greengrass as ipc
from inspector.shell import last_valid
from inspector.shell.greengrass import Greengrass
from inspector.tally import Tally
from inspector.works import Works

log = logging.getLogger(__name__)

TICK_S = 0.25
SILENCE_S = 300.0
"""If this thread itself does not come round for so long, the process ends, and says where it was."""
RETRY_S = 2.0
"""How often what is missing is tried again."""
CHORES_S = 1.0
"""How often housekeeping takes a turn, and alarms are looked for."""
POLL_S = 30.0
"""How often the configuration is read unasked: Greengrass Lite loses subscriptions silently."""
RENEWAL_S = 60.0
"""How often the subscription to commands is renewed, for the same reason: so long a consumer may ask in vain."""
MAX_REASON = 1_000
"""Characters of a reason or an error in a message: Greengrass Lite closes the connection at about 7 kB."""
MAX_COMMANDS = 100
"""What may wait to be obeyed; whoever may publish commands must not fill the memory with them."""
MAX_ERROR = 400
"""Characters of the error in a response, which may take six bytes each; MaxMessageBytes is at least 4,000."""
MAX_ERRORS = 10
"""Errors of a configuration in a message; the log has all."""

_IPC_ERRORS = (Unreachable, Denied, Refused)


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The process was told to stop."""


@dataclass(frozen=True, slots=True)
class WorkFailed:
    """A thread ended by an exception."""

    error: Exception


Mail = StopRequested | WorkFailed | ipc.Event


class Component:
    """The component of one thing, in one work directory. ``run`` in the main thread; ``stop`` from anywhere."""

    def __init__(self, work: Path, thing: str) -> None:
        self._work = work
        self._thing = thing
        self._mail: queue.SimpleQueue[Mail] = queue.SimpleQueue()
        self._greengrass = Greengrass(self._receive)
        self._tally = Tally()
        self._alarms = Alarms()
        self._works = Works(work, thing, self._greengrass, self._count, self._failed)
        self.is_told_to_stop = False
        self._is_connected = False
        self._configuration: Mapping[str, Any] | None = None
        self._settings: Settings | None = None
        self._settings_errors: tuple[str, ...] = ()
        self._blocked: str | None = None
        self._next_event: StatusEvent = "start"
        """What the next start of the line is due to, unless it was blocked before."""
        self._retry, self._poll, self._renewal = Every(RETRY_S), Every(POLL_S), Every(RENEWAL_S)
        self._chores = Every(CHORES_S)
        self._status = Every(Settings().status_interval_seconds)
        self._status.restart()  # the first tells of the start, or why there is none

    def stop(self) -> None:
        """Let ``run`` end in order. May be called from a signal handler."""
        self.is_told_to_stop = True
        self._greengrass.hurry()
        self._mail.put(StopRequested())

    def _receive(self, event: ipc.Event) -> None:
        """From the SDK's threads."""
        if isinstance(event, ipc.CommandReceived) and self._mail.qsize() >= MAX_COMMANDS:
            fix = "send them more slowly; see who may publish to the command topic"
            log.warning("command dropped", extra={"cause": f"{MAX_COMMANDS} wait", "fix": fix})
            return
        self._mail.put(event)

    def run(self) -> int:
        """Work until told to stop; return the exit status: 0, or 1 where a restart must mend something.

        HungError, and an error that nobody expected, pass through, and nothing is closed in order: the attempts under
        way stay on record, so that an image which causes it again and again is not tried for ever.
        """
        try:
            status = self._run_turns()
            self._shut_down()
        except Exception as error:
            self._works.abandon(error)
            raise
        faulthandler.cancel_dump_traceback_later()
        return status

    def _run_turns(self) -> int:
        try:
            while self._turn():
                pass
        except ipc.TokenRefusedError as error:
            fix = "none needed: Greengrass starts it anew"
            log.critical("stopping", extra={"cause": str(error), "fix": fix})
            return 1
        return 0

    def _turn(self) -> bool:
        """Do what is due, then handle what came in, if anything; whether to go on."""
        faulthandler.dump_traceback_later(SILENCE_S, exit=True)
        try:
            self._advance()
        except Blocked as reason:  # and yet what came in is handled: it may be the order to stop
            self._block(reason)
        try:
            mail = self._mail.get(timeout=TICK_S)
            if isinstance(mail, StopRequested):
                return False
            self._handle(mail)
        except queue.Empty:
            pass
        except Blocked as reason:
            self._block(reason)
        return True

    def _handle(self, mail: Mail) -> None:
        match mail:
            case WorkFailed(error):
                if self._works.has_failed:  # else it came from works that were closed meanwhile
                    raise error
            case ipc.ConfigurationChanged():
                self._read_configuration()
            case ipc.ValidationRequested(deployment_id, configuration):
                self._validate(deployment_id, configuration)
            case ipc.CommandReceived(payload):
                self._obey(payload)
            case ipc.ConnectionLost(cause, connection):
                if self._is_connected and connection == self._greengrass.connection:
                    self._is_connected = False
                    log.warning("connection to Greengrass lost", extra={"cause": cause})

    def _advance(self) -> None:
        """Do what is due; try again what is missing."""
        if self._chores.is_due():
            self._keep_house()
        is_complete = self._is_connected and self._works.is_inspecting
        if not is_complete and self._retry.is_due():
            self._complete()
        if self._is_connected and self._poll.is_due():
            self._read_configuration()
            self._greengrass.listen(self._topic("commands"), renew=self._renewal.is_due())
        if self._settings and self._works.follow_model(self._settings):
            if self._works.is_inspecting:
                self._publish_status("model")
            self._retry.make_due()
        if self._status.is_due():
            self._publish_status("interval")

    def _keep_house(self) -> None:
        """A turn of housekeeping, then the alarms. Raises Blocked where the line must not go on."""
        if self._works.keep_house():
            self._chores.make_due()
        refused = "; ".join(self._settings_errors) if self._settings else None
        own: dict[Alarm, str | None] = {"no_images": self._no_images(), "configuration": refused}
        if self._alarms.update(self._works.alarms() | own):
            self._publish_status("alarm")
        self._works.check()

    def _no_images(self) -> str | None:
        """For how long nothing was inspected, where that is too long; what blocks the line has its own reason."""
        limit_s = self._settings.no_image_seconds if self._settings else 0
        idle_s = time.monotonic() - max(self._tally.last_s, self._works.started_s)
        is_quiet = self._works.is_inspecting and limit_s and idle_s >= limit_s
        return f"no image for {limit_s:g} s" if is_quiet else None

    def _complete(self) -> None:
        if not self._is_connected:
            self._connect()
        if self._settings is None:
            self._read_configuration()
        if self._settings is None:
            errors = "; ".join(self._settings_errors) or "Greengrass does not answer"
            raise Blocked("configuration", errors, "deploy a valid one")
        if not self._works.is_inspecting:
            self._works.complete(self._settings)
            if self._works.is_inspecting:
                event = "unblocked" if self._blocked else self._next_event
                self._blocked, self._next_event = None, "configuration"
                self._publish_status(event)

    def _connect(self) -> None:
        """Connect and subscribe. While the line runs, a missing connection does not stop it."""
        try:
            self._greengrass.connect()
        except Unreachable as error:
            log.warning("not connected to Greengrass", extra={"cause": str(error), "retry_s": RETRY_S})
            return
        self._is_connected = True
        log.info("connected to Greengrass", extra={"thing": self._thing})
        self._read_configuration()
        self._greengrass.listen(self._topic("commands"))
        self._works.reconnected()
        try:
            self._greengrass.report_running()
        except _IPC_ERRORS as error:
            log.warning("state not reported", extra={"cause": str(error)})

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
            self._refuse(error.errors)
            return
        self._settings_errors = ()
        for warning in warnings:
            log.warning("configuration", extra={"warning": warning})
        last_valid.keep(self._work, configuration)
        self._apply(settings)

    def _refuse(self, errors: tuple[str, ...]) -> None:
        """Leave the last valid configuration in force: at a start it comes from the disk, if there is one."""
        self._settings_errors = errors
        recalled = None if self._settings else last_valid.recall(self._work)
        has_one = self._settings or recalled
        meaning = (
            "the last valid one is in force" if has_one else "nothing is inspected: there was no valid one"
        )
        extra = {"errors": "; ".join(errors), "meaning": meaning, "fix": "deploy a valid one"}
        log.error("configuration refused", extra=extra)
        if self._settings:
            self._publish_status("configuration")
        elif recalled:
            self._apply(recalled)

    def _apply(self, settings: Settings) -> None:
        if settings == self._settings:
            if self._works.office:  # what else changed may be a policy
                self._works.office.retry_parked()
            return
        self._works.close()
        self._settings = settings
        self._status.interval_s = settings.status_interval_seconds
        logging.getLogger().setLevel(settings.log_level)
        log.info("configuration applied")
        self._greengrass.listen(self._topic("commands"))
        self._retry.make_due()

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
        request, error, results = commands.request_of(payload), None, 0
        try:
            command = commands.parse(payload)
            if not self._publishes_to_iot_core:
                error = "nothing is published to AWS IoT Core but this: set PublishToIoTCore"
            elif isinstance(command, commands.StatusRequest):
                self._publish_status("requested")
            elif self._works.office:
                results = self._works.office.resend(command)
            else:
                error = "the ledger is not open: " + (self._blocked or "starting")
        except (msgspec.DecodeError, ValueError, Blocked) as problem:
            error = str(problem)
        error = error and error[:MAX_ERROR]
        response = commands.Response("edge-inspector/response/1", self._thing, request, error, results)
        self._publish("commands/response", response)

    def _count(self, judged: Judged) -> None:
        self._tally.add(judged, time.monotonic())

    def _failed(self, error: Exception) -> None:
        self._mail.put(WorkFailed(error))

    def _block(self, reason: Blocked) -> None:
        """Stop the line, and say why nothing is inspected, once for each reason. The couriers work on, unless it is
        the ledger that fails."""
        if isinstance(reason, LedgerBlocked):
            self._works.close_office()
        else:
            self._works.stop_line()
        if str(reason) == self._blocked:
            return
        self._blocked = str(reason)
        log.error("blocked", extra={"cause": self._blocked, "retry_s": RETRY_S})
        try:
            self._publish_status("blocked")
        except LedgerBlocked:  # it fails too: the status does without its figures
            self._works.close_office()
            self._publish_status("blocked")

    def _shut_down(self) -> None:
        try:
            self._works.stop_line()
            self._works.absolve_model()
            self._publish_status("stop")
        except Blocked as reason:
            log.error("status not published", extra={"cause": str(reason)})
        self._works.end()
        self._greengrass.close()

    def _publish_status(self, event: StatusEvent) -> None:
        self._status.restart()
        self._publish("status", self._describe(event))

    def _describe(self, event: StatusEvent) -> Status:
        state: Literal["running", "blocked"] = "running" if self._works.is_inspecting else "blocked"
        holdings = asdict(self._works.holdings())
        return Status(
            schema="edge-inspector/status/1",
            thing=self._thing,
            sent_at=rfc3339(time.time()),
            version=__version__,
            state="stopped" if event == "stop" else state,
            event=event,
            alarms=self._alarms.in_force,
            reason=None if self._works.is_inspecting else _short(self._blocked or self._works.waits_for),
            settings_errors=self._settings_errors[:MAX_ERRORS],
            **(holdings | {"model_refused": _short(holdings["model_refused"])}),
            **asdict(self._tally.figures(time.monotonic())),
        )

    def _publish(self, kind: str, message: msgspec.Struct) -> None:
        """Publish to IoT Core what is not worth a place in the ledger: if it fails, the next will do.

        Who asks is answered also where nothing else is published there.
        """
        is_wanted = self._publishes_to_iot_core or kind == "commands/response"
        if not self._is_connected or not is_wanted:
            return
        try:
            self._greengrass.tell_iot_core(self._topic(kind), msgspec.json.encode(message))
        except _IPC_ERRORS as error:
            log.warning("not published", extra={"kind": kind, "cause": str(error)})

    @property
    def _publishes_to_iot_core(self) -> bool:
        return self._settings is None or self._settings.publish_to_iot_core

    def _topic(self, kind: str) -> str:
        prefix = self._settings.topic_prefix if self._settings else Settings().topic_prefix
        return topic(prefix, self._thing, kind)


def _short(text: str | None) -> str | None:
    return text and text[:MAX_REASON]
