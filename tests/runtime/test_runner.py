"""The runner's promises to the toolkit, natively and as aarch64 under QEMU."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fusekit.toolkit.link import Arch

from .conftest import ONE_THREAD, TWO_THREADS, Bench, N

QUICK = ("--rounds", "2", "--round-ms", "0", "--warmup", "0")


@pytest.mark.parametrize("symbol", [ONE_THREAD, TWO_THREADS])
def test_outputs_are_the_models_when_checked_only(bench: Bench, runner: Path, symbol: str) -> None:
    said = bench.run(runner, "--check-only")
    assert said.exit_code == 0
    np.testing.assert_allclose(bench.output(symbol), bench.expected(symbol), rtol=1e-6)
    assert [line["type"] for line in said.lines] == ["host", "variant", "variant", "host_after", "end"]


@pytest.mark.parametrize("symbol", [ONE_THREAD, TWO_THREADS])
def test_denormals_are_zero_in_every_thread_when_timed(bench: Bench, runner: Path, symbol: str) -> None:
    np.full(N, 1e-40, np.float32).tofile(bench.folder / "input.bin")
    np.zeros(N, np.float32).tofile(bench.folder / "weights.bin")
    assert bench.run(runner, *QUICK).exit_code == 0
    assert not bench.output(symbol).any()
    assert bench.run(runner, "--check-only").exit_code == 0
    assert bench.output(symbol).all()


def test_lines_tell_host_variants_samples_and_nonce_when_timed(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, *QUICK, "--min-samples", "4")
    (host,) = said.of_type("host")
    assert host["arch"] == bench.arch
    assert host["n_cpus"] >= 1
    assert host["cpu_part"]
    assert set(host) == set(said.of_type("host_after")[0])
    variants = {line["symbol"]: line for line in said.of_type("variant")}
    assert {s: line["threads"] for s, line in variants.items()} == {ONE_THREAD: 1, TWO_THREADS: 2}
    assert all(line["arena_bytes"] == 4000 for line in variants.values())
    assert all(line["load_ns"] > 0 and line["first_run_ns"] > 0 for line in variants.values())
    for line in said.of_type("samples"):
        assert len(line["ns"]) == 4
        assert all(isinstance(ns, int) and ns > 0 for ns in line["ns"])
    assert said.lines[-1] == {"type": "end", "nonce": "c0ffee", "ok": True}
    assert said.exit_code == 0


@pytest.mark.parametrize("arch", ["aarch64"], indirect=True)
def test_cpu_part_is_the_emulated_boards_when_under_qemu(bench: Bench, runner: Path) -> None:
    if os.uname().machine == "aarch64":
        pytest.skip("this machine is aarch64 itself; the test needs qemu-aarch64 -cpu cortex-a76")
    assert bench.run(runner, "--check-only").lines[0]["cpu_part"] == "0xd0b"


def test_rounds_go_forth_and_back_when_interleaved(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--rounds", "3", "--round-ms", "0")
    visits = [(line["round"], line["symbol"]) for line in said.of_type("samples")]
    a, b = ONE_THREAD, TWO_THREADS
    assert visits == [(0, a), (0, b), (1, b), (1, a), (2, a), (2, b)]


def test_order_is_the_callers_when_variants_are_named(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, *QUICK, "--variants", f"{TWO_THREADS},{ONE_THREAD}")
    first_round = [line["symbol"] for line in said.of_type("samples") if line["round"] == 0]
    assert first_round == [TWO_THREADS, ONE_THREAD]


def test_a_visit_lasts_round_ms_when_runs_are_short(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--rounds", "1", "--round-ms", "30", "--variants", ONE_THREAD)
    (line,) = said.of_type("samples")
    assert len(line["ns"]) > 3
    assert sum(line["ns"][:-1]) < 30_000_000  # all but the last began before the time was up


def test_steps_are_timed_when_profiled(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--check-only", "--profile", "5")
    assert [line["symbol"] for line in said.of_type("steps")] == [ONE_THREAD, TWO_THREADS]
    for line in said.of_type("steps"):
        assert np.array(line["ns"]).shape == (5, 2)
        assert (np.array(line["ns"]) > 0).all()


def test_variants_take_turns_of_ten_runs_when_profiled(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--check-only", "--profile", "23")
    visits = [(line["symbol"], len(line["ns"])) for line in said.of_type("steps")]
    a, b = ONE_THREAD, TWO_THREADS
    assert visits == [(a, 10), (b, 10), (b, 10), (a, 10), (a, 3), (b, 3)]


def test_threads_are_pinned_when_cpus_are_given(bench: Bench, runner: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    said = bench.run(runner, *QUICK, "--cpus", f"{cpus[-1]},{cpus[0]}")
    assert said.exit_code == 0
    np.testing.assert_allclose(bench.output(TWO_THREADS), bench.expected(TWO_THREADS), rtol=1e-6)


def test_counters_are_counted_or_null_with_a_reason(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--check-only", "--counters", "--round-ms", "1")
    assert said.exit_code == 0
    assert [line["symbol"] for line in said.of_type("counters")] == [ONE_THREAD, TWO_THREADS]
    for line in said.of_type("counters"):
        if line["counts"] is None:
            assert line["reason"]
        else:
            assert line["runs"] > 0
            assert 0 < len(line["counts"])
            assert set(line["counts"]) <= {"cycles", "instructions", "cache-misses", "branch-misses"}


@pytest.mark.parametrize("arch", ["aarch64"], indirect=True)
def test_the_runner_itself_runs_on_an_older_cpu(bench: Bench, runner: Path) -> None:
    if os.uname().machine == "aarch64":
        pytest.skip("this machine is aarch64 itself; the test needs qemu-aarch64 -cpu cortex-a53")
    said = bench.run(runner, "--check-only", cpu="cortex-a53")
    assert said.lines[0]["cpu_part"] == "0xd03"
    assert said.exit_code == 0


@pytest.mark.parametrize("arch", ["aarch64"], indirect=True)
def test_counters_are_null_when_the_system_call_is_missing(bench: Bench, runner: Path) -> None:
    if os.uname().machine == "aarch64":
        pytest.skip("this machine is aarch64 itself, with perf_event_open; qemu-user has none")
    said = bench.run(runner, "--check-only", "--counters")
    assert {line["counts"] for line in said.of_type("counters")} == {None}
    assert {line["reason"] for line in said.of_type("counters")} == {"this system has no perf_event_open"}


LACKED = {"x86_64": "avx512er", "aarch64": "svef64mm"}  # Xeon Phi; no Cortex-A and no Neoverse-N1


def test_refuses_before_running_when_a_feature_is_missing(
    bench: Bench, lacking: Callable[[Arch, str], Path]
) -> None:
    baseline = {"x86_64": "sse2", "aarch64": "asimd"}[bench.arch]
    said = bench.run(lacking(bench.arch, f"{baseline},{LACKED[bench.arch]}"))
    assert said.exit_code == 3
    assert said.error["kind"] == "isa"
    assert said.error["message"] == f"this CPU lacks {LACKED[bench.arch]}, which {ONE_THREAD} needs"
    assert not (bench.folder / "out").exists()


def test_refuses_when_a_feature_is_unknown(bench: Bench, lacking: Callable[[Arch, str], Path]) -> None:
    said = bench.run(lacking(bench.arch, "flux"))
    assert said.exit_code == 3
    assert "does not know the CPU feature 'flux'" in said.error["message"]


def test_runs_when_the_emulated_cpu_has_the_features(
    bench: Bench, lacking: Callable[[Arch, str], Path]
) -> None:
    present = {"x86_64": "cmov,sse2", "aarch64": "asimd,fphp,asimddp"}[bench.arch]
    assert bench.run(lacking(bench.arch, present), "--check-only").exit_code == 0


def test_refuses_when_weights_have_another_size(bench: Bench, runner: Path) -> None:
    (bench.folder / "weights.bin").write_bytes(bytes(4004))
    said = bench.run(runner)
    assert (said.exit_code, said.error["kind"]) == (1, "weights")
    assert said.error["message"] == "weights.bin has 4004 bytes, and the model needs 4000"


def test_refuses_when_weights_are_not_named(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, flags=["--nonce", "1", "--input", "input.bin", "--out", "out"])
    assert (said.exit_code, said.error["kind"]) == (2, "usage")
    assert said.error["message"] == f"{ONE_THREAD} needs its weights: --weights {ONE_THREAD}=FILE"


def test_refuses_when_an_input_is_missing(bench: Bench, runner: Path) -> None:
    (bench.folder / "input.bin").unlink()
    said = bench.run(runner)
    assert (said.exit_code, said.error["kind"]) == (1, "input")
    assert said.error["message"] == "input.bin cannot be opened: No such file or directory"


def test_refuses_when_the_number_of_inputs_differs(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--input", "input.bin")
    assert (said.exit_code, said.error["kind"]) == (2, "usage")
    assert said.error["message"] == f"{ONE_THREAD} takes 1 inputs, and --input is given 2 times"


def test_fails_when_outputs_cannot_be_written(bench: Bench, runner: Path) -> None:
    (bench.folder / "out").write_text("a file where the folder should be")
    said = bench.run(runner)
    assert (said.exit_code, said.error["kind"]) == (1, "output")
    assert f"out/{ONE_THREAD}.0.bin cannot be written: Not a directory" in said.error["message"]


def test_fails_when_the_output_folder_has_no_parent(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--out", "no/such/folder")
    assert (said.exit_code, said.error["kind"]) == (1, "output")
    assert said.error["message"] == "no/such/folder cannot be created: No such file or directory"


def test_fails_with_its_own_kind_when_the_disk_is_full(bench: Bench, runner: Path) -> None:
    out = bench.folder / "out"
    out.mkdir()
    (out / f"{ONE_THREAD}.0.bin").symlink_to("/dev/full")
    said = bench.run(runner)
    assert (said.exit_code, said.error["kind"]) == (1, "disk_full")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--round", "3"], "'--round' is not a flag of this runner"),
        (["--rounds"], "--rounds is not a flag, or its value is missing"),
        (["--rounds", "3x"], "--rounds needs a whole number from 0 to 1000000000, not '3x'"),
        (["--weights", "w.bin"], "--weights needs SYMBOL=FILE, not 'w.bin'"),
        (["--cpus", "0"], f"{TWO_THREADS} runs on 2 threads, and --cpus names 1 CPUs (64 at most)"),
        (["--variants", "fk_model_x"], "--variants names fk_model_x, which is not linked into this runner"),
    ],
)
def test_refuses_the_command_line_when_it_is_wrong(
    bench: Bench, runner: Path, extra: list[str], message: str
) -> None:
    said = bench.run(runner, *extra)
    assert (said.exit_code, said.error["kind"], said.error["message"]) == (2, "usage", message)


def test_fails_when_a_cpu_does_not_exist(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--cpus", "0,1000")
    assert (said.exit_code, said.error["kind"]) == (1, "threads")


def test_text_is_json_when_it_has_quotes_and_bytes(bench: Bench, runner: Path) -> None:
    said = bench.run(runner, "--nonce", 'a"\\\n\u00e9', "--check-only")
    assert said.lines[-1]["nonce"] == 'a"\\\n\u00c3\u00a9'
