"""What a user is told where the lab cannot run: one sentence with what to type."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import pytest

from fusekit import UserError
from fusekit.toolkit.lab import needs
from fusekit.toolkit.lab.lab import lab_up


@pytest.fixture(autouse=True)
def able(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has everything."""
    for name in ("bin/qemu-aarch64-static", "arm64/complete", "sshd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("FUSEKIT_LAB", str(tmp_path))
    monkeypatch.setattr(needs, "SSHD", tmp_path / "sshd")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "release", lambda: "6.12.1-amd64")
    monkeypatch.setattr(os, "getuid", lambda: 0)
    proc = {
        "CAPABILITIES": "CapEff:\t000001ffffffffff\n",
        "NAMESPACES": "90000\n",
        "FILE_SYSTEMS": "binfmt_misc\n",
    }
    for name, text in proc.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(needs, name, tmp_path / name)


def test_machine_that_has_everything_misses_nothing() -> None:
    assert needs.missing() is None


def test_another_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    sentence = "the lab's boards need Linux on x86-64, and this is Darwin on arm64"
    assert needs.missing() == sentence
    with pytest.raises(UserError, match=f"^{sentence}$"):
        lab_up(tmp_path / "lab", ["cortex-a76"], 1)
    assert not (tmp_path / "lab").exists()


def test_another_user_than_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert needs.missing() == (
        'the lab\'s boards need root for users of their own: type `sudo "$(command -v fusekit)" lab …`'
    )


def test_container_without_privileges() -> None:
    needs.CAPABILITIES.write_text("CapEff:\t00000000a80425fb\n")
    assert needs.missing() == (
        "the lab's boards need namespaces, which this container may not make: start it with `--privileged`"
    )


def test_older_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "release", lambda: "6.1.0-31-amd64")
    assert needs.missing() == (
        "the lab's boards need Linux 6.7, which runs emulators for a namespace alone, and this is 6.1.0-31-amd64: on "
        "Debian 12, type `apt-get install -t bookworm-backports linux-image-amd64`"
    )


def test_user_namespaces_that_are_switched_off() -> None:
    needs.NAMESPACES.write_text("0\n")
    assert needs.missing() == (
        "user namespaces are switched off: type `sysctl user.max_user_namespaces=10000` as root"
    )


def test_kernel_without_binfmt_misc() -> None:
    needs.FILE_SYSTEMS.write_text("ext4\n")
    assert needs.missing() == "the kernel has no binfmt_misc yet: type `modprobe binfmt_misc` as root"


@pytest.mark.parametrize(
    ("absent", "sentence"),
    [
        ("sshd", "openssh-server is not installed: type `fusekit lab install` as root"),
        (
            "bin/qemu-aarch64-static",
            "the emulator qemu-aarch64-static is not there: type `fusekit lab install` as root",
        ),
        ("arm64/complete", "the boards' arm64 packages are not there: type `fusekit lab install` as root"),
    ],
)
def test_what_install_brings(absent: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / absent).unlink()
    assert needs.missing() == sentence
