"""One SSH connection that runs shell scripts: checked host key, bounded waits, every failure one sentence.

Everything goes through `sh -c`, uploads by `cat` too: boards without an SFTP server work, and a full disk says so in
words where SFTP has only "Failure".
"""

from __future__ import annotations

import logging
import math
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import paramiko

from .device import DeviceError
from .entry import SshEntry
from .login import log_in
from .printable import printable_lines
from .socket_to import DEAD_AFTER_S
from .trust import host_id

# Paramiko's thread logs with a traceback what we report in a sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CHUNK_BYTES = 1 << 16
# A device that takes a byte now and then would be sent to for ever.
_SLOWEST_BYTES_PER_S = 4096
# Of the answers of fusekit's own scripts.
_ANSWER_BYTES = 1 << 20
# Beyond an answer: what is under way in the channel's window when its limit is passed.
_UNDER_WAY_BYTES = 8 << 20
# A session that has just ended may still count against the server's MaxSessions.
_SESSION_PAUSES_S = (0.1, 0.3, 0.9)


@dataclass(frozen=True)
class Answer:
    """What a script wrote, and its exit code as the shell gives it: 128 + signal for a death by signal."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """What it wrote to stdout, safe to print."""
        return printable_lines(self.stdout)

    @property
    def complaint(self) -> str:
        """What it wrote to stderr, safe to print."""
        return printable_lines(self.stderr).strip()


class Connection:
    """A logged-in connection to the device of an entry; `carries_others` for that to a jump host."""

    def __init__(self, entry: SshEntry, *, carries_others: bool = False) -> None:
        self._entry = entry
        self._client, self._link = log_in(entry)
        transport = self._client.get_transport()
        assert transport is not None
        self._transport = transport
        self._silent = ""
        self._closing = threading.Event()
        if carries_others:
            self._link.allow(math.inf)
        threading.Thread(target=self._stay_in_touch, daemon=True).start()

    @property
    def alive(self) -> bool:
        return self._transport.is_active()

    def execute(
        self,
        script: str,
        *,
        limit_s: float,
        stdin: bytes = b"",
        stdin_stays_open: bool = False,
        limit_bytes: int = _ANSWER_BYTES,
    ) -> Answer:
        """Run a shell script there and wait for its end.

        Kind "timeout" `limit_s` after all of `stdin` is sent (the connection is closed, the script may still run
        there), "lost" when the connection ends or the other side falls silent, "too_large" when it writes more than
        `limit_bytes`. With `stdin_stays_open` the script sees the end of its stdin only when the connection ends.
        """
        self._link.allow(limit_bytes + _UNDER_WAY_BYTES)
        channel = self._start(script)
        try:
            self._send(channel, stdin, stdin_stays_open)
            answer = self._collect(channel, limit_s, limit_bytes)
        finally:
            channel.close()
        if answer.exit_code == -1:
            raise self._lost("the session ended without a result")
        return answer

    def open_channel(self, host: str, port: int, timeout_s: float) -> paramiko.Channel:
        """Open a channel to another machine from there; raises what paramiko does."""
        channel = self._transport.open_channel(
            "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout_s
        )
        return channel

    def close(self) -> None:
        self._closing.set()
        self._client.close()

    def _start(self, script: str) -> paramiko.Channel:
        for pause_s in (*_SESSION_PAUSES_S, None):
            try:
                # Paramiko waits for the answer to an exec request without limit.
                with self._end_silence():
                    channel = self._transport.open_session(timeout=DEAD_AFTER_S)
                    channel.exec_command(f"sh -c {shlex.quote(script)}")
                    return channel
            except paramiko.ChannelException as error:
                if pause_s is None:
                    raise DeviceError(
                        "failed",
                        f"{self._entry.name} refuses to run a command ({error.text}): set `MaxSessions` in its sshd_config "
                        f"to 1 or more (tried {len(_SESSION_PAUSES_S) + 1} times)",
                    ) from error
                time.sleep(pause_s)
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise self._lost(str(error)) from error
        raise AssertionError("the last pause is None")

    def _send(self, channel: paramiko.Channel, stdin: bytes, stays_open: bool) -> None:
        channel.settimeout(DEAD_AFTER_S)
        deadline = time.monotonic() + DEAD_AFTER_S + len(stdin) / _SLOWEST_BYTES_PER_S
        rest = memoryview(stdin)
        try:
            while rest:
                rest = rest[channel.send(bytes(rest[:_CHUNK_BYTES])) :]
                if time.monotonic() > deadline:
                    self._transport.close()
                    raise self._lost(f"it took less than {_SLOWEST_BYTES_PER_S} bytes a second")
            if not stays_open:
                channel.shutdown_write()
        except TimeoutError as error:
            self._transport.close()
            raise self._lost(f"it took no data for {DEAD_AFTER_S} s") from error
        except (OSError, EOFError) as error:
            if not self.alive:
                raise self._lost(str(error)) from error
            # The script ended before it read everything: its exit code and stderr say why.

    def _collect(self, channel: paramiko.Channel, limit_s: float, limit_bytes: int) -> Answer:
        deadline = time.monotonic() + limit_s
        stdout, stderr = bytearray(), bytearray()
        pause_s = 0.001
        while True:
            closed = channel.closed  # read before the buffers: what came before the end is still in them
            if channel.recv_ready():
                stdout += channel.recv(_CHUNK_BYTES)
            elif channel.recv_stderr_ready():
                stderr += channel.recv_stderr(_CHUNK_BYTES)
            elif closed:
                break
            else:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.02)
                if time.monotonic() > deadline:
                    self._transport.close()
                    raise DeviceError("timeout", f"{self._entry.name} did not answer within {limit_s:g} s")
                continue
            pause_s = 0.001
            if len(stdout) + len(stderr) > limit_bytes:
                raise self._too_large(limit_bytes)
        if self._link.exhausted:
            raise self._too_large(limit_bytes)
        return Answer(channel.exit_status, bytes(stdout), bytes(stderr))

    def _stay_in_touch(self) -> None:
        """Ask for an answer now and then: the kernel of a machine acknowledges what its frozen server never reads."""
        while self.alive and not self._closing.wait(DEAD_AFTER_S / 2):
            try:
                with self._end_silence():
                    self._transport.global_request("keepalive@openssh.com", wait=True)
            except (paramiko.SSHException, EOFError, OSError):
                return

    @contextmanager
    def _end_silence(self) -> Iterator[None]:
        """Close the connection if what is done inside takes too long."""
        watchdog = threading.Timer(DEAD_AFTER_S, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _give_up(self) -> None:
        self._silent = f"it did not answer for {DEAD_AFTER_S} s"
        self._transport.close()

    def _too_large(self, limit_bytes: int) -> DeviceError:
        return DeviceError("too_large", f"{self._entry.name} wrote more than {limit_bytes} bytes")

    def _lost(self, why: str) -> DeviceError:
        detail = self._silent or why
        detail = f" ({detail})" if detail else ""
        return DeviceError(
            "lost",
            f"the connection to {self._entry.name} ({host_id(self._entry)}) was cut{detail}: check its power and network "
            "and type the command again; what was half sent is removed then",
        )
