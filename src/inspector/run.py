"""``inspector run``: the component under Greengrass."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path

from inspector import __version__
from inspector.component import Component
from inspector.shell import log as logs
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
    logs.set_up("INFO")
    os.umask(0o027)
    component = Component(work, os.environ["AWS_IOT_THING_NAME"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: component.stop())
    log.info("starting", extra={"version": __version__, "work": work})
    try:
        status = component.run()
    except Exception:
        log.critical("stopping over an error nobody expected; Greengrass starts it anew", exc_info=True)
        return 1
    log.info("stopped", extra={"status": status})
    return status
