"""Denormals flushed to zero for the calling thread and the threads that it starts later, as deployed engines run."""

from __future__ import annotations

import ctypes
import platform

# Where the control register lies in the C library's fenv_t, in 32-bit words, and its bits that flush:
# MXCSR's FTZ and DAZ (Intel SDM, volume 1, section 10.2.3), FPCR's FZ (Arm ARM, C5.2.8).
_REGISTER = {"x86_64": (7, 0x8040), "aarch64": (0, 1 << 24)}


def flush_denormals() -> None:
    """Set the bits by the C library's own floating-point environment; OSError where it does not take them."""
    word, bits = _REGISTER[platform.machine()]
    libm = ctypes.CDLL("libm.so.6")
    environment = (ctypes.c_uint32 * 16)()
    libm.fegetenv(environment)
    environment[word] |= bits
    libm.fesetenv(environment)
    libm.fegetenv(environment)
    if environment[word] & bits != bits:
        raise OSError("the C library does not set the floating-point control register")
