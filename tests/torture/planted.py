"""Runs inside the component, before it: lets it die between two effects, and its wall clock jump, when told to.

Told by files in a directory: ``cut`` says where to die, once; ``clock`` how far the clock is off. It imports nothing
of the harness, for the component's Python hasn't got it.
"""

import functools
import importlib
import json
import mmap
import os
import signal
import sqlite3
import struct
import sys
import time
from pathlib import Path

VARIABLE = "TORTURE_CONTROL"
EFFECTS, MISSING, CUT, DONE, CLOCK = "effects.json", "missing.json", "cut", "cut.done", "clock"
COMMIT = "sqlite3:COMMIT"


class Scissors:
    """Kills this process before or after an effect, when a file says so."""

    def __init__(self, directory):
        self._order = directory / CUT
        self._done = directory / DONE

    def perhaps(self, when, effect):
        try:
            if self._order.read_text() != f"{when} {effect}":
                return
            self._order.rename(self._done)  # whoever renames it dies: once, whichever thread comes first
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def around(self, effect, function):
        @functools.wraps(function)
        def cut(*args, **kwargs):
            self.perhaps("before", effect)
            result = function(*args, **kwargs)
            self.perhaps("after", effect)
            return result

        return cut

    def around_commits(self, effect):
        scissors = self

        class Connection(sqlite3.Connection):
            def execute(self, sql, *parameters):
                if sql != "COMMIT":
                    return super().execute(sql, *parameters)
                scissors.perhaps("before", effect)
                cursor = super().execute(sql, *parameters)
                scissors.perhaps("after", effect)
                return cursor

        sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)


def plant(directory):
    """Wrap every effect; those that are not where they should be are told in a file."""
    scissors, missing = Scissors(directory), []
    for effect, place in json.loads((directory / EFFECTS).read_text()).items():
        if place == COMMIT:
            scissors.around_commits(effect)
            continue
        module, _, path = place.partition(":")
        owner, _, name = path.rpartition(".")
        try:
            holder = functools.reduce(getattr, owner.split("."), importlib.import_module(module))
            setattr(holder, name, scissors.around(effect, getattr(holder, name)))
        except (AttributeError, ImportError):
            missing.append(place)
    (directory / MISSING).write_text(json.dumps(missing))


def disturb_clock(directory):
    """Let the wall clock run ahead or behind by what the file says, in seconds."""
    with (directory / CLOCK).open("rb") as file:
        offset = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + struct.unpack("d", offset[:])[0]
    time.time_ns = lambda: nanoseconds() + int(struct.unpack("d", offset[:])[0] * 1e9)


if __name__ == "sitecustomize" and VARIABLE in os.environ and "inspector" in sys.orig_argv:
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # as the inspector does before it imports OpenCV
    disturb_clock(Path(os.environ[VARIABLE]))
    plant(Path(os.environ[VARIABLE]))
