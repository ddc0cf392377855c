"""A session with a device: records when all goes well, one clear failure otherwise, never a number unchecked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from fusekit import UserError
from fusekit.compiler.bundle import Bundle
from fusekit.devices.device import Completed, DeviceError
from fusekit.devices.local import LocalDevice
from fusekit.toolkit.measure.record import Settings
from fusekit.toolkit.measure.session import measure, verify
from fusekit.toolkit.measure.stage import stage
from fusekit.toolkit.reference import Arrays, reference_outputs, seeded_inputs

from .fake_bundle import make_bundle, write_model
from .fake_device import FakeDevice, Message, lines_of, nonce_of

QUICK = Settings(warmup=1, rounds=2, round_ms=2, profile=3)


@dataclass(frozen=True)
class Case:
    bundles: Sequence[Bundle]
    feeds: Arrays
    want: Arrays

    @property
    def symbols(self) -> list[str]:
        return [bundle.manifest.symbol for bundle in self.bundles]

    @property
    def outputs(self) -> dict[str, bytes]:
        return {f"{symbol}.0.bin": self.want["y"].tobytes() for symbol in self.symbols}

    def good(self, argv: Sequence[str]) -> list[Message]:
        return lines_of(argv, self.symbols)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    bundles = [make_bundle(fusion=level, threads=count) for count in (1, 2) for level in ("none", "full")]
    path = write_model(tmp_path_factory.mktemp("model") / "fake.onnx")
    feeds = seeded_inputs(bundles[0].manifest)
    return Case(bundles, feeds, reference_outputs(path, feeds))


@pytest.fixture
def unlinked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusekit.toolkit.measure.stage.link_runner", lambda arch, objects: b"the runner")


def test_measure_on_this_machine(case: Case, tmp_path: Path) -> None:
    with LocalDevice("local", "host", tmp_path) as device:
        records = measure(device, case.bundles, case.feeds, case.want, QUICK)
    for record, bundle in zip(records, case.bundles, strict=True):
        assert record.error is None
        assert record.verified
        assert (record.bundle, record.fusion, record.threads) == (
            bundle.manifest.hash,
            bundle.manifest.fusion,
            bundle.manifest.threads,
        )
        assert record.samples_ns is not None and len(record.samples_ns) == 2
        assert all(len(samples) >= 3 and min(samples) > 0 for samples in record.samples_ns)
        assert record.steps_ns is not None and [len(steps) for steps in record.steps_ns] == [2, 2, 2]
        assert record.host_before is not None and record.host_after is not None
        assert record.facts is not None
    assert len({record.session for record in records}) == 1


def test_measure_leaves_nothing_on_the_device_where_files_are_not_kept(case: Case, tmp_path: Path) -> None:
    with LocalDevice("local", "host", tmp_path) as device:
        records = measure(device, case.bundles, case.feeds, case.want, QUICK, keep=False)
    assert all(record.verified for record in records)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_measure_on_this_machine_finds_wrong_outputs(case: Case, tmp_path: Path) -> None:
    bundles = [make_bundle(), make_bundle(offset=0.5)]
    with LocalDevice("local", "host", tmp_path) as device:
        right, wrong = measure(device, bundles, case.feeds, case.want, QUICK)
    assert right.samples_ns is not None
    assert wrong.samples_ns is None and wrong.steps_ns is None
    assert wrong.error is not None and wrong.error.kind == "check"
    assert wrong.error.message.startswith("output 'y': 16 of 16 elements beyond the limit, first at [0, 0]: ")


def test_runner_refuses_a_cpu_that_lacks_features(case: Case, tmp_path: Path) -> None:
    with LocalDevice("local", "host", tmp_path) as device:
        (record,) = measure(device, [make_bundle(features=("hovercraft",))], case.feeds, case.want, QUICK)
    assert record.error is not None and record.error.kind == "isa"
    assert "hovercraft" in record.error.message


@pytest.mark.usefixtures("unlinked")
def test_measure_shares_equal_files(case: Case) -> None:
    device = FakeDevice(case.good, case.outputs)
    measure(device, case.bundles, case.feeds, case.want, QUICK)
    names = sorted(device.files)
    assert names[:2] == ["input.0.bin", "runner"]
    assert len(names) == 3 and names[2].startswith("weights.")
    command = " ".join(device.commands[0])
    assert f"--variants {','.join(case.symbols)}" in command
    assert "--rounds 2 --round-ms 2" in command


@pytest.mark.usefixtures("unlinked")
def test_emulated_device_is_checked_and_never_timed(case: Case) -> None:
    device = FakeDevice(case.good, case.outputs, emulated=True)
    records = measure(device, case.bundles, case.feeds, case.want, QUICK)
    assert "--check-only" in device.commands[0]
    for record in records:
        assert record.verified and record.error is None
        assert (record.samples_ns, record.steps_ns, record.load_ns, record.first_run_ns) == (None,) * 4


@pytest.mark.usefixtures("unlinked")
def test_verify_takes_no_times(case: Case) -> None:
    device = FakeDevice(case.good, case.outputs)
    records = verify(device, case.bundles, case.feeds, case.want, QUICK)
    assert "--check-only" in device.commands[0]
    assert all(record.verified and record.samples_ns is None for record in records)


@pytest.mark.usefixtures("unlinked")
@pytest.mark.parametrize("keep", range(14))
def test_a_stream_cut_after_any_line_is_lost(case: Case, keep: int) -> None:
    device = FakeDevice(lambda argv: case.good(argv)[:keep], case.outputs)
    records = measure(device, case.bundles, case.feeds, case.want, QUICK)
    for record in records:
        assert record.error is not None and record.error.kind == "lost"
        assert record.error.message == "the runner's answer ends before its last line: the connection was cut"
        assert record.samples_ns is None


@pytest.mark.usefixtures("unlinked")
def test_the_end_of_another_run_is_no_end(case: Case) -> None:
    def answer(argv: Sequence[str]) -> list[Message]:
        assert nonce_of(argv) != "00"
        return [*case.good(argv)[:-1], {"type": "end", "nonce": "00", "ok": True}]

    records = measure(FakeDevice(answer, case.outputs), case.bundles, case.feeds, case.want, QUICK)
    assert {record.error.kind for record in records if record.error} == {"lost"}


@pytest.mark.usefixtures("unlinked")
@pytest.mark.parametrize(
    ("lines", "exit_code", "kind", "message"),
    [
        ([{"type": "error", "kind": "isa", "message": "this CPU lacks fma"}], 3, "isa", "this CPU lacks fma"),
        ([], 1, "failed", "the runner ended with exit code 1"),
        ([{"type": "riddle"}], 0, "failed", "the runner sent a line of the unknown type 'riddle'"),
        ([{"typo": "host"}], 0, "lost", "the runner's answer broke off or is damaged (KeyError('type'))"),
    ],
)
def test_a_failing_runner_is_an_error_row(
    case: Case, lines: list[Message], exit_code: int, kind: str, message: str
) -> None:
    device = FakeDevice(lambda argv: lines, case.outputs, exit_code=exit_code)
    records = measure(device, case.bundles, case.feeds, case.want, QUICK)
    assert [(r.error.kind, r.error.message) for r in records if r.error] == [(kind, message)] * len(records)


@pytest.mark.usefixtures("unlinked")
def test_a_device_error_is_an_error_row(case: Case) -> None:
    device = FakeDevice(case.good, {}, dies=DeviceError("timeout", "runner on fake-board ran past 60 s"))
    records = measure(device, case.bundles, case.feeds, case.want, QUICK)
    assert {(r.error.kind, r.error.message) for r in records if r.error} == {
        ("timeout", "runner on fake-board ran past 60 s")
    }


@pytest.mark.usefixtures("unlinked")
def test_what_a_runner_said_before_it_died_counts(case: Case) -> None:
    said = Completed(132, b'{"type":"error","kind":"isa","message":"this CPU lacks fma"}\n', b"")
    device = FakeDevice(case.good, {}, dies=DeviceError("crash", "runner died of SIGILL", completed=said))
    records = measure(device, case.bundles, case.feeds, case.want, QUICK)
    assert {(r.error.kind, r.error.message) for r in records if r.error} == {("isa", "this CPU lacks fma")}


@pytest.mark.usefixtures("unlinked")
def test_an_output_of_the_wrong_size_is_an_error_row(case: Case) -> None:
    short = {name: data[:-4] for name, data in case.outputs.items()}
    records = measure(FakeDevice(case.good, short), case.bundles, case.feeds, case.want, QUICK)
    assert all(r.error is not None and r.error.kind == "corrupt" for r in records)
    assert records[0].error is not None
    assert records[0].error.message.endswith("on fake-board has 60 bytes where 64 are expected")


@pytest.mark.usefixtures("unlinked")
def test_stage_refuses_variants_of_two_targets(case: Case) -> None:
    with pytest.raises(UserError, match="are not variants of one model: measure them apart"):
        stage(
            [
                make_bundle(),
                make_bundle(arch="aarch64" if "x86" in make_bundle().manifest.target.triple else "x86_64"),
            ],
            case.feeds,
        )
    with pytest.raises(UserError, match="^no runner for riscv64: known are aarch64 and x86_64$"):
        stage([make_bundle(arch="riscv64")], case.feeds)
