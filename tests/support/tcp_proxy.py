"""A TCP proxy that misbehaves when told to: cuts connections, or keeps them and lets nothing through."""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
from types import TracebackType


class Mode(enum.Enum):
    """What happens to bytes and to new connections."""

    PASS = "pass"
    CUT = "cut"
    STALL = "stall"


class TcpProxy:
    """Listens on loopback for ``target_port``. A context manager."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._mode = Mode.PASS
        self._may_pass = threading.Event()
        self._may_pass.set()
        self._cut_after: int | None = None
        self.bytes_up = 0
        self._is_closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def set_mode(self, mode: Mode) -> None:
        """Change what happens from now on; CUT also ends every open connection."""
        self._mode = mode
        if mode is Mode.STALL:
            self._may_pass.clear()
        else:
            self._may_pass.set()
        if mode is Mode.CUT:
            self._end_connections()

    def cut_after(self, byte_count: int) -> None:
        """Cut all connections once that many more bytes went to the server, then pass again."""
        with self._lock:
            self._cut_after = self.bytes_up + byte_count

    def close(self) -> None:
        self._is_closed = True
        self._listener.close()
        self._may_pass.set()
        self._end_connections()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                client, _ = self._listener.accept()
                if self._mode is Mode.CUT:
                    client.close()
                    continue
                server = socket.create_connection(self._target, timeout=5)
            except OSError:
                continue
            server.settimeout(None)
            with self._lock:
                self._sockets += [client, server]
            for source, sink, is_up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, sink, is_up), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._may_pass.wait()
                if is_up and self._is_due(len(data)):
                    self._end_connections()
                    return
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _is_due(self, count: int) -> bool:
        with self._lock:
            self.bytes_up += count
            if self._cut_after is None or self.bytes_up < self._cut_after:
                return False
            self._cut_after = None
            return True

    def _end_connections(self) -> None:
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for each in sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
