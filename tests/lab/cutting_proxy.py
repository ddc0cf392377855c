"""A TCP proxy on loopback that does something to a connection after a number of bytes towards the server."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self


class CuttingProxy:
    """Forwards to `target_port`; after `after_bytes` from the client the fault happens, `times` times.

    "cut" resets both sides, "stall" forwards no more, and a function is called and forwarding goes on.
    """

    def __init__(
        self,
        target_port: int,
        after_bytes: int,
        fault: Literal["cut", "stall"] | Callable[[], object],
        *,
        times: int = 1_000,
        address: str = "127.0.0.1",
    ) -> None:
        self._target_port = target_port
        self._left = after_bytes
        self._fault = fault
        self._times = times
        self._listener = socket.create_server((address, 0))
        self._links: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._closed = threading.Event()
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._reset(*self._links)
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        """Reset all connections now."""
        self._reset(*self._links)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._links.append(client)
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port), 5)
            except OSError:
                self._reset(client)
                continue
            self._links.append(server)
            self._spawn(self._pump, client, server, True)
            self._spawn(self._pump, server, client, False)

    def _pump(self, source: socket.socket, sink: socket.socket, to_server: bool) -> None:
        try:
            while data := source.recv(16384):
                if to_server:
                    self._left -= len(data)
                if to_server and self._left < 0 and self._times > 0:
                    self._times -= 1
                    if callable(self._fault):
                        self._fault()
                        continue
                    if self._fault == "stall":
                        self._closed.wait(60)
                    self._reset(source, sink)
                    return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._reset(source, sink)

    def _reset(self, *links: socket.socket) -> None:
        for link in links:
            try:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # close() alone does not wake a thread that waits in recv().
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            link.close()

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
