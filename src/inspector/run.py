"""``inspector run``: the component under Greengrass."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from inspector import __version__
from inspector.component import Component
from inspector.pipeline import HungError
from inspector.shell import log as logs
from inspector.shell import memory
from inspector.shell.greengrass import is_started_by_greengrass

log = logging.getLogger(__name__)


def run(work: Path) -> int:
    """Work in a directory until SIGTERM or SIGINT; return the exit status."""
    if not is_started_by_greengrass():
        print(
            "inspector run: not started by Greengrass (SVCUID is not set); try `make demo`, or `inspector once`",
            file=sys.stderr,
        )
        return 1
    memory.share_arena()
    logs.set_up("INFO")
    faulthandler.enable()  # a crash in native code says where
    os.umask(os.umask(0o077) | 0o027)  # whatever the nucleus left us with, stricter if that is
    component = Component(work, os.environ["AWS_IOT_THING_NAME"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: component.stop())
    log.info("starting", extra={"version": __version__, "work": work})
    try:
        status = component.run()
    except HungError as error:
        if component.is_told_to_stop:
            _end(error)
        _start_anew(error)
    except Exception:
        log.critical("stopping over an error nobody expected; Greengrass starts it anew", exc_info=True)
        return 1
    log.info("stopped", extra={"status": status})
    return status


def _end(error: HungError) -> NoReturn:
    """End without waiting for the thread that hangs: to start anew would be to disobey."""
    log.critical(
        "stopped",
        extra={"cause": str(error), "fix": "none needed: the image becomes a review at the next start"},
    )
    _flush()
    os._exit(0)


def _start_anew(error: HungError) -> NoReturn:
    """Replace the process by a new one, under the same number: Greengrass counts no failure, of which it allows
    three, and nothing that hangs in a thread, in native code too, outlives it."""
    log.critical(
        "starting anew", extra={"cause": str(error), "fix": "none needed: the image becomes a review"}
    )
    _flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # no shell is wanted


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
