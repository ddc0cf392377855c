"""A model from a stranger: its names are text, never a path, a command, a terminal code or markup."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from fusekit.toolkit.cli import main
from fusekit.toolkit.sweep.plan import model_files

HOSTILE = "../../x; touch owned $(touch owned) `touch owned` '\"*/ \x1b[2J\x1b]0;t\x07 [/red] [link=x]\u202e %n $\\frac$ $"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    names = {part: f"{part} {HOSTILE}" for part in ("in", "mid", "out", "node", "graph")}
    tensors = [
        helper.make_tensor_value_info(names[part], TensorProto.FLOAT, [1, 8]) for part in ("in", "out")
    ]
    nodes = [
        helper.make_node("Relu", [names["in"]], [names["mid"]], name=names["node"]),
        helper.make_node("Neg", [names["mid"]], [names["out"]], name=HOSTILE),
    ]
    graph = helper.make_graph(nodes, names["graph"], tensors[:1], tensors[1:])
    path = tmp_path / "[bold]m; touch owned\x1b[31m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    (tmp_path / "inventory.yaml").write_text("devices: {here: {transport: local}}\n")
    return path


def fusekit(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """Everything that a command prints; it must succeed."""
    with pytest.raises(SystemExit) as ended:
        main(list(argv))
    printed = capsys.readouterr()
    assert ended.value.code in (0, None), printed.err
    return printed.out + printed.err


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.splitlines())


def test_names_of_a_model_stay_text_from_the_file_to_the_report(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = fusekit(capsys, "check", str(model))
    said += fusekit(capsys, "compile", str(model), "-o", "bundle")
    said += fusekit(capsys, "deploy", "bundle", "--device", "here")
    said += fusekit(capsys, "verify", str(model), "--device", "here")
    said += fusekit(
        capsys,
        "bench",
        str(model),
        "--device",
        "here",
        "--fusion",
        "full",
        "--rounds",
        "1",
        "--round-ms",
        "1",
    )
    said += fusekit(capsys, "report", "reports/records", "-o", "reports/r.pdf")
    assert is_harmless(said)
    assert r"\x1b[2J" in said and "[/red] [link=x]" in said
    made = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert made == {model.name, "inventory.yaml", "bundle", "reports"}
    assert not list(tmp_path.parent.glob("x*"))
    (records,) = (tmp_path / "reports" / "records").iterdir()
    assert json.loads(records.read_text())["checks"][0]["name"] == f"out {HOSTILE}"


def test_error_about_a_model_is_harmless(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = onnx.load(model)
    graph.graph.node[0].op_type = "Nonsense\x1b[31m"
    onnx.save(graph, model)
    with pytest.raises(SystemExit) as ended:
        main(["check", str(model)])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert is_harmless(said) and r"\x1b[31m" in said


@pytest.fixture
def greedy(tmp_path: Path) -> Path:
    """A model whose weights are said to lie in a file outside its folder."""
    (tmp_path / "secret.bin").write_bytes(bytes(32))
    (tmp_path / "models").mkdir()
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[8], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", "32")):
        weight.external_data.add(key=key, value=value)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", ends[:1], ends[1:], [weight])
    path = tmp_path / "models" / "m.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_outside_the_folder_of_a_model_are_not_read(
    greedy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", str(greedy)])
    assert ended.value.code == 2
    assert "secret.bin" in capsys.readouterr().err


def test_a_sweep_sends_no_file_from_outside_the_folder_of_a_model(greedy: Path) -> None:
    assert model_files(greedy) == [greedy]
