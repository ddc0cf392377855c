"""Promises of docs/security.md about inventories, secrets and keys; and that each promise there names a test."""

from __future__ import annotations

import logging
import re
import socket
import subprocess
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
import pytest
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL

from fusekit.devices import DeviceError, load_inventory, open_device
from fusekit.devices.inventory import SshEntry
from fusekit.devices.trust import HostKey, trust
from fusekit.errors import UserError

ROOT = Path(__file__).parents[2]
SECRET = "correct horse battery staple"


class PasswordServer(paramiko.ServerInterface):
    """Takes one password and remembers what was tried; opens no session."""

    def __init__(self, password: str) -> None:
        self.tried: list[str] = []
        self._password = password

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        self.tried.append(password)
        return AUTH_SUCCESSFUL if password == self._password else AUTH_FAILED


@contextmanager
def listening(server: PasswordServer, key: paramiko.PKey) -> Iterator[int]:
    """Serve one connection after the other on a port of this machine."""
    transports: list[paramiko.Transport] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                transports.append(paramiko.Transport(link))
                transports[-1].add_server_key(key)
                transports[-1].start_server(event=threading.Event(), server=server)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for transport in transports:
            transport.close()


def with_password(folder: Path, port: int, key: paramiko.PKey) -> SshEntry:
    """A trusted device whose password is in PI_PASSWORD."""
    path = folder / "inventory.yaml"
    path.write_text(
        f"devices: {{pi: {{host: 127.0.0.1, port: {port}, user: pi, target: rpi5, password: {{env: PI_PASSWORD}}}}}}"
    )
    entry = load_inventory(path).entry("pi")
    assert isinstance(entry, SshEntry)
    trust(entry, HostKey.of(key))
    return entry


@pytest.mark.parametrize("right", [True, False])
def test_password_is_in_no_log_no_error_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, right: bool
) -> None:
    monkeypatch.setenv("PI_PASSWORD", SECRET)
    caplog.set_level(logging.DEBUG)
    server, key = PasswordServer(SECRET if right else "another"), paramiko.ECDSAKey.generate()
    with (
        listening(server, key) as port,
        open_device(with_password(tmp_path, port, key)) as device,
        pytest.raises(DeviceError) as caught,
    ):
        device.probe()
    # With the right one the login works, and the server then opens no session.
    assert server.tried == [SECRET] and (caught.value.kind == "auth") is not right
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in f"{caplog.text} {caught.value} {caught.value!r} {told} {device!r} {vars(device)!r}"


@pytest.mark.parametrize(
    "password", [SECRET, "{value: correct horse battery staple}", "[correct horse battery staple]"]
)
def test_password_written_into_an_inventory_is_refused_and_not_repeated(
    tmp_path: Path, password: str
) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(f"devices: {{pi: {{host: h, user: u, target: t, password: {password}}}}}")
    with pytest.raises(UserError) as caught:
        load_inventory(path)
    assert "never the password itself" in str(caught.value) and SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "-rf", ".hidden", "a b", "a;b", "$(b)", "a\\x1b[31m", "all", ""]
)
def test_device_name_is_safe_in_a_path_in_a_shell_and_on_a_terminal(tmp_path: Path, name: str) -> None:
    path = tmp_path / "inventory.yaml"
    for text in (
        f'devices: {{"{name}": {{transport: local}}}}',
        f'groups: {{"{name}": {{}}}}\ndevices: {{a: {{transport: local}}}}',
    ):
        path.write_text(text)
        with pytest.raises(UserError, match="is no name for a (device|group): use letters"):
            load_inventory(path)


def test_private_key_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "id"
    try:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not installed")
    path.chmod(0o644)
    entry = SshEntry(
        name="pi", transport="ssh", host="127.0.0.1", port=1, user="pi", target="rpi5", key=str(path)
    )
    with open_device(entry) as device, pytest.raises(DeviceError) as caught:
        device.probe()
    assert caught.value.kind == "auth"
    assert str(caught.value) == f"the key of pi, {path}, can be read by others: type `chmod 600 {path}`"


def test_every_promise_names_a_test_that_exists() -> None:
    rows = re.findall(
        r"^\| (?!promise|---)(.+) \| (.+) \|$", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE
    )
    promises = [
        (promise, re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests))
        for promise, tests in rows
        if "tests/" in tests
    ]
    assert len(promises) > 15
    for promise, tests in promises:
        assert tests, promise
        for file, name in tests:
            assert re.search(rf"^def {name}\(", (ROOT / file).read_text(), re.MULTILINE), (
                f"{promise}: {file}::{name}"
            )
