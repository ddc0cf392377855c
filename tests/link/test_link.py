"""Objects in, programs and libraries out; made by LLVM as the compiler makes them."""

import ctypes
import json
import platform
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import llvmlite.binding as llvm
import pytest

from fusekit.errors import UserError
from fusekit.toolkit.link import Arch, link_runner, link_shared, runner_runtime_is_built, toolchain
from fusekit.toolkit.link.toolchain import STACK_BYTES, Gcc, find_toolchain, host_arch

KERNEL = "fk_pointwise_0123456789abcdef"
A, B = "fk_model_00000000000000aa", "fk_model_00000000000000bb"

MODEL = """
target triple = "{triple}"
%fk_model = type {{ i32, i32, i32, i32, i32, i32, i64, i64, i64, ptr, ptr, ptr, ptr, ptr, ptr }}
${kernel} = comdat any

@fk_model_symbol = private constant [26 x i8] c"{symbol}\\00"
@no_features = private constant [1 x i8] zeroinitializer
@bytes = private constant [1 x i64] [i64 4]
@{symbol} = constant %fk_model {{ i32 1, i32 {threads}, i32 1, i32 1, i32 1, i32 0, i64 0, i64 0, i64 0,
    ptr @bytes, ptr @bytes, ptr @fk_model_symbol, ptr @no_features, ptr @run, ptr @run }}
@listed = internal constant ptr @{symbol}, section "fk_models"
@llvm.used = appending global [1 x ptr] [ptr @listed], section "llvm.metadata"

; negates one float
define linkonce_odr hidden void @{kernel}(ptr %out, ptr %in) comdat {{
    %x = load float, ptr %in
    %y = fneg float %x
    store float %y, ptr %out
    ret void
}}

; fk_call: inputs, outputs, weights, arena, scratch, barrier
define internal void @run(ptr %call, i64 %thread) {{
    %first = icmp eq i64 %thread, 0
    br i1 %first, label %work, label %meet
work:
    %inputs = load ptr, ptr %call
    %in = load ptr, ptr %inputs
    %outputs_at = getelementptr ptr, ptr %call, i64 1
    %outputs = load ptr, ptr %outputs_at
    %out = load ptr, ptr %outputs
    call void @{kernel}(ptr %out, ptr %in)
    br label %meet
meet:
    %alone = icmp eq i32 {threads}, 1
    br i1 %alone, label %done, label %wait
wait:
    %barrier_at = getelementptr ptr, ptr %call, i64 5
    %barrier = load ptr, ptr %barrier_at
    call void %barrier(ptr %call, i64 %thread)
    br label %done
done:
    ret void
}}
"""


def model(arch: Arch, symbol: str, threads: int = 1) -> bytes:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = f"{arch}-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine(reloc="pic", codemodel="small")
    text = MODEL.format(triple=triple, symbol=symbol, kernel=KERNEL, threads=threads)
    emitted: bytes = machine.emit_object(llvm.parse_assembly(text))
    return emitted


