"""Model objects in, programs out: the static runner for a device, the shared library for this process."""

from .link import link_runner, link_shared
from .runtime import runner_runtime_is_built
from .toolchain import Arch

__all__ = ["Arch", "link_runner", "link_shared", "runner_runtime_is_built"]
