"""Tuning: the search against made-up times, what it remembers, what is kept, and all of it on this machine with a small net."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from fusekit import UserError
from fusekit.compiler.analytic_choice import analytic_choice
from fusekit.compiler.choice import Choice, Signature
from fusekit.compiler.compile import Options
from fusekit.compiler.schedule_table import Entry, read_table
from fusekit.compiler.target import TARGETS, find_target
from fusekit.toolkit.cli import main
from fusekit.toolkit.cli.tuning_table import print_tuning
from fusekit.toolkit.measure.statistics import Speedup
from fusekit.toolkit.tune import search as search_module
from fusekit.toolkit.tune import trial_cache
from fusekit.toolkit.tune.search import AT_ONCE, Choices, Subject, search
from fusekit.toolkit.tune.trial_cache import TrialCache
from fusekit.toolkit.tune.tune import TunedKernel, Tuning, tune
from fusekit.toolkit.tune.variant_timer import VISIT, VariantTimer, rounds
from fusekit.toolkit.zoo.net import Net

from .fake_device import FakeDevice
from .fake_record import FACTS, timed_record

AVX2 = TARGETS["x86-64-v3"].machine
POINTS = Signature.parse(
    "contraction 8x196x64 over 24 reads 4704,24,1 writes 12544,64,1 epilogue 2 packed float32"
)
WINDOW = Signature.parse(
    "depthwise 14x14x64 over 3x3 reads 896,64,896 writes 896,64,1 epilogue 2 packed float32"
)


class Memory:
    """Trials that nothing outlives."""

    def __init__(self) -> None:
        self.known: dict[Signature, dict[Choice, Speedup]] = {}

    def of(self, signature: Signature) -> Mapping[Choice, Speedup]:
        return self.known.setdefault(signature, {})

    def add(self, signature: Signature, choice: Choice, gain: Speedup) -> None:
        assert choice not in self.of(signature), "timed twice"
        self.known[signature][choice] = gain


def subject(signature: Signature, *steps: int) -> Subject:
    return Subject(signature, analytic_choice(signature, AVX2), frozenset(steps))


def timer(
    gain: Callable[[Choice], float], seen: list[Choices], noise: float = 0.0
) -> Callable[[Sequence[Choices]], list[dict[Signature, Speedup]]]:
    """As if every choice ran `gain` times as fast as the analytic one, known to within `noise`."""

    def time(variants: Sequence[Choices]) -> list[dict[Signature, Speedup]]:
        seen.extend(variants)
        assert len(variants) <= AT_ONCE
        return [
            {s: Speedup(gain(c), gain(c) - noise, gain(c) + noise) for s, c in variant.items()}
            for variant in variants
        ]

    return time


def likes(choice: Choice) -> float:
    """Best at blocks of 4 x 2, unrolled by 8, in four tiles."""
    return 1.5 - 0.1 * abs(choice.mr - 4) - 0.1 * abs(choice.nv - 2) + 0.1 * (choice.unroll == 8) + 0.1 * (choice.tiles == 4)  # fmt: skip


def test_the_search_finds_the_best_in_every_direction() -> None:
    found = search([subject(POINTS, 0)], AVX2, Memory(), timer(likes, []), lambda text: None)
    assert found == {POINTS: Choice(4, 2, unroll=8, tiles=4)}


def test_what_is_within_the_noise_does_not_lead_the_search() -> None:
    found = search([subject(POINTS, 0)], AVX2, Memory(), timer(lambda c: 1.04, [], 0.05), lambda text: None)
    assert found == {POINTS: analytic_choice(POINTS, AVX2)}


def test_choices_of_one_kernel_are_timed_apart_and_those_of_different_ones_together() -> None:
    def variants(*subjects: Subject) -> list[Choices]:
        seen: list[Choices] = []
        search(subjects, AVX2, Memory(), timer(likes, seen), lambda text: None)
        return seen

    assert all(len(variant) == 1 for variant in variants(subject(POINTS, 0, 3), subject(WINDOW, 3)))
    assert {WINDOW, POINTS} in [set(variant) for variant in variants(subject(POINTS, 0), subject(WINDOW, 3))]


def test_an_interrupted_search_goes_on_where_it_was() -> None:
    class Interrupted(Exception):
        pass

    whole: list[Choices] = []
    search([subject(POINTS, 0)], AVX2, Memory(), timer(likes, whole), lambda text: None)
    parts: list[Choices] = []
    steady, trials = timer(likes, parts), Memory()

    def ends(variants: Sequence[Choices]) -> list[dict[Signature, Speedup]]:
        if parts:
            raise Interrupted
        return steady(variants)

    with pytest.raises(Interrupted):
        search([subject(POINTS, 0)], AVX2, trials, ends, lambda text: None)
    assert 0 < len(parts) < len(whole)
    search([subject(POINTS, 0)], AVX2, trials, steady, lambda text: None)
    assert parts == whole


def test_trials_are_remembered_by_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_cache, "cache_dir", lambda: tmp_path)
    target, gain = TARGETS["rpi5"], Speedup(1.2, 1.1, 1.3)
    cache = TrialCache(FACTS, target)
    cache.add(POINTS, Choice(4), Speedup(0.9, 0.8, 1.0))
    cache.add(POINTS, Choice(6), gain)
    assert TrialCache(FACTS, target).of(POINTS)[Choice(6)] == gain and len(cache.of(POINTS)) == 2
    assert not TrialCache(FACTS, target).of(WINDOW)
    assert not TrialCache(replace(FACTS, cpu_parts=("0xd0c",)), target).of(POINTS)
    assert not TrialCache(FACTS, TARGETS["rpi4"]).of(POINTS)
    (file,) = tmp_path.rglob("*.json")
    file.write_text("[{")
    assert not TrialCache(FACTS, target).of(POINTS)


def test_steps_are_summed_by_run_and_grouped_by_visit() -> None:
    runs = [[10, 1, 5]] * VISIT + [[20, 2, 6]]
    assert rounds(runs, {0, 2}) == [[15] * VISIT, [26]]


@pytest.mark.parametrize(
    ("gain", "kept"),
    [
        (Speedup(1.10, 1.05, 1.15), True),
        (Speedup(1.10, 0.99, 1.2), False),
        (Speedup(1.02, 1.01, 1.03), False),
    ],
)
def test_only_a_clear_gain_is_kept(gain: Speedup, kept: bool) -> None:
    start = analytic_choice(POINTS, AVX2)
    assert TunedKernel(POINTS, "conv", 1, start, Choice(4, 2), 11.0, 10.0, gain).kept is kept
    assert not TunedKernel(POINTS, "conv", 1, start, start, 11.0, 10.0, gain).kept


def test_the_table_names_what_was_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    clear, noise = Speedup(1.25, 1.2, 1.3), Speedup(1.01, 0.9, 1.1)
    start = analytic_choice(POINTS, AVX2)
    square = Signature.parse("winograd 56x56x64 over 64x3x3 reads - writes - epilogue 1 packed float32")
    kernels = (
        TunedKernel(POINTS, "conv", 2, start, Choice(4, 2, 8, 4, True), 2500.0, 2000.0, clear),
        TunedKernel(square, "block", 1, Choice(winograd=True), Choice(), 900.0, 890.0, noise),
        TunedKernel(WINDOW, "deep", 1, Choice(6), Choice(6), 100.0, 100.0, Speedup(1.0, 1.0, 1.0)),
    )
    record = timed_record()
    found = Tuning("net", "a CPU", "x86-64-v3", kernels, 3500.0, 3000.0, Speedup(1.1667, 1.1, 1.2), record)
    print_tuning(found)
    printed = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert (
        "conv (contraction) 2 2.50 µs 2.00 µs 1.250x 1.200–1.300 4x3 4x2 unroll 8 4 tiles row epilogue yes"
        in printed
    )
    assert (
        "block (winograd) 1 900 ns 890 ns 1.010x 0.900–1.100 Winograd direct no, not clearly faster"
        in printed
    )
    assert "deep" not in printed
    assert (
        "kernels searched: 3, choices kept: 1; 3.50 µs by the analytic choices, 3.00 µs tuned, 1.167x (1.100–1.200) for"
        in printed
    )
    assert "1.077x in the geometric mean" in printed
    assert found.decided() == {
        POINTS: Entry(kernels[0].best, 1.25, "a CPU", "net"),
        square: None,
        WINDOW: None,
    }


def test_an_emulated_device_is_not_tuned(tmp_path: Path) -> None:
    device = FakeDevice(lambda argv: [], {}, emulated=True)
    said = "^fake-board is emulated, and its times mean nothing: name a real device with --device$"
    with pytest.raises(UserError, match=said):
        tune(device, tmp_path / "net.onnx", Options(), (), lambda text: None)


def save_net(path: Path) -> Path:
    """A 1x1 convolution of 8 to 16 channels over 4x4 and its ReLU."""
    net = Net("net", seed=1)
    net.add("Relu", [net.conv("x", "conv", (8, 16))], "y")
    onnx.save(net.model({"x": (1, 8, 4, 4)}, {"y": (1, 16, 4, 4)}), path)
    return path


def test_tune_searches_on_this_machine_and_writes_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trial_cache, "cache_dir", lambda: tmp_path / "cache")
    monkeypatch.setattr(search_module, "AT_ONCE", 20)
    save_net(tmp_path / "net.onnx")
    stale = Signature.parse(str(POINTS).replace("64", "80"))
    (tmp_path / "t.toml").write_text(
        f'schema = 1\ncpu = "{find_target("host").cpu}"\n[choices]\n'
        f'"{stale}" = {{ mr = 4, nv = 2, gain = 1.08, device = "a CPU", model = "a model" }}\n'
    )

    def run() -> str:
        with pytest.raises(SystemExit) as ended:
            main(["tune", "net.onnx", "-o", "t.toml"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    first = run()
    assert (
        "net on local" in first and "kernels searched: 1" in first and "for the sum of all kernels" in first
    )
    assert stale in read_table(tmp_path / "t.toml").entries
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 1

    def unwanted(self: VariantTimer, variants: Sequence[Choices]) -> None:
        raise AssertionError("everything was timed before")

    monkeypatch.setattr(VariantTimer, "gains", unwanted)
    assert "kernels searched: 1" in run()
    with pytest.raises(SystemExit) as ended:
        main(["compile", "net.onnx", "--schedules", "t.toml", "-o", "bundle"])
    assert ended.value.code == 0


def test_a_table_of_another_cpu_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.toml"
    path.write_text('schema = 1\ncpu = "cortex-a76"\n[choices]\n')
    with pytest.raises(SystemExit) as ended:
        main(["tune", str(save_net(tmp_path / "net.onnx")), "--target", "x86-64-v3", "-o", str(path)])
    assert ended.value.code == 2
    said = f"error: the schedule table {path} is for cortex-a76, not for x86-64-v3: tune for the target x86-64-v3 too\n"
    assert capsys.readouterr().err == said
