"""The roofline: work counted by hand, bounds from given ceilings, and the probe and the command on this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from matplotlib.text import Text

import fusekit
from fusekit import UserError
from fusekit.compiler.compile import Options, lower_graph
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.compiler.objects import listing
from fusekit.compiler.passes import canonicalise
from fusekit.compiler.target import find_target
from fusekit.toolkit.cli import main
from fusekit.toolkit.report.roofline import check_suffix, roofline_page
from fusekit.toolkit.roofline.ceiling import Ceiling
from fusekit.toolkit.roofline.probe import ANSWER, OUTPUT, SIZES, _code, _kernel, probe_bundle, probes
from fusekit.toolkit.roofline.roofline import Point, Roofline, measure_roofline, quickest_runs, quickest_steps
from fusekit.toolkit.roofline.work import Work, work_of
from fusekit.toolkit.zoo.net import Net

from .fake_device import FakeDevice
from .fake_record import timed_record

CEILING = Ceiling(
    peak_gflops=100.0,
    write_gbps=dict.fromkeys(SIZES, 10.0),
    read_gbps={size: 40.0 if size < 1 << 20 else 20.0 for size in SIZES},
    copy_gbps=dict.fromkeys(SIZES, 16.0),
)


def save_net(path: Path) -> Path:
    """A 1x1 convolution of 8 to 16 channels over 4x4 and its ReLU."""
    net = Net("net", seed=1)
    x = net.conv("x", "conv", (8, 16))
    net.add("Relu", [x], "y")
    onnx.save(net.model({"x": (1, 8, 4, 4)}, {"y": (1, 16, 4, 4)}), path)
    return path


def test_work_counts_multiply_adds_epilogues_and_every_byte_once(tmp_path: Path) -> None:
    graph = canonicalise(import_onnx(save_net(tmp_path / "net.onnx"), {}))
    (work,) = work_of(lower_graph(graph, Options(target="x86-64-v3")))
    outputs, depth = 16 * 16, 8
    assert work.label == "conv" and work.flops == 2 * outputs * depth
    relu = 1
    assert work.slots == outputs * depth + outputs * relu
    assert (work.read_bytes, work.written_bytes) == (4 * 8 * 16, 4 * outputs)
    assert work.weight_bytes == 4 * (16 * 8 + 16)
    # without a fused multiply-add each is two operations
    (slow,) = work_of(lower_graph(graph, Options(target="x86-64-v2")))
    assert slow.slots == 2 * outputs * depth + outputs * relu


def test_bound_is_the_longer_of_pipes_and_memory() -> None:
    busy = Work("", (), 0, slots=5_000, read_bytes=400, written_bytes=0, weight_bytes=0)
    assert CEILING.bound_ns(busy, 0) == (100.0, "pipes")
    # 160 bytes copied to as many at 16 GB/s, 240 more read at 40, weights of a large model at 20
    moving = Work("", (), 0, slots=50, read_bytes=400, written_bytes=160, weight_bytes=400)
    assert CEILING.bound_ns(moving, 8 << 20) == (320 / 16 + 240 / 40 + 400 / 20, "memory")
    assert CEILING.bound_ns(moving, 0) == (320 / 16 + 240 / 40 + 400 / 40, "memory")


def test_the_quickest_runs_are_chosen_whole_and_the_quickest_steps_by_themselves() -> None:
    times = np.array([[1.0, 9.0], [4.0, 4.0], [9.0, 2.0], [3.0, 3.0], [8.0, 8.0]])
    assert quickest_runs(times).tolist() == [[3.0, 3.0], [4.0, 4.0]]
    assert quickest_steps(times).tolist() == [[1.0, 2.0], [3.0, 3.0]]
    assert quickest_runs(times[:1]).tolist() == quickest_steps(times[:1]).tolist() == times[:1].tolist()


@pytest.mark.parametrize("threads", [1, 2])
def test_probe_runs_as_a_model_and_leaves_its_answer(threads: int) -> None:
    target = find_target("host")
    bundle = probe_bundle(target, threads)
    model = fusekit.load(bundle)
    assert np.array_equal(model.run({})[OUTPUT.name], ANSWER)
    found = probes(target, threads)
    ceiling = Ceiling.of(found, [model.run_profiled({})])
    assert ceiling.peak_gflops > 0 and min(ceiling.read_gbps.values()) > 0
    assert len(found) == len(bundle.manifest.kernels) == 2 + 3 * len(SIZES)


def test_probe_of_another_target_keeps_its_chains_in_registers() -> None:
    target = find_target("cortex-a76")
    probe = probes(target, 1)[0]
    text = listing(_code(probe, _kernel(probe, target)), target)
    assert text.count("fmla") == 12 and "[sp" not in text


def test_an_emulated_device_has_no_roofline(tmp_path: Path) -> None:
    device = FakeDevice(lambda argv: [], {}, emulated=True)
    said = "^fake-board is emulated, and its times mean nothing: name a real device with --device$"
    with pytest.raises(UserError, match=said):
        measure_roofline(device, save_net(tmp_path / "net.onnx"), Options())


def test_a_roofline_is_a_picture() -> None:
    said = "^a roofline is drawn as PDF or PNG, not 'r.txt': give a name like reports/roofline.pdf$"
    with pytest.raises(UserError, match=said):
        check_suffix(Path("r.txt"))


def test_inspect_prints_and_draws_the_roofline_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # In a narrower table the long times of a busy machine break the headings.
    monkeypatch.setenv("COLUMNS", "160")
    save_net(tmp_path / "net.onnx")
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "net.onnx", "--roofline", "-o", "r.pdf"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    for text in (
        "net on local",
        "measured peak",
        "16.0 KiB",
        "64.0 MiB",
        "conv",
        "of its bound",
        "undisturbed",
    ):
        assert text in printed
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_shows_both_shares_and_plain_numbers_on_its_axes() -> None:
    works = [Work(f"k{n}", (), 2000 * n, 1000 * n, 400, 400, 0) for n in range(1, 40)]
    slow, quick = (tuple(Point(w, 100.0, bound, "pipes") for w in works) for bound in (50.0, 90.0))
    figure = roofline_page(Roofline(slow, quick, CEILING, timed_record("full")))
    figure.draw_without_rendering()
    said = [text.get_text() for text in figure.findobj(Text)]
    assert not any("$" in text or "…" in text for text in said), said
    assert {"50 %", "90 %", "undisturbed", "1", "10"} <= set(said)


@pytest.mark.parametrize("argv", [[], ["--roofline", "--dump", "graph"]])
def test_inspect_shows_one_thing_at_a_time(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["inspect", "net.onnx", *argv])
    assert ended.value.code == 2
    said = "error: inspect shows one thing at a time: give --dump graph|groups|"
    assert capsys.readouterr().err.startswith(said)
