"""The nets that fusekit builds: the same bytes each time, the architecture they claim, sane activations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from fusekit.errors import UserError
from fusekit.toolkit.zoo import ZOO, export


@pytest.mark.parametrize("name", ZOO)
def test_export_writes_the_same_bytes_each_time(name: str, tmp_path: Path) -> None:
    export(name, tmp_path / "a.onnx")
    export(name, tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    onnx.checker.check_model(str(tmp_path / "a.onnx"), full_check=True)


@pytest.mark.parametrize("name", ZOO)
def test_activations_stay_near_unit_size(name: str) -> None:
    model = ZOO[name]()
    watched = [node.output[0] for node in model.graph.node if node.op_type in ("Conv", "Add", "PRelu")]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(v, onnx.TensorProto.FLOAT, None) for v in watched
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    shape = session.get_inputs()[0].shape
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for value, data in zip(watched, session.run(watched, {"input": x}), strict=True):
        assert 0.05 < np.sqrt(np.mean(data**2)) < 20, value
        assert np.isfinite(data).all(), value


def test_mobilenet_v2_is_the_papers_architecture() -> None:
    model = ZOO["mobilenet_v2"]()
    count = Counter(node.op_type for node in model.graph.node)
    assert (
        count["Conv"] == 52
        and count["Add"] == 10
        and count["Clip"] == 35
        and count["BatchNormalization"] == 35
    )
    parameters = sum(int(np.prod(w.dims)) for w in model.graph.initializer if w.name.endswith(".weight"))
    assert parameters == 3_469_760
    assert [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == [1, 1000]


def test_face_landmark_like_has_what_is_special_about_the_original() -> None:
    model = ZOO["face_landmark_like"]()
    count = Counter(node.op_type for node in model.graph.node)
    assert count["MaxPool"] == 5 and count["Pad"] == 3 and count["Transpose"] == 1
    assert count["PRelu"] == count["Add"] + 3
    producers = {node.output[0]: node.op_type for node in model.graph.node}
    slopes = [producers.get(node.input[0]) for node in model.graph.node if node.op_type == "PRelu"]
    assert slopes.count("Add") == count["Add"]


def test_an_unknown_net_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export("mobilnet_v2", tmp_path / "m.onnx")
    assert str(caught.value) == (
        "the zoo has no net mobilnet_v2, only face_landmark_like, mobilenet_v2; did you mean mobilenet_v2?"
    )
    assert list(tmp_path.iterdir()) == []
