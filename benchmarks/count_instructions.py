"""Instructions that one inference executes on an emulated CPU: those of the model and its kernels, which repeat exactly."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from fusekit.cache import cache_dir
from fusekit.compiler.bundle import Bundle
from fusekit.errors import UserError
from fusekit.toolkit.link import link_runner
from fusekit.toolkit.link.toolchain import find_toolchain, host_arch
from fusekit.toolkit.reference import seeded_inputs

SOURCE = Path(__file__).with_name("count_instructions.c")
EXPORTS = "{ global: qemu_plugin_version; qemu_plugin_install; local: *; };\n"
EMULATOR = "qemu-aarch64"
"""Linked dynamically, as Debian's qemu-user is: one that is linked statically loads no plugins."""


def find_emulator() -> str:
    """QEMU's emulator of programs; UserError where it is not installed."""
    found = shutil.which(EMULATOR)
    if found is None:
        raise UserError(
            f"{EMULATOR} is not installed: run tests/lab/install.sh, or install your system's qemu-user"
        )
    return found


def executed_instructions(bundle: Bundle, cpu: str, emulator: str) -> int:
    """Instructions in the functions of a model of one thread, for one inference."""
    manifest = bundle.manifest
    assert manifest.threads == 1, "the plugin counts for one thread"
    prefixes = {"fk_model_", *(kernel.name.rsplit("_", 1)[0] + "_" for kernel in manifest.kernels)}
    with tempfile.TemporaryDirectory(prefix="fusekit-count-") as name:
        folder = Path(name)
        runner, out = folder / "runner", folder / "count"
        runner.write_bytes(link_runner("aarch64", [bundle.files["model.o"]]))
        runner.chmod(0o755)
        words = [str(_plugin(emulator)), f"out={out}", *(f"prefix={prefix}" for prefix in sorted(prefixes))]
        command = [emulator, "-cpu", cpu, "-plugin", ",".join(words)]
        command += [str(runner), "--check-only", "--nonce", "0", "--out", str(folder)]
        for number, array in enumerate(seeded_inputs(manifest).values()):
            (folder / f"input{number}").write_bytes(array.tobytes())
            command += ["--input", str(folder / f"input{number}")]
        (folder / "weights").write_bytes(bundle.files["weights.bin"])
        command += ["--weights", f"{manifest.symbol}={folder / 'weights'}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not out.is_file():
            raise RuntimeError(
                f"{emulator} exited with {done.returncode}: {(done.stderr or done.stdout)[-1000:]}"
            )
        return int(out.read_text())


def _plugin(emulator: str) -> Path:
    """The plugin, built for this emulator once and kept in the cache."""
    version = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", version)
    # QEMU 9 took functions out of its API, none of them used here, and refuses plugins of version 1
    api = 1 if found is None or int(found[1]) < 9 else 2
    arch = host_arch()
    toolchain = find_toolchain(arch)
    text = f"#define PLUGIN_VERSION {api}\n{SOURCE.read_text()}"
    digest = hashlib.sha256(f"{toolchain.identity}\0{text}".encode()).hexdigest()[:16]
    plugin = cache_dir() / "plugins" / f"count_instructions-{digest}.so"
    if not plugin.exists():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=plugin.parent) as name:
            source, object_, exports, built = (Path(name, part) for part in ("c.c", "c.o", "exports", "c.so"))
            source.write_text(text)
            exports.write_text(EXPORTS)
            toolchain.compile_shared(arch, source, object_)
            toolchain.link_library(arch, [object_], exports, built)
            built.replace(plugin)
    return plugin
