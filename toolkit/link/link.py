"""Model objects linked with the runtime, in milliseconds once the runtime is in the cache."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...errors import UserError
from .runtime import crew_object, runner_runtime
from .toolchain import Arch, find_toolchain, host_arch

_EXPORTS = "{ global: fk_model_*; fk_crew_*; local: *; };\n"


def link_runner(arch: Arch, objects: Sequence[bytes]) -> bytes:
    """A static program that runs and times every model of `objects`; for the baseline instruction set itself.

    Objects may share kernels (COMDAT); two objects with the same model symbol do not link.
    Raises UserError when there is no toolchain for `arch`.
    """
    runtime = runner_runtime(arch)
    with tempfile.TemporaryDirectory(prefix="fusekit-link-") as folder:
        models = _written(Path(folder), objects)
        output = Path(folder) / "runner"
        find_toolchain(arch).link_program(arch, [runtime, *models], output)
        return output.read_bytes()


def link_shared(object: bytes, arch: Arch | None = None) -> bytes:
    """model.so, by default for this machine: the model and the crew. Exports fk_model_* and fk_crew_*; libc comes from the process.

    Raises UserError when there is no toolchain, or no runtime for this machine's architecture.
    """
    arch = arch or host_arch()
    crew = crew_object(arch)
    with tempfile.TemporaryDirectory(prefix="fusekit-link-") as folder:
        models = _written(Path(folder), [object])
        exports, output = Path(folder) / "exports", Path(folder) / "model.so"
        exports.write_text(_EXPORTS)
        find_toolchain(arch).link_library(arch, [*models, crew], exports, output)
        return output.read_bytes()


def _written(folder: Path, objects: Sequence[bytes]) -> list[Path]:
    paths = [folder / f"model{i}.o" for i in range(len(objects))]
    for path, content in zip(paths, objects, strict=True):
        if not content.startswith(b"\x7fELF"):
            raise UserError("model.o is no object file: the bundle is damaged, compile the model again")
        path.write_bytes(content)
    return paths
