"""A line to a broker on which whatever the broker says comes late, as from far away."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK_BYTES = 65_536


@contextmanager
def late_line(port: int, delay_s: float) -> Iterator[str]:
    """The URL of a broker on a port of this machine; its answers come up to twice ``delay_s`` late."""
    over = threading.Event()
    ends: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def carry(source: socket.socket, target: socket.socket, pause_s: float) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                over.wait(pause_s)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        while not over.is_set():
            with suppress(OSError):
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", port))
                ends.extend((near, far))
                for each in ((near, far, 0.0), (far, near, delay_s)):
                    threads.append(threading.Thread(target=carry, args=each))
                    threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield f"mqtt://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            for each in (listener, *ends):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for each in ends:
                each.close()
