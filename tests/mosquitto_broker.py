"""Mosquitto as a broker that can be started and stopped, on a loopback port of its own."""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


class Mosquitto:
    """One broker; ``config`` is added to the listener's."""

    def __init__(self, directory: Path, config: str = "allow_anonymous true") -> None:
        self.port = free_port()
        self._config = directory / f"mosquitto-{self.port}.conf"
        # as root it would become another user, who may not read the test's certificates
        self._config.write_text(f"user {getpass.getuser()}\nlistener {self.port} 127.0.0.1\n{config}\n")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert PROGRAM
        self._process = subprocess.Popen(
            [PROGRAM, "-c", self._config], stderr=subprocess.DEVNULL, start_new_session=True
        )
        until(lambda: accepts(self.port), "mosquitto listens")

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            try:
                self._process.wait(10)
            finally:
                self._process.kill()
                self._process = None

    def freeze(self) -> None:
        """It says nothing more, and its connections stay open, until ``thaw``; ``kill`` works too."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on where it was."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once: what it held in memory is lost."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
