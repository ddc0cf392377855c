"""What can go wrong before a login, without any SSH server."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import paramiko
import pytest

from fusekit.devices import DeviceError, open_device
from fusekit.devices.inventory import SshEntry
from fusekit.devices.trust import HostKey, known_hosts_path, recorded_keys, scan, trust

from .test_security import PasswordServer, listening, with_password

KEY = HostKey("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")
OTHER = HostKey("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIBdgZ/BOwZSNQDyFFCMXEmkF7PbYaDrnaZJ5QyxfLvsF")


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSEKIT_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.fixture
def silent_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def entry(**changed: object) -> SshEntry:
    keys = {"name": "pi", "transport": "ssh", "host": "127.0.0.1", "user": "pi", "target": "rpi5", **changed}
    return SshEntry.model_validate({"connect_timeout_s": 0.3, **keys})


def error_of(changed: SshEntry) -> DeviceError:
    with open_device(changed) as device, pytest.raises(DeviceError) as caught:
        device.probe()
    return caught.value


def test_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **keys: object) -> socket.socket:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", fail)
    error = error_of(entry(host="raspberrypi.local"))
    assert error.kind == "unreachable"
    assert str(error) == (
        "pi cannot be found: the name raspberrypi.local is not known here: is the board switched on and in the same "
        "network? If it has another name or only an address, edit `host` of pi in the inventory"
    )


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (TimeoutError(), "did not answer within 0.3 s"),
        (OSError(113, "No route to host"), "cannot be reached: No route to host"),
    ],
)
def test_address_without_a_board(monkeypatch: pytest.MonkeyPatch, failure: OSError, sentence: str) -> None:
    def fail(*args: object, **keys: object) -> socket.socket:
        raise failure

    monkeypatch.setattr(socket, "create_connection", fail)
    error = error_of(entry())
    assert error.kind == "unreachable"
    assert str(error) == (
        f"pi (127.0.0.1 port 22) {sentence}: is the board switched on and in the same network?"
    )


@pytest.mark.parametrize("failure", [ConnectionResetError(104, "reset"), BrokenPipeError(32, "broken")])
def test_connection_that_is_reset_at_once_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, failure: OSError
) -> None:
    def fail(*args: object, **keys: object) -> socket.socket:
        raise failure

    monkeypatch.setattr(socket, "create_connection", fail)
    monkeypatch.setattr("fusekit.devices.login._PAUSES_S", (0.01, 0.01))
    error = error_of(entry())
    assert error.kind == "unreachable"
    assert str(error) == (
        f"pi does not answer as an SSH server at 127.0.0.1 port 22 ({failure}): is this the right `host` and `port` in the "
        "inventory, and is the board still starting? (tried 3 times)"
    )


@pytest.mark.parametrize("verb", ["probe", "scan"])
def test_something_that_is_not_ssh(silent_port: int, verb: str) -> None:
    silent = entry(port=silent_port)
    if verb == "probe":
        error = error_of(silent)
    else:
        with pytest.raises(DeviceError) as caught:
            scan(silent)
        error = caught.value
    assert error.kind == "unreachable"
    assert str(error).startswith(f"pi does not answer as an SSH server at 127.0.0.1 port {silent_port}")
    assert str(error).endswith(
        ": is this the right `host` and `port` in the inventory, and is the board still starting?"
    )


def test_server_that_sends_without_end_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A packet may claim four gigabytes before anybody has shown a key."""
    monkeypatch.setattr("fusekit.devices.login._PAUSES_S", ())
    sent: list[int] = []

    def flood(server: socket.socket) -> None:
        link, _ = server.accept()
        with link, suppress(OSError):
            link.sendall(b"SSH-2.0-flood\r\n\xff\xff\xff\xf0\x04")
            while True:
                sent.append(link.send(bytes(1 << 16)))

    with socket.create_server(("127.0.0.1", 0)) as server:
        flooding = threading.Thread(target=flood, args=(server,), daemon=True)
        flooding.start()
        error = error_of(entry(port=server.getsockname()[1], connect_timeout_s=20))
        flooding.join(10)
    assert error.kind == "unreachable"
    assert "does not answer as an SSH server" in str(error)
    # What the kernel holds in its buffers comes on top of the megabyte that is taken.
    assert sum(sent) < 16 << 20


