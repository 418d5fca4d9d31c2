"""A broker that says nothing: it accepts whoever connects, takes what it is sent and never answers."""

from __future__ import annotations

import socket
import threading

_CONNACK = b"\x20\x02\x00\x00"
PUBLISH, SUBSCRIBE, UNSUBSCRIBE = 3, 8, 10


class MuteBroker:
    """``connections`` holds the bytes that each connection sent after its CONNECT."""

    def __init__(self) -> None:
        self.connections: list[bytearray] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"

    def packets(self, kind: int) -> list[bytes]:
        """The whole packets of that type on the latest connection."""
        return [packet for packet in _split(bytes(self.connections[-1])) if packet[0] >> 4 == kind]

    def hang_up(self) -> None:
        """Close the latest connection."""
        self._sockets[-1].shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close everything."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in self._sockets:
            each.close()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            thread = threading.Thread(target=self._take, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _take(self, connection: socket.socket) -> None:
        try:
            connection.recv(65536)
            taken = bytearray()
            self.connections.append(taken)
            connection.sendall(_CONNACK)
            while data := connection.recv(65536):
                taken += data
        except OSError:
            pass
        finally:
            connection.close()


def _split(stream: bytes) -> list[bytes]:
    packets = []
    while len(stream) >= 2:
        remaining, header_bytes = stream[1] & 0x7F, 2
        while stream[header_bytes - 1] & 0x80:
            remaining |= (stream[header_bytes] & 0x7F) << 7 * (header_bytes - 1)
            header_bytes += 1
        packets.append(stream[: header_bytes + remaining])
        stream = stream[header_bytes + remaining :]
    return packets
