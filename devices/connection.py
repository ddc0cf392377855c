"""One SSH connection that runs shell scripts: checked host key, bounded waits, every failure one sentence.

Everything goes through `sh -c`, uploads by `cat` too: boards without an SFTP server work, and a full disk says so in
words where SFTP has only "Failure".
"""

from __future__ import annotations

import logging
import shlex
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import paramiko

from .device import DeviceError
from .inventory import SshEntry
from .socket_to import DEAD_AFTER_S, socket_to
from .trust import HostKey, changed_key, host_id, not_ssh, unknown_key

# Paramiko's thread logs with a traceback what we report in a sentence.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Answer:
    """What a script wrote, and its exit code as the shell gives it: 128 + signal for a death by signal."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode(errors="replace")

    @property
    def complaint(self) -> str:
        return self.stderr.decode(errors="replace").strip()


class _RefuseUnknown(paramiko.MissingHostKeyPolicy):
    def __init__(self, entry: SshEntry) -> None:
        self._entry = entry

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        raise unknown_key(self._entry, HostKey.of(key))


class Connection:
    """A logged-in connection to the device of an entry."""

    def __init__(self, entry: SshEntry, known_hosts: Path) -> None:
        self._entry = entry
        self._client, self._transport = _log_in(entry, known_hosts)

    @property
    def alive(self) -> bool:
        return self._transport.is_active()

    def execute(
        self, script: str, *, limit_s: float, stdin: bytes = b"", limit_bytes: int = 1 << 26
    ) -> Answer:
        """Run a shell script there and wait for its end.

        Kind "timeout" `limit_s` after all of `stdin` is sent (the connection is closed, the script may still run
        there), "lost" when the connection ends or no `stdin` is taken for a while, "too_large" when stdout passes
        `limit_bytes`.
        """
        channel = self._start(script)
        try:
            self._send(channel, stdin)
            answer = self._collect(channel, limit_s, limit_bytes)
        finally:
            channel.close()
        if answer.exit_code == -1:
            raise self._lost("the session ended without a result")
        return answer

    def close(self) -> None:
        self._client.close()

    def _start(self, script: str) -> paramiko.Channel:
        # Paramiko waits for the answer to an exec request without limit; closing the transport ends the wait.
        watchdog = threading.Timer(DEAD_AFTER_S, self._transport.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            channel = self._transport.open_session(timeout=DEAD_AFTER_S)
            channel.exec_command(f"sh -c {shlex.quote(script)}")
            return channel
        except paramiko.ChannelException as error:
            raise DeviceError(
                "failed", f"{self._entry.name} refuses to run a command: {error.text}"
            ) from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._lost(str(error)) from error
        finally:
            watchdog.cancel()

    def _send(self, channel: paramiko.Channel, stdin: bytes) -> None:
        channel.settimeout(DEAD_AFTER_S)
        try:
            for start in range(0, len(stdin), _CHUNK_BYTES):
                channel.sendall(stdin[start : start + _CHUNK_BYTES])
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
                return Answer(channel.exit_status, bytes(stdout), bytes(stderr))
            else:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.02)
                if time.monotonic() > deadline:
                    self._transport.close()
                    raise DeviceError("timeout", f"{self._entry.name} did not answer within {limit_s:g} s")
                continue
            pause_s = 0.001
            if len(stdout) + len(stderr) > limit_bytes:
                raise DeviceError("too_large", f"{self._entry.name} wrote more than {limit_bytes} bytes")

    def _lost(self, why: str) -> DeviceError:
        detail = f" ({why})" if why else ""
        return DeviceError(
            "lost",
            f"the connection to {self._entry.name} ({host_id(self._entry)}) was cut{detail}: check its power and network "
            "and type the command again; what was half sent is removed then",
        )


def _log_in(entry: SshEntry, known_hosts: Path) -> tuple[paramiko.SSHClient, paramiko.Transport]:
    key = _load_key(entry)
    client = paramiko.SSHClient()
    if known_hosts.exists():
        client.load_host_keys(str(known_hosts))
    client.set_missing_host_key_policy(_RefuseUnknown(entry))
    link = socket_to(entry)
    try:
        client.connect(
            entry.host,
            entry.port,
            username=entry.user,
            pkey=key,
            sock=link,
            timeout=entry.connect_timeout_s,
            banner_timeout=entry.connect_timeout_s,
            auth_timeout=entry.connect_timeout_s,
            allow_agent=entry.agent if entry.agent is not None else key is None,
            look_for_keys=key is None,
        )
        transport = client.get_transport()
        assert transport is not None
        link.settimeout(None)
        transport.set_keepalive(DEAD_AFTER_S // 2)
        return client, transport
    except BaseException as error:
        client.close()
        link.close()
        raise _explained(entry, error) from error


def _explained(entry: SshEntry, error: BaseException) -> BaseException:
    match error:
        case paramiko.BadHostKeyException():
            return changed_key(entry, HostKey.of(error.key), HostKey.of(error.expected_key))
        case paramiko.AuthenticationException():
            return _refused(entry)
        case paramiko.SSHException() if "No authentication methods" in str(error):
            return _refused(entry)
        case DeviceError():
            return error
        case paramiko.SSHException() | EOFError() | OSError():
            return not_ssh(entry, error)
        case _:
            return error


def _refused(entry: SshEntry) -> DeviceError:
    tried = f"the key {entry.key}" if entry.key else "the keys of ~/.ssh and of the agent"
    option = f"-i {entry.key}.pub " if entry.key else ""
    port = "" if entry.port == 22 else f"-p {entry.port} "
    return DeviceError(
        "auth",
        f"{entry.name} refuses {tried} for the user {entry.user}: type `ssh-copy-id {option}{port}{entry.user}@"
        f"{entry.host}`, or correct `user` and `key` of {entry.name} in the inventory",
    )


def _load_key(entry: SshEntry) -> paramiko.PKey | None:
    if entry.key is None:
        return None
    try:
        return paramiko.PKey.from_path(entry.key)
    except FileNotFoundError as error:
        raise DeviceError(
            "auth",
            f"the key of {entry.name}, {entry.key}, does not exist: correct `key` in the inventory, or make one with "
            f"`ssh-keygen -t ed25519 -f {entry.key}`",
        ) from error
    except (paramiko.PasswordRequiredException, TypeError) as error:
        raise DeviceError(
            "auth",
            f"the key of {entry.name}, {entry.key}, has a passphrase: type `ssh-add {entry.key}`, and in the inventory "
            "give `agent: true` in the place of `key`",
        ) from error
    except (paramiko.SSHException, ValueError, OSError) as error:
        raise DeviceError(
            "auth", f"the key of {entry.name}, {entry.key}, is no private key that can be read: {error}"
        ) from error
