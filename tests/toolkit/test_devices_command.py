"""`fusekit devices` and the selection of devices, on devices of this machine."""

from __future__ import annotations

import importlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest

from fusekit.compiler.target import find_target
from fusekit.devices import Lock, load_inventory, open_device
from fusekit.devices.trust import HostKey
from fusekit.toolkit.cli import main

from .fake_bundle import make_bundle, write_model
from .fake_device import FakeDevice
from .fake_record import FACTS

INVENTORY = """
groups: {rack1: {tags: [rack]}}
devices:
  one: {transport: local, tags: [lab], group: rack1}
  two: {transport: local, tags: [lab]}
  dead: {host: 127.0.0.1, port: 1, user: pi, target: host, tags: [broken], connect_timeout_s: 2}
  gate: {host: 127.0.0.1, port: 1, user: pi, target: none}
  new: {host: 127.0.0.1, port: 1, user: pi, target: unknown, jump: gate}
"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command line in a folder with an inventory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("FUSEKIT_CONFIG", str(tmp_path / "config"))
    (tmp_path / "inventory.yaml").write_text(INVENTORY)

    def call(*argv: object) -> Result:
        with pytest.raises(SystemExit) as ended:
            main([str(part) for part in argv])
        printed = capsys.readouterr()
        code = ended.value.code
        return Result(code if isinstance(code, int) else 0, printed.out, printed.err)

    return call


def test_list_has_a_column_for_everything_that_selects(run: Run) -> None:
    result = run("devices", "list")
    assert re.search(r"│ one +│ local +│ host +│ this machine +│ +│ rack1 +│ rack lab +│", result.out)
    assert re.search(r"│ new +│ ssh +│ unknown +│ pi@127\.0\.0\.1:1 +│ gate +│", result.out)
    entries = json.loads(run("devices", "list", "--json").out)
    assert [entry["name"] for entry in entries] == ["one", "two", "dead", "gate", "new"]
    assert entries[0]["tags"] == ["rack", "lab"] and "via" not in entries[4]


def test_probe_says_what_a_device_is_and_which_target_fits(run: Run) -> None:
    result = run("devices", "probe", "tag:lab")
    assert result.code == 0 and result.out.count("│ architecture │") == 2
    assert re.search(r"│ target +│ host fits", result.out)
    answers = json.loads(run("devices", "probe", "one,two", "--json").out)
    assert list(answers) == ["one", "two"]
    assert answers["one"]["n_cpus"] > 0 and answers["one"]["fitting_target"] == find_target("host").name


def test_one_device_that_fails_does_not_keep_the_others(run: Run) -> None:
    result = run("devices", "probe", "one,dead,two")
    assert result.code == 2 and result.out.count("│ architecture │") == 2
    assert result.err.startswith("error: dead (127.0.0.1 port 1) refuses connections: ")
    assert result.err.count("\n") == 1


def test_doctor_gives_a_sentence_and_a_command_for_each_trouble(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ill(FakeDevice):
        def locked(self) -> Lock:
            return Lock("ada", 1, 2)

    well = replace(FACTS, features=("asimd", "asimddp", "asimdhp", "atomics"), governors=("performance",))
    board = Ill(lambda argv: [], {})
    monkeypatch.setattr("fusekit.toolkit.cli.each_device.open_device", lambda entry: board)
    monkeypatch.setattr(FakeDevice, "probe", lambda self: replace(well, governors=("powersave",)))
    result = run("devices", "doctor", "new")
    assert result.code == 2
    assert result.out.splitlines() == [
        "new: its target is not known yet",
        "  → write `target: rpi5` for new in the inventory",
        "new: the CPU governor is 'powersave', so the clock moves with the load",
        "  → `echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor`, until the next start",
        "new: it is in use by ada",
        "  → wait, or, if nothing of it is running any more, `fusekit devices unlock new`",
    ]
    assert len(json.loads(run("devices", "doctor", "new", "--json").out)["new"]) == 3


def test_doctor_of_a_well_prepared_board(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    board = FakeDevice(lambda argv: [], {})
    facts = replace(FACTS, arch="x86_64", features=("cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"))
    monkeypatch.setattr("fusekit.toolkit.cli.each_device.open_device", lambda entry: board)
    monkeypatch.setattr(FakeDevice, "probe", lambda self: facts)
    monkeypatch.setattr("fusekit.toolkit.doctor.poor_fit", lambda facts, name: None)
    result = run("devices", "doctor", "one")
    assert (result.code, result.out) == (0, "one: nothing to fix\n")


def test_exec_runs_words_as_they_are_and_a_line_in_a_shell(run: Run) -> None:
    result = run("devices", "exec", "one", "--", "printf", "%s|", "it's $HOME", "; true")
    assert (result.code, result.out) == (0, "it's $HOME|; true|\n")
    result = run("devices", "exec", "tag:lab", "--", "echo a; echo b >&2; exit 3")
    assert (result.code, result.out) == (1, "one: a\ntwo: a\n")
    assert result.err == "one: b\none: exit code 3\ntwo: b\ntwo: exit code 3\n"


def test_exec_without_a_command(run: Run) -> None:
    result = run("devices", "exec", "one")
    assert result.code == 2
    assert result.err == (
        "error: there is no command to run: write it after two hyphens, `fusekit devices exec one -- uptime`\n"
    )


def test_exec_prints_a_bounded_and_harmless_text(run: Run) -> None:
    result = run(
        "devices", "exec", "one", "--", r"printf '\033[31mred [link=x] [/]\007\n'; head -c 1500000 /dev/zero"
    )
    first, zeros, left = result.out.splitlines()
    assert first == r"\x1b[31mred [link=x] [/]\x07"
    assert "\x00" not in zeros and left == "… 451447 bytes more"


def test_exec_ends_a_command_at_its_limit(run: Run) -> None:
    result = run("devices", "exec", "one", "--timeout", 1, "--", "sleep", "30")
    assert result.code == 2
    assert result.err == "error: sh on one was still running after 1 s and was ended\n"


def test_exec_shows_what_a_command_wrote_before_it_crashed(run: Run) -> None:
    result = run("devices", "exec", "one", "--", "echo so far; kill -SEGV $$")
    assert (result.code, result.out, result.err) == (1, "so far\n", "one: exit code 139\n")


def test_lock_lasts_as_long_as_its_command(run: Run, tmp_path: Path) -> None:
    folder = importlib.import_module("fusekit.devices.open_device").cache_dir()
    lock_file = folder / "devices" / "one" / "lock"
    result = run("devices", "lock", "one,two", "--minutes", 1, "--", "cp", lock_file, "seen")
    assert result.code == 0
    assert re.fullmatch(
        r"locked: one, two, while the command runs, until \d\d:\d\d:\d\d at the latest\nunlocked: one, two\n",
        result.out,
    )
    assert "(by hand, process " in (tmp_path / "seen").read_text()
    assert run("devices", "unlock", "one").out == "one: was not locked\n"
    assert run("devices", "lock", "one", "--", "sh", "-c", "exit 5").code == 5
    result = run("devices", "lock", "one", "--", "no-such-command")
    assert (result.code, result.err) == (
        2,
        "error: no-such-command does not start: No such file or directory\n",
    )


def test_lock_of_another_is_refused_until_it_is_removed(run: Run, tmp_path: Path) -> None:
    device = open_device(load_inventory(tmp_path / "inventory.yaml").entry("one"))
    with device.lock("ada", for_s=60):
        result = run("devices", "lock", "one", "--", "true")
        assert result.code == 2 and result.err.startswith("error: one is in use by ada since ")
        assert (
            run("devices", "unlock", "tag:lab").out
            == "one: the lock of ada is removed\ntwo: was not locked\n"
        )
        assert run("devices", "lock", "one", "--", "true").code == 0


def test_lock_without_a_command_ends_with_ctrl_c(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fusekit.toolkit.cli.devices_lock.time", SimpleNamespace(sleep=interrupt))
    result = run("devices", "lock", "one")
    assert (result.code, result.out.splitlines()[-1]) == (0, "unlocked: one")


def test_trust_of_a_device_begins_with_the_machine_on_the_way(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {name: HostKey.of(paramiko.ECDSAKey.generate()) for name in ("gate", "new")}
    monkeypatch.setattr("fusekit.toolkit.cli.devices_trust.scan", lambda entry: keys[entry.name])
    monkeypatch.setattr("fusekit.toolkit.cli.devices_trust.record_key", lambda entry, key: "known_hosts")
    result = run("devices", "trust", "one,new", "--yes")
    shown = [line.split()[0] for line in result.out.splitlines() if "shows the key" in line]
    assert (result.code, shown) == (0, ["gate", "new"])


def test_trust_says_where_ssh_knows_the_key(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = HostKey.of(paramiko.ECDSAKey.generate())
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:1 {key.type} {key.text}\n")
    monkeypatch.setattr("fusekit.toolkit.cli.devices_trust.scan", lambda entry: key)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert "ssh has the same key for it in ~/.ssh/known_hosts\n" in run("devices", "trust", "dead").out


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (
            ["bench", "m.onnx", "--device", "new"],
            (
                "new has the target 'unknown' in inventory.yaml: type `fusekit devices probe new`, which says which one "
                "fits, and write it there"
            ),
        ),
        (
            ["verify", "m.onnx", "--device", "gate"],
            "gate has the target 'none' in inventory.yaml: others are reached through it, and nothing runs on it",
        ),
        (
            ["inspect", "m.onnx", "--roofline", "--device", "tag:lab"],
            "--device tag:lab means 2 devices, and one is wanted here: name one of one, two",
        ),
        (
            ["devices", "import", "ansible"],
            "import ansible wants its inventory: type `fusekit devices import ansible FILE`",
        ),
    ],
)
def test_user_errors_are_one_line(run: Run, tmp_path: Path, argv: list[str], sentence: str) -> None:
    write_model(tmp_path / "m.onnx")
    result = run(*argv)
    assert (result.code, result.err) == (2, f"error: {sentence}\n")


def test_verify_and_bench_run_on_one_device_after_the_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusekit.toolkit.bundle_cache.cache_dir", lambda: tmp_path / "bundles")
    monkeypatch.setattr(
        "fusekit.compiler.compile.compile_model",
        lambda path, options: make_bundle(threads=options.threads, fusion=options.fusion),
    )
    write_model(tmp_path / "m.onnx")
    result = run("verify", "m.onnx", "--device", "one,dead,two")
    assert result.code == 2
    assert re.findall(r"^fake on (\w+) against", result.out, re.MULTILINE) == ["one", "two"]
    assert "error: dead (127.0.0.1 port 1) refuses connections" in result.err
    result = run(
        "bench",
        "m.onnx",
        "--device",
        "tag:lab",
        "--fusion",
        "full",
        "--rounds",
        1,
        "--round-ms",
        1,
        "-o",
        "r.jsonl",
    )
    assert result.code == 0, result.err
    assert [json.loads(line)["device"]["name"] for line in Path("r.jsonl").read_text().splitlines()] == [
        "one",
        "two",
    ]


def test_import_prints_or_adds_what_ssh_knows(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "Host gate2\n HostName g\n User me\nHost pi7\n HostName 10.0.0.7\n User pi\n ProxyJump gate2\nHost other\n User o\n"
    )
    result = run("devices", "import", "ssh-config", "config", "--only", "pi*", "--target", "rpi5")
    assert result.code == 0
    assert result.out.splitlines() == [
        "devices:",
        "  gate2: {host: g, user: me, target: none}",
        "  pi7: {host: 10.0.0.7, user: pi, jump: gate2, target: rpi5}",
    ]
    result = run("devices", "import", "ssh-config", "config", "--only", "pi*", "--write")
    assert result.err.splitlines() == [
        "2 devices added to inventory.yaml",
        "next: fusekit devices trust pi7",
        "then: fusekit devices probe pi7, which says the target of each",
    ]
    assert load_inventory(tmp_path / "inventory.yaml").devices["pi7"].target == "unknown"
    result = run("devices", "import", "ssh-config", "config", "--only", "pi7", "--write")
    assert "note: pi7 is in inventory.yaml already" in result.err and "0 devices added" in result.err
    result = run("devices", "import", "ssh-config", "config", "--only", "x*")
    assert result.err == "error: there is no host to import by --only 'x*': known are gate2, pi7, other\n"


def test_schema_is_json_and_names_the_targets(run: Run) -> None:
    schema = json.loads(run("devices", "schema").out)
    assert "cortex-a76" in json.dumps(schema) and schema["title"] == "fusekit inventory"
