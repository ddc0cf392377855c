"""fusekit and its peers on the README's nets: python -m benchmarks.peers [MODEL…] [--threads 1] [--rounds 10] [-o FILE]

Models given are compared too; one with its .tflite original beside it runs in LiteRT. Needs `pip install 'fusekit[peers]'`.
"""

from __future__ import annotations

from .run_compare import run_compare

if __name__ == "__main__":
    run_compare("peers", engines="onnxruntime,openvino,litert,ncnn,mnn", fusion="full")
