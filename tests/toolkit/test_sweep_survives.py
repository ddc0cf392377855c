"""Sweeps that are killed, or done by others: the same records as one that nothing happened to, each once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from fusekit.toolkit.measure.record import read_records
from fusekit.toolkit.sweep.journal import Finished, read_journal

from .fake_bundle import write_model

ROOT = Path(__file__).parents[2]


class Rig:
    """A sweep file, an inventory and a cache of their own."""

    def __init__(self, folder: Path, devices: int) -> None:
        self.folder = folder
        write_model(folder / "tiny.onnx")
        (folder / "sweep.yaml").write_text(
            "models: [tiny.onnx]\ndevices: all\nfusion: [none, full]\nbands: [on, off]\nrounds: 2\n"
        )
        lines = [
            f"  pi{n}: {{transport: ssh, host: 192.0.2.1, user: pi, target: cortex-a53}}"
            for n in range(devices)
        ]
        (folder / "inventory.yaml").write_text("devices:\n" + "\n".join(lines) + "\n")

    def run(self, how: str, name: str, count: int, cache: str = "cache") -> str:
        """Runs the sweep into the folder `name` and returns what was printed."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.toolkit.sweep_fleet", how]
            + [str(self.folder / part) for part in ("sweep.yaml", "inventory.yaml", name)]
            + [str(count)],
            cwd=ROOT,
            env={
                **os.environ,
                "FUSEKIT_CACHE": str(self.folder / cache),
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def outcome(self, name: str) -> Mapping[str, object]:
        """By job key: the bundles, what was checked and how many samples there are."""
        folder = self.folder / name
        finished = [entry for entry in read_journal(folder) if isinstance(entry, Finished)]
        assert Counter(entry.key for entry in finished).most_common(1)[0][1] == 1
        assert sorted(path.name for path in folder.glob("*.jsonl")) == sorted(e.records for e in finished)
        return {
            entry.key: [
                (record.bundle, record.fusion, record.checks, [len(ns) for ns in record.samples_ns or ()])
                for record in read_records([folder / entry.records])
            ]
            for entry in finished
        }


def test_sweep_killed_ten_times_gives_the_records_of_an_undisturbed_one(tmp_path: Path) -> None:
    rig = Rig(tmp_path, devices=24)
    assert rig.run("killed", "killed", 10) == "10\n"
    rig.run("killed", "undisturbed", 0)
    assert len(rig.outcome("undisturbed")) == 48
    assert rig.outcome("killed") == rig.outcome("undisturbed")


def test_sweep_on_dask_gives_the_records_of_the_local_pool_though_a_worker_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    rig = Rig(tmp_path, devices=12)
    assert rig.run("dask", "dask", 3, cache="cluster").startswith("tcp://")
    rig.run("killed", "local", 0)
    assert len(rig.outcome("local")) == 24
    assert rig.outcome("dask") == rig.outcome("local")
