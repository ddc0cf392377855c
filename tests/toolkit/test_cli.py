"""The command line: what it prints, what it writes, how it exits."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import paramiko
import pytest

from fusekit import UserError
from fusekit.devices.device import DeviceError
from fusekit.devices.trust import HostKey
from fusekit.toolkit.cli import main
from fusekit.toolkit.cli.bench import print_table
from fusekit.toolkit.cli.option import (
    parse_fusions,
    parse_shapes,
    parse_switch,
    parse_thread_counts,
)
from fusekit.toolkit.measure.record import Failure, read_records, write_records

from .fake_bundle import make_bundle, write_model
from .fake_device import FakeDevice, lines_of
from .fake_record import HOST, emulated_record, timed_record, timed_session


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]

INVENTORY = """
devices:
  here: {transport: local}
  board: {transport: ssh, host: 192.0.2.1, user: pi, target: rpi5}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def call(*argv: object) -> Result:
        with pytest.raises(SystemExit) as ended:
            main([str(part) for part in argv])
        printed = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0, printed.out, printed.err)

    return call


@pytest.fixture
def fake_compiler(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler gives the bundle of fake_model.c for any model, and none of it is kept for others."""
    folder = tmp_path_factory.mktemp("bundles")
    monkeypatch.setattr("fusekit.toolkit.bundle_cache.cache_dir", lambda: folder)

    def compile_model(path: Path, options: object) -> object:
        return make_bundle(threads=options.threads, fusion=options.fusion)  # type: ignore[attr-defined]

    monkeypatch.setattr("fusekit.compiler.compile.compile_model", compile_model)


def test_version(run: Run) -> None:
    result = run("--version")
    assert (result.code, result.out) == (0, "fusekit 0.1.0\n")


def test_help_names_every_command_and_the_exit_codes(run: Run) -> None:
    result = run("--help")
    for name in ("compile", "deploy", "bench", "verify", "report", "inspect", "devices", "zoo"):
        assert name in result.out
    assert "Exit codes: 0 all right" in result.out


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (
            ["compile", "no.onnx", "-o", "b"],
            "model no.onnx does not exist: give an ONNX file, or zoo:NAME from",
        ),
        (["compile", ".", "-o", "b"], "model . is a folder: give an ONNX file"),
        (
            ["compile", "m.onnx", "-o", "b", "--fusion", "ful"],
            "unknown fusion level 'ful': levels are none, basic, full",
        ),
        (["compile", "m.onnx", "-o", "b", "--bands", "of"], "--bands is on or off, not 'of'"),
        (
            ["compile", "m.onnx", "-o", "b", "--shape", "x"],
            "--shape 'x' is no shape: write it like --shape input=1,3,",
        ),
        (
            ["bench", "m.onnx", "--device", "here", "--threads", "0"],
            "--threads '0' is no list of thread counts: give 1",
        ),
        (
            ["bench", "m.onnx", "--device", "here", "--cpus", "a"],
            "--cpus 'a' is no list of CPU numbers: write it like",
        ),
        (["bench", "m.onnx", "--device", "her"], "i.yaml has no device 'her': did you mean 'here'?"),
        (
            ["deploy", "m.onnx", "--device", "here", "--fusion", "none,full"],
            "deploy takes one fusion level, not 'none",
        ),
        (
            ["inspect", "m.onnx", "--dump", "graf"],
            "unknown stage 'graf': did you mean graph? stages are graph, groups, ledger,",
        ),
        (
            ["report", "none.jsonl", "-o", "r.pdf"],
            "cannot read records from none.jsonl: No such file or directory",
        ),
        (
            ["devices", "trust", "here"],
            "here is reached by 'local' and has no host key: only ssh devices have one",
        ),
        (["zoo", "export", "mobilnet_v2"], "the zoo has no net mobilnet_v2"),
        (
            ["bench", "m.onnx", "--device", "here", "-o", "/proc/foo/r.jsonl"],
            "/proc/foo/r.jsonl cannot be written (No such file or directory): name another place with -o",
        ),
        (
            ["bench", "m.onnx", "--device", "here", "-o", "."],
            ". cannot be written (Is a directory): name another place with -o",
        ),
        (
            ["inspect", "m.onnx", "--dump", "graph", "-o", "."],
            ". cannot be written (Is a directory): name another place with -o",
        ),
        (
            ["zoo", "export", "ds_cnn", "-o", "m.onnx"],
            "m.onnx/ds_cnn.onnx cannot be written (File exists): name another place with -o",
        ),
        (
            ["check", "zoo:ds_cnn", "--shape", "xx=1,2"],
            "zoo:ds_cnn has no input",
        ),
    ],
)
def test_user_errors_are_one_line(run: Run, tmp_path: Path, argv: list[str], text: str) -> None:
    (tmp_path / "i.yaml").write_text(INVENTORY)
    write_model(tmp_path / "m.onnx")
    if argv[0] in ("bench", "deploy", "devices"):
        argv += ["--inventory", "i.yaml"]
    result = run(*argv)
    assert result.code == 2
    assert result.err.startswith(f"error: {text}")
    assert result.err.count("\n") == 1 and result.out == ""
    assert not (tmp_path / "b").exists()


def test_parsing_of_options() -> None:
    assert parse_shapes(["a=1,2", "b:0=3"]) == {"a": (1, 2), "b:0": (3,)}
    assert parse_fusions("full,none,full") == ("full", "none")
    assert parse_thread_counts("4,1,4") == (4, 1)
    assert parse_switch("on", "--bands") is True
    for shape in ("x=", "=1", "x=0", "x=1,a"):
        with pytest.raises(UserError):
            parse_shapes([shape])


@pytest.mark.usefixtures("fake_compiler")
def test_compile_writes_a_bundle_with_its_reference(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx")
    result = run("compile", "m.onnx", "-o", "b")
    assert result.code == 0, result.err
    assert "2 kernels" in result.out and "→ b" in result.out
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        "model.o",
        "model.h",
        "model.so",
        "weights.bin",
        "manifest.json",
        "reference.npz",
    }


@pytest.mark.usefixtures("fake_compiler")
@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("m.onnx", "m.onnx exists and is no folder: name an empty or new folder with -o"),
        (".", ". exists and is no bundle: name an empty or new folder with -o"),
        (
            "/proc/foo/b",
            (
                "the bundle cannot be written to /proc/foo/b (No such file or directory): "
                "name a folder that can be written with -o"
            ),
        ),
    ],
)
def test_compile_says_where_it_cannot_write(run: Run, tmp_path: Path, output: str, text: str) -> None:
    write_model(tmp_path / "m.onnx")
    result = run("compile", "m.onnx", "-o", output)
    assert (result.code, result.out, result.err) == (2, "", f"error: {text}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_report_says_where_it_cannot_write(run: Run, tmp_path: Path) -> None:
    write_records(tmp_path / "a.jsonl", timed_session(threads=(1,), blocks=1))
    result = run("report", "a.jsonl", "-o", "a.jsonl/r.pdf")
    assert result.code == 2
    assert result.err == "error: a.jsonl/r.pdf cannot be written (File exists): name another place with -o\n"


@pytest.mark.usefixtures("fake_compiler")
def test_bench_verify_and_report_on_this_machine(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx")
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    result = run(
        "bench", "m.onnx", "--device", "here", "--threads", "1,2", "--rounds", "2", "--round-ms", "2"
    )
    assert result.code == 0, result.err
    assert "speed-up vs none" in result.out and "ok (1 output)" in result.out
    (file,) = (tmp_path / "reports" / "records").iterdir()
    assert re.fullmatch(r"fake-here-\d{8}T\d{6}Z.jsonl", file.name)
    assert len(read_records([file])) == 6
    result = run("report", file, "-o", "reports/fake.pdf", "--png")
    assert result.code == 0, result.err
    assert "reports/fake-01-overview.png" in result.out
    assert (tmp_path / "reports" / "fake.pdf").read_bytes().startswith(b"%PDF")
    result = run("verify", "m.onnx", "--device", "here", "--fusion", "none,full")
    assert result.code == 0, result.err
    assert len(re.findall(r"│ y +│.*│ ok +│", result.out)) == 2


@pytest.mark.usefixtures("fake_compiler")
def test_deploy_of_a_model_and_of_a_bundle(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx")
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    assert run("compile", "m.onnx", "-o", "b").code == 0
    for what in (["m.onnx"], ["b"], ["b", "--model", "m.onnx"]):
        result = run("deploy", *what, "--device", "here")
        assert result.code == 0, result.err
        assert "fake is on here in /" in result.out
        assert "run it there: cd /" in result.out and "./runner --nonce 0 --input input.0.bin" in result.out
    (tmp_path / "b" / "reference.npz").unlink()
    result = run("deploy", "b", "--device", "here")
    assert result.code == 2
    assert result.err.startswith(
        "error: b holds no usable reference.npz to verify it by: make the bundle with"
    )
    result = run("deploy", "b", "--device", "board")
    assert result.code == 2
    assert result.err.startswith(
        "error: bundle b is for host but board is rpi5: compile it with --target rpi5"
    )


@pytest.mark.usefixtures("fake_compiler")
def test_wrong_outputs_exit_with_one(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_model(tmp_path / "m.onnx")
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    monkeypatch.setattr(
        "fusekit.compiler.compile.compile_model",
        lambda path, options: make_bundle(offset=0.5, fusion=options.fusion),
    )
    for argv in (["bench"], ["verify"], ["deploy", "--fusion", "full"]):
        result = run(argv[0], "m.onnx", "--device", "here", *argv[1:])
        assert result.code == 1
        assert "16 of 16 elements beyond the limit" in " ".join(result.out.split())
    assert all(record.samples_ns is None for record in read_records([tmp_path / "reports" / "records"]))


@pytest.mark.usefixtures("fake_compiler")
def test_a_device_that_fails_is_told_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "m.onnx")
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    symbols: Sequence[str] = []
    board = FakeDevice(
        lambda argv: lines_of(argv, symbols), {}, dies=DeviceError("disk_full", "the disk is full")
    )
    monkeypatch.setattr("fusekit.toolkit.cli.each_device.open_device", lambda entry: board)
    for command in ("deploy", "bench", "verify"):
        result = run(command, "m.onnx", "--device", "here")
        assert (result.code, result.out, result.err) == (2, "", "error: the disk is full\n")
    assert {r.error.kind for r in read_records([tmp_path / "reports" / "records"]) if r.error} == {
        "disk_full"
    }


def test_table_of_a_timed_session(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    records = timed_session(threads=(1,))
    print_table([replace(record, host_before=replace(HOST, governor="ondemand")) for record in records])
    out = capsys.readouterr().out
    assert re.search(r"│ none +│ +1 │ +102 │ +21\.\d ms │ +21\.\d–21\.\d ms │ +– │ ok \(1 output\)", out)
    assert re.search(
        r"│ full +│ +1 │ +34 │ +12\.\d ms │ .* │ 1\.7\dx \(1\.[67]\d–1\.7\d\) │ ok \(1 output\)", out
    )
    assert "note: rpi5: the CPU governor is 'ondemand', not 'performance': the clock may move." in out


def test_table_of_equal_levels_claims_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    none = timed_record("none")
    print_table([none, replace(timed_record("full"), samples_ns=none.samples_ns)])
    assert "1.00x (1.00–1.00), no difference shown" in capsys.readouterr().out.replace(
        "0.99", "1.00"
    ).replace("1.01", "1.00")


def test_table_says_where_two_levels_are_the_same_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    none = timed_record("none")
    print_table([none, replace(none, fusion="basic")])
    assert re.search(r"│ basic .*│ +the same code │", capsys.readouterr().out)


def test_table_of_an_emulated_session_has_no_times(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    lost = replace(emulated_record("none"), checks=(), error=Failure("lost", "the connection was cut"))
    print_table([lost, emulated_record("full")])
    out = capsys.readouterr().out
    assert "median" not in out and " ms" not in out
    assert "lost: the connection was cut" in out
    assert "Emulated: the answers count, times would mean nothing and were not taken." in out


def test_devices_list_and_clean(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    result = run("devices", "list")
    assert re.search(r"board +│ ssh +│ rpi5 +│ pi@192\.0\.2\.1", result.out)
    assert re.search(r"here +│ local +│ host +│ this machine", result.out)
    result = run("devices", "probe", "here")
    assert "architecture" in result.out and "features" in result.out
    assert run("devices", "clean", "here").code == 0


def test_devices_trust_shows_the_fingerprint_and_records_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = paramiko.ECDSAKey.generate()
    (tmp_path / "inventory.yaml").write_text(INVENTORY)
    monkeypatch.setattr("fusekit.toolkit.cli.devices_trust.scan", lambda entry: HostKey.of(key))
    shown = f"board at 192.0.2.1 port 22 shows the key {key.get_name()} {key.fingerprint}"
    monkeypatch.setattr("sys.stdin", io.StringIO())
    result = run("devices", "trust", "board")
    assert (result.code, shown in result.out) == (2, True)
    assert result.err.startswith(
        "error: there is no terminal to ask on: compare the fingerprint and type `fusekit dev"
    )
    result = run("devices", "trust", "board", "--yes")
    assert result.code == 0 and "recorded in " in result.out
    result = run("devices", "trust", "board")
    assert result.code == 0 and "board is trusted already: ecdsa" in result.out


def test_devices_of_the_packaged_inventory(run: Run) -> None:
    result = run("devices", "list")
    assert result.code == 0
    for name in ("local", "rpi5-emulated", "rpi5"):
        assert name in result.out


def test_report_of_records(run: Run, tmp_path: Path) -> None:
    write_records(tmp_path / "records" / "a.jsonl", timed_session(threads=(1,), blocks=2))
    result = run("report", "records", "-o", "r.pdf")
    assert (result.code, result.out) == (0, "r.pdf\n")


def test_inspect_prints_a_stage_or_writes_it(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "m.onnx")
    result = run("inspect", "m.onnx", "--dump", "graph")
    assert result.code == 0, result.err
    assert "Mul" in result.out and "float32[1,16]" in result.out
    assert run("inspect", "m.onnx", "--dump", "graph", "-o", "graph.txt").code == 0
    assert (tmp_path / "graph.txt").read_text() == result.out


def test_zoo_list(run: Run) -> None:
    result = run("zoo", "list")
    assert "zoo:mobilenet_v2" in result.out and "zoo:face_landmark_like" in result.out