def program_headers(elf: bytes) -> dict[int, int]:
    """The size in memory of each kind of program header."""
    (offset,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    at = [offset + i * size for i in range(count)]
    return {struct.unpack_from("<I", elf, i)[0]: struct.unpack_from("<Q", elf, i + 40)[0] for i in at}


PT_DYNAMIC, PT_INTERP, PT_GNU_STACK = 2, 3, 0x6474E551


@pytest.fixture(params=["x86_64", "aarch64"])
def arch(request: pytest.FixtureRequest) -> Arch:
    arch: Arch = request.param
    return arch


def test_the_runner_is_static_and_has_a_deep_stack(arch: Arch) -> None:
    headers = program_headers(link_runner(arch, [model(arch, A)]))
    assert PT_INTERP not in headers
    assert PT_DYNAMIC not in headers
    assert headers[PT_GNU_STACK] == STACK_BYTES


def test_variants_share_a_kernel_when_its_hash_is_the_same(arch: Arch) -> None:
    runner = link_runner(arch, [model(arch, A), model(arch, B)])
    assert runner.count(KERNEL.encode() + b"\0") == 1
    assert runner.count(A.encode() + b"\0") >= 1
    assert runner.count(B.encode() + b"\0") >= 1


def test_the_same_objects_give_the_same_bytes(arch: Arch) -> None:
    objects = [model(arch, A), model(arch, B)]
    assert link_runner(arch, objects) == link_runner(arch, objects)
    assert link_shared(model(host_arch(), A)) == link_shared(model(host_arch(), A))


def test_linking_names_the_symbol_when_two_models_are_the_same(arch: Arch) -> None:
    with pytest.raises(RuntimeError, match=f"duplicate symbol: {A}"):
        link_runner(arch, [model(arch, A), model(arch, A)])


def test_the_runtime_is_built_once(arch: Arch) -> None:
    link_runner(arch, [model(arch, A)])
    assert runner_runtime_is_built(arch)


def run_program(folder: Path, runner: bytes) -> list[str]:
    (folder / "runner").write_bytes(runner)
    (folder / "runner").chmod(0o755)
    (folder / "in").write_bytes(struct.pack("<f", 2.5))
    argv = ["./runner", "--nonce", "1", "--input", "in", "--out", "out", "--check-only"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    return [json.loads(line)["type"] for line in done.stdout.splitlines()]


def test_models_made_by_llvm_run_on_this_machine(tmp_path: Path) -> None:
    arch = host_arch()
    said = run_program(tmp_path, link_runner(arch, [model(arch, A), model(arch, B, threads=2)]))
    assert said == ["host", "variant", "variant", "host_after", "end"]
    for symbol in (A, B):
        assert (tmp_path / "out" / f"{symbol}.0.bin").read_bytes() == struct.pack("<f", -2.5)


class Call(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in
                ("inputs", "outputs", "weights", "arena", "scratch", "barrier", "tick")]  # fmt: skip


@pytest.fixture
def library(tmp_path: Path) -> Iterator[ctypes.CDLL]:
    path = tmp_path / "model.so"
    path.write_bytes(link_shared(model(host_arch(), A, threads=2)))
    loaded = ctypes.CDLL(str(path))
    loaded.fk_crew_create.restype = ctypes.c_void_p
    loaded.fk_crew_create.argtypes = [ctypes.c_int64, ctypes.c_void_p]
    loaded.fk_crew_run.argtypes = [ctypes.c_void_p] * 3
    loaded.fk_crew_destroy.argtypes = [ctypes.c_void_p]
    yield loaded


def test_the_library_runs_its_model_on_a_crew(library: ctypes.CDLL) -> None:
    run = ctypes.c_void_p.in_dll(library, A)  # the descriptor's address; `run` is its second last pointer
    entry = ctypes.c_void_p.from_address(ctypes.addressof(run) + 24 + 24 + 4 * 8)
    given, got = ctypes.c_float(1.5), ctypes.c_float()
    inputs = (ctypes.c_void_p * 1)(ctypes.addressof(given))
    outputs = (ctypes.c_void_p * 1)(ctypes.addressof(got))
    call = Call(inputs=ctypes.addressof(inputs), outputs=ctypes.addressof(outputs))
    crew = library.fk_crew_create(2, None)
    for value in (1.5, -3.0, 0.25):
        given.value = value
        library.fk_crew_run(crew, ctypes.byref(call), entry)
        assert got.value == -value
    library.fk_crew_destroy(crew)


def test_the_library_exports_models_and_the_crew_only(library: ctypes.CDLL) -> None:
    for name in (A, "fk_crew_create", "fk_crew_run", "fk_crew_destroy"):
        assert hasattr(library, name)
    assert not hasattr(library, KERNEL)


def test_concurrent_processes_build_the_same_file_once(tmp_path: Path) -> None:
    program = (
        "from fusekit.toolkit.link.runtime import crew_object; "
        "from fusekit.toolkit.link.toolchain import host_arch; print(crew_object(host_arch()))"
    )
    argv = ["env", f"FUSEKIT_CACHE={tmp_path}", sys.executable, "-c", program]
    root = Path(__file__).parents[2]
    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(lambda _: subprocess.check_output(argv, cwd=root, timeout=120), range(3)))
    assert len(set(said)) == 1
    assert sorted(p.suffix for p in (tmp_path / "runtime").iterdir()) == ["", ".o"]  # the lock and the object


def without_zig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_find_zig", lambda: None)


def test_gcc_links_when_zig_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed (apt-get install gcc libc6-dev)")
    monkeypatch.setenv("FUSEKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
    without_zig(monkeypatch)
    arch = host_arch()
    assert isinstance(find_toolchain(arch), Gcc)
    assert run_program(tmp_path, link_runner(arch, [model(arch, A)]))[-1] == "end"
    (tmp_path / "model.so").write_bytes(link_shared(model(arch, A)))
    assert hasattr(ctypes.CDLL(str(tmp_path / "model.so")), "fk_crew_run")


def test_says_what_to_install_when_there_is_no_toolchain(monkeypatch: pytest.MonkeyPatch) -> None:
    without_zig(monkeypatch)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(UserError) as told:
        link_runner("aarch64", [])
    assert str(told.value) == (
        "linking for aarch64 needs a C toolchain, and neither the Python package ziglang "
        "nor aarch64-linux-gnu-gcc is installed; type: pip install ziglang"
    )
    with pytest.raises(UserError, match="nor x86_64-linux-gnu-gcc nor gcc is installed"):
        link_runner("x86_64", [])


def test_says_what_this_machine_is_when_there_is_no_runtime_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(UserError) as told:
        link_shared(b"")
    assert str(told.value) == (
        "this machine is riscv64, and models load in process on x86_64 and aarch64 only; "
        "compile with --target of a device and use its runner"
    )
