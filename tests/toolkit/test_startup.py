"""The benchmark of start-up: what it reads of a process, and one engine from path to output."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.startup import first_output, in_turn, pss_bytes
from benchmarks.startup_worker import Start
from fusekit.toolkit.compare.engine import Job
from fusekit.toolkit.compare.lineup import ENGINES

from .fake_bundle import N, write_model


def test_memory_is_that_of_the_process_and_none_when_it_has_ended() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert pss_bytes(ended.pid) == 0
    # In a process of its own: a garbage collection of this one would count too.
    program = "print(flush=True); input(); held = b'x' * (32 << 20); print(flush=True); input()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdout.readline()
        before = pss_bytes(child.pid)
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        held = pss_bytes(child.pid) - before
        child.communicate(b"\n")
    assert 24 << 20 < held < 64 << 20


def test_every_other_turn_runs_backwards() -> None:
    number = itertools.count()
    found = in_turn(["a", "b"], 3, lambda name: (name, next(number)))
    assert found == {"a": [("a", 0), ("a", 3), ("a", 4)], "b": [("b", 1), ("b", 2), ("b", 5)]}


def test_a_start_takes_time_or_has_a_reason(tmp_path: Path) -> None:
    feeds = {"x": np.ones((1, N), np.float32)}
    cpus = (min(os.sched_getaffinity(0)),)
    ours = Job(write_model(tmp_path / "m.onnx"), None, feeds, ("y",), 1, tmp_path)
    started, taken = first_output(Start(ENGINES["fusekit-full"], ours, cpus), poll=True)
    assert started.ns is not None and started.cpu_ns > 0 and taken >= 0
    absent, _ = first_output(Start(ENGINES["litert"], ours, cpus), poll=False)
    assert absent.ns is None and ("--tflite" in absent.reason or "not installed" in absent.reason)