def test_server_that_falls_silent_during_the_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowServer(PasswordServer):
        def check_auth_password(self, username: str, password: str) -> int:
            time.sleep(2)
            return super().check_auth_password(username, password)

    monkeypatch.setenv("PI_PASSWORD", "right")
    key = paramiko.ECDSAKey.generate()
    with listening(SlowServer("right"), key) as port:
        error = error_of(with_password(tmp_path, port, key).model_copy(update={"connect_timeout_s": 1.5}))
    assert error.kind == "lost"
    assert str(error) == (
        "pi ended the connection during the login, or fell silent: if it repeats, and the agent has many keys, give "
        "`key: PATH` for pi in the inventory (tried twice)"
    )


def test_wrong_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PI_PASSWORD", "wrong")
    server, key = PasswordServer("right"), paramiko.ECDSAKey.generate()
    with listening(server, key) as port:
        error = error_of(with_password(tmp_path, port, key))
    assert error.kind == "auth"
    assert str(error) == (
        "pi refuses the password of the user pi: type the command again with the right one, or correct `user` and "
        "`password` of pi in the inventory"
    )
    assert server.tried == ["wrong"]


def test_user_key_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "absent"
    error = error_of(entry(key=str(path)))
    assert error.kind == "auth"
    assert str(error) == (
        f"the key of pi, {path}, does not exist: correct `key` in the inventory, or make one with "
        f"`ssh-keygen -t ed25519 -f {path}`"
    )


def test_user_key_with_a_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "locked"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(path)]
    try:
        subprocess.run(make, check=True)
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not installed")
    error = error_of(entry(key=str(path)))
    assert error.kind == "auth"
    assert str(error) == (
        f"the key of pi, {path}, has a passphrase: type `ssh-add {path}`, and in the inventory give `agent: true` in "
        "the place of `key`"
    )


def test_user_key_that_is_something_else(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("not a key")
    path.chmod(0o600)
    error = error_of(entry(key=str(path)))
    assert error.kind == "auth"
    assert str(error).startswith(f"the key of pi, {path}, is no private key that can be read: ")


def test_trust_records_a_key_once_and_refuses_another(config: Path) -> None:
    pi = entry(port=2222)
    assert recorded_keys(pi) == ()
    assert trust(pi, KEY) == config / "known_hosts"
    assert trust(pi, KEY) == config / "known_hosts"
    trust(entry(), OTHER)
    assert (config / "known_hosts").read_text() == (
        f"[127.0.0.1]:2222 ssh-ed25519 {KEY.text}\n127.0.0.1 ssh-ed25519 {OTHER.text}\n"
    )
    assert recorded_keys(pi) == (KEY,)
    with pytest.raises(DeviceError) as caught:
        trust(pi, OTHER)
    assert caught.value.kind == "host_key"
    assert str(caught.value) == (
        f"THE HOST KEY OF pi ([127.0.0.1]:2222) HAS CHANGED: it shows {OTHER.fingerprint}, but {KEY.fingerprint} is "
        "recorded: another machine may be answering in its place; nothing was sent; only if you know that the board "
        f"was installed anew, remove its line from {config}/known_hosts and type `fusekit devices trust pi`"
    )


def test_known_hosts_of_an_entry_replaces_fusekits_own(tmp_path: Path) -> None:
    assert known_hosts_path(entry(known_hosts=str(tmp_path / "mine"))) == tmp_path / "mine"


def test_fingerprint_is_written_as_openssh_does() -> None:
    # GitHub's published Ed25519 key and fingerprint.
    assert KEY.fingerprint == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
