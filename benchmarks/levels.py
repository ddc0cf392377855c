"""Fusion levels against each other on the README's nets: python -m benchmarks.levels [MODEL…] [--threads 1] [--rounds 10] [-o FILE]

All in the same turns: `none` beside ONNX Runtime without graph optimisation, which runs an operator at a time too, and `basic` beside LiteRT,
whose kernels fuse as much, so that neither is a weak baseline.
"""

from __future__ import annotations

from .run_compare import run_compare

if __name__ == "__main__":
    run_compare("levels", engines="fusekit-basic,fusekit-none,onnxruntime-none,litert", fusion="full")
