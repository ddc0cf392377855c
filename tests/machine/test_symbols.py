"""Objects stand alone: on every target nothing is left for a linker to find, and the descriptor is where the runner looks."""

from __future__ import annotations

import pytest

from fusekit.compiler.bundle import Bundle
from fusekit.compiler.compile import Options, compile_model
from fusekit.compiler.kernel_cache import kernel_objects
from fusekit.compiler.target import TARGETS

from .elf_symbols import arch_of, symbols_of, undefined_symbols
from .kernels import kernel_of
from .nets import mini_net, save


@pytest.fixture(scope="module", params=TARGETS)
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A net with a little of everything, for one target, two threads."""
    path = save(mini_net(), tmp_path_factory.mktemp("net") / "mini.onnx")
    return compile_model(path, Options(target=request.param, threads=2))


def test_model_has_no_undefined_symbol(bundle: Bundle) -> None:
    assert undefined_symbols(bundle.files["model.o"]) == []


def test_model_is_for_the_target(bundle: Bundle) -> None:
    assert arch_of(bundle.files["model.o"]) == TARGETS[bundle.manifest.target.name].arch


def test_model_defines_descriptor_and_kernels(bundle: Bundle) -> None:
    by_name = {symbol.name: symbol for symbol in symbols_of(bundle.files["model.o"]) if symbol.name}
    assert by_name[bundle.manifest.symbol].binding == "global"
    for kernel in bundle.manifest.kernels:
        assert by_name[kernel.name].binding == "weak", f"{kernel.name}: variants in one program share kernels"
    others = [
        name
        for name, symbol in by_name.items()
        if symbol.binding == "global" and bundle.manifest.hash not in name
    ]
    assert others == [], "a global symbol without the model's hash may clash with another model's"


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4", "cortex-a76"])
def test_a_kernel_alone_has_no_undefined_symbol(target: str) -> None:
    kernel = kernel_of("depthwise3x3", target)
    assert undefined_symbols(kernel_objects((kernel,))[kernel.symbol]) == []
