"""Every variant of models on every kind of CPU against ONNX Runtime; what the suite tries on small nets, on any model.

python -m tests.matrix zoo:resnet18 model.onnx --targets x86-64-v3,cortex-a53

Code for this machine runs natively, aarch64 under QEMU, and AVX-512 under Bochs where the CPU has none. One line a variant: its largest error as a
share of its tolerance. Minutes a model; the exit code is 1 where an answer was wrong.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from fusekit.compiler.bundle import Bundle
from fusekit.compiler.target import find_target
from fusekit.errors import UserError
from fusekit.toolkit.host_features import host_features
from fusekit.toolkit.reference import Arrays, seeded_inputs
from fusekit.toolkit.zoo import ZOO, export

from .avx512.guest import boot
from .avx512.image import Job
from .emulated.run_bundles import check_against_reference, run_bundles, variants

TARGETS = ("x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4", "cortex-a53", "cortex-a76")
LIMIT_S = 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument(
        "models",
        nargs="*",
        default=[f"zoo:{name}" for name in ZOO],
        metavar="MODEL",
        help="a file, or zoo:NAME",
    )
    parser.add_argument("--targets", default=",".join(TARGETS))
    chosen = parser.parse_args()
    wrong = 0
    for model in chosen.models:
        for target in chosen.targets.split(","):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    for line, right in _tried(model, target, Path(folder)):
                        wrong += not right
                        print(line, flush=True)
                except UserError as error:
                    parser.exit(2, f"{error}\n")
    return 1 if wrong else 0


def _tried(model: str, target: str, folder: Path) -> Iterator[tuple[str, bool]]:
    """One line for each variant, and whether its outputs are right."""
    name = model.removeprefix("zoo:")
    path = export(name, folder / f"{name}.onnx") if model.startswith("zoo:") else Path(model)
    bundles = variants(path, target)
    feeds = seeded_inputs(bundles[0].manifest)
    for bundle, got in zip(bundles, _outputs(bundles, feeds, folder), strict=True):
        checks = check_against_reference(path, bundle, got)
        share = max(
            check.max_abs_error / check.limit if check.max_abs_error and check.limit else 0
            for check in checks
        )
        faults = "; ".join(f"{check.name}: {check.detail}" for check in checks if not check.ok)
        variant = bundle.manifest
        yield (
            f"{path.stem} {target} {variant.fusion} {variant.threads} {share:.4f} {faults or 'ok'}",
            not faults,
        )


def _outputs(bundles: Sequence[Bundle], feeds: Arrays, folder: Path) -> Sequence[Arrays]:
    target = find_target(bundles[0].manifest.target.name)
    if target.arch == "aarch64":
        run = run_bundles(bundles, folder, target.name, LIMIT_S, feeds)
    elif host_features() >= set(target.features):
        run = run_bundles(bundles, folder, None, LIMIT_S, feeds)
    else:
        return boot([Job(bundle, feeds) for bundle in bundles], folder, timeout_s=LIMIT_S).outputs
    assert run.exit_code == 0, run.messages
    return run.outputs


if __name__ == "__main__":
    raise SystemExit(main())
