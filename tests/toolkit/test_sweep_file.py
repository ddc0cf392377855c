"""Sweep files and the jobs they mean: every mistake is a sentence, a key changes with what it stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fusekit import UserError
from fusekit.devices import load_inventory
from fusekit.toolkit.sweep.job import Job
from fusekit.toolkit.sweep.plan import make_plan
from fusekit.toolkit.sweep.sweep_file import load_sweep_file

from .fake_bundle import write_model

INVENTORY = """
devices:
  here: {transport: local}
  pi4: {transport: ssh, host: 192.0.2.4, user: pi, target: rpi4, tags: [lab]}
  pi5: {transport: ssh, host: 192.0.2.5, user: pi, target: rpi5, tags: [lab]}
"""


def plan(folder: Path, text: str) -> tuple[Job, ...]:
    write_model(folder / "tiny.onnx")
    (folder / "inventory.yaml").write_text(INVENTORY)
    (folder / "sweep.yaml").write_text(text)
    sweep = load_sweep_file(folder / "sweep.yaml")
    return make_plan(sweep, load_inventory(folder / "inventory.yaml").select(",".join(sweep.devices)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "sweep.yaml must be a mapping with at least `models:` and `devices:`"),
        ("models: [a.onnx]", "sweep.yaml: `devices` is missing"),
        ("models: []\ndevices: all", "sweep.yaml: `models` is empty: give at least one"),
        (
            "modles: [a.onnx]\nmodels: [a.onnx]\ndevices: all",
            "sweep.yaml: unknown key 'modles': did you mean 'models'? known are models, devices, fusion, threads, ",
        ),
        (
            "models: [{model: a.onnx, shape: {x: [1]}}]\ndevices: all",
            "sweep.yaml: unknown key 'models.0.shape': did you mean 'shapes'? known are model, shapes",
        ),
        ("models: [a.onnx]\ndevices: all\nfusion: ful", "`fusion.0` is 'ful': did you mean 'full'? input should"),
        ("models: [a.onnx]\ndevices: all\nthreads: [1, 99]", "`threads.1` is 99: input should be less than"),
        ("models: [a.onnx]\ndevices: all\nrounds: ten", "`rounds` is 'ten': input should be a valid integer"),
        ("models: [a.onnx]\ndevices: all\nwinograd: maybe", "`winograd.0` is 'maybe': input should be a valid bool"),
        ("models: a.onnx\nmodels: b.onnx\ndevices: all", "sweep.yaml, line 2: this is no YAML: the key 'models' is"),
        ("models: [none.onnx]\ndevices: all", "none.onnx does not exist: give an ONNX file, or zoo:NAME"),
        ("models: [tiny.onnx, x/tiny.onnx]\ndevices: all", "are both called tiny: rename one, tables tell them by"),
        ("models: [tiny.onnx]\ndevices: tag:lap", "has no tag 'lap': did you mean 'lab'? known are lab"),
    ],
)  # fmt: skip
def test_sweep_file_with_a_mistake_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError) as told:
        plan(tmp_path, text)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_sweep_file_that_is_not_there_names_the_document(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no sweep file .*no.yaml: write one with `models:` and"):
        load_sweep_file(tmp_path / "no.yaml")


def test_plan_is_models_by_options_by_devices(tmp_path: Path) -> None:
    text = "models: [tiny.onnx]\ndevices: [pi5, tag:lab]\nbands: [on, off]\nwinograd: auto\nthreads: [1, 4]"
    jobs = plan(tmp_path, text)
    assert [(job.device.name, job.label) for job in jobs] == [
        ("pi5", "tiny (bands on)"),
        ("pi4", "tiny (bands on)"),
        ("pi5", "tiny (bands off)"),
        ("pi4", "tiny (bands off)"),
    ]
    assert {job.recipe.threads for job in jobs} == {(1, 4)}
    assert len({job.key for job in jobs}) == len({job.recipe.key for job in jobs}) == 4


def test_plan_compiles_once_for_devices_of_one_target(tmp_path: Path) -> None:
    jobs = plan(tmp_path, "models: tiny.onnx\ndevices: [pi4, pi5]")
    again = plan(tmp_path, "models: [./tiny.onnx]\ndevices: [pi5]\nfusion: [none, basic, full]")
    assert jobs[0].recipe.key != jobs[1].recipe.key == again[0].recipe.key
    assert jobs[1].key == again[0].key


@pytest.mark.parametrize("change", ["rounds: 3", "fusion: full", "winograd: off", "bands: off", "threads: 2"])
def test_job_key_changes_with_every_setting(tmp_path: Path, change: str) -> None:
    text = "models: [tiny.onnx]\ndevices: pi5\n"
    assert plan(tmp_path, text)[0].key != plan(tmp_path, text + change)[0].key


def test_job_key_changes_with_the_bytes_of_the_model(tmp_path: Path) -> None:
    text = "models: [tiny.onnx]\ndevices: pi5\n"
    (before,) = plan(tmp_path, text)
    (tmp_path / "tiny.onnx").write_bytes((tmp_path / "tiny.onnx").read_bytes() + b"\x12\x01a")
    sweep = load_sweep_file(tmp_path / "sweep.yaml")
    (after,) = make_plan(sweep, load_inventory(tmp_path / "inventory.yaml").select("pi5"))
    assert before.recipe.key != after.recipe.key and before.key != after.key
