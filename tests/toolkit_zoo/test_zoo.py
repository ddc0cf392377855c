"""The nets that fusekit builds: the same bytes each time, the architecture they claim, sane activations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import fusekit
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.passes import canonicalise
from fusekit.errors import UserError
from fusekit.toolkit.measure.check import check_output
from fusekit.toolkit.reference import reference_outputs, seeded_inputs
from fusekit.toolkit.zoo import ZOO, export

PARAMETERS = {
    "efficientnet_lite0": 4_652_008 - 21_008,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872 - 1_504,
    "mobilenet_v3_large": 5_483_032,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "shufflenet_v2": 2_278_604,
    "squeezenet": 1_235_496,
}
"""Trainable parameters as torchvision, Keras or the paper count them; less one a channel where a bias stands for a norm's scale and shift."""


@pytest.mark.parametrize("name", ZOO)
def test_export_writes_the_same_bytes_each_time(name: str, tmp_path: Path) -> None:
    first, second = export(name, tmp_path / "a.onnx"), export(name, tmp_path / "new" / "b.onnx")
    assert (first, second) == (tmp_path / "a.onnx", tmp_path / "new" / "b.onnx")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ZOO)
def test_activations_stay_near_unit_size(name: str) -> None:
    model = ZOO[name]()
    anchors = ("Conv", "ConvTranspose", "Add", "PRelu", "MatMul", "Gemm")
    watched = [node.output[0] for node in model.graph.node if node.op_type in anchors]
    del model.graph.output[:]
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


HEAVY = {"resnet18", "resnet50"}
"""Nets that the numpy interpreter takes many seconds for; the kinds of layers in them are in others too."""


@pytest.mark.parametrize("name", ZOO)
def test_graph_and_machine_code_compute_what_onnx_runtime_does(name: str, tmp_path: Path) -> None:
    path = export(name, tmp_path / "net.onnx")
    bundle = fusekit.compile(path, fusion="full", threads=2)
    outputs = bundle.manifest.outputs
    feeds = seeded_inputs(bundle.manifest)
    want = reference_outputs(path, feeds)
    results = {} if name in HEAVY else {"graph": run_graph(canonicalise(import_onnx(path, {})), feeds)}
    with fusekit.load(bundle) as model:
        results["machine code"] = model.run(feeds)
    for output in outputs:
        for stage, got in results.items():
            result, right, name = got[output.name], want[output.name], output.name
            check = check_output(name, result, right, rtol=output.rtol, atol=output.atol)
            assert check.ok, f"{stage}, {output.name}: {check.detail}"


@pytest.mark.parametrize("name", PARAMETERS)
def test_architecture_has_the_papers_number_of_parameters(name: str) -> None:
    model = ZOO[name]()
    learned = (".weight", ".bias", ".scale", ".shift")
    floats = [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT]
    count = sum(int(np.prod(w.dims)) for w in floats if w.name.endswith(learned))
    assert count == PARAMETERS[name]


def ops(name: str) -> Counter[str]:
    """How many nodes of each op a net has."""
    return Counter(node.op_type for node in ZOO[name]().graph.node)


def strided_pads(name: str) -> set[tuple[int, ...]]:
    """Pads of a net's convolutions of stride 2."""
    attributes = [
        {a.name: tuple(a.ints) for a in n.attribute} for n in ZOO[name]().graph.node if n.op_type == "Conv"
    ]
    return {a["pads"] for a in attributes if a["strides"] == (2, 2)}


def test_mobilenets_have_what_is_special_about_them() -> None:
    assert ops("mobilenet_v1")["Pad"] == 5 and strided_pads("mobilenet_v1") == {(0, 0, 0, 0)}
    count = ops("mobilenet_v2")
    assert (count["Conv"], count["Add"], count["Clip"], count["BatchNormalization"]) == (52, 10, 35, 35)
    count = ops("mobilenet_v3_large")
    assert (count["HardSwish"], count["HardSigmoid"], count["Add"]) == (21, 8, 10)
    assert strided_pads("efficientnet_lite0") == {(0, 0, 1, 1), (1, 1, 2, 2)}


def test_shufflenet_shuffles_after_every_concat() -> None:
    count = ops("shufflenet_v2")
    assert count["Concat"] == count["Transpose"] == count["Reshape"] / 2 == 16 and count["Split"] == 13


def test_blazeface_like_has_a_value_for_every_anchor() -> None:
    model = ZOO["blazeface_like"]()
    shapes = [[d.dim_value for d in o.type.tensor_type.shape.dim] for o in model.graph.output]
    assert shapes == [[1, 896, 16], [1, 896, 1]]
    assert strided_pads("blazeface_like") == {(1, 1, 2, 2), (0, 0, 1, 1)}
    assert ops("blazeface_like")["Pad"] == 11


def test_unets_go_up_in_their_own_way() -> None:
    assert ops("unet")["ConvTranspose"] == ops("unet_resize")["Resize"] == ops("unet")["Concat"] == 3


def test_vit_writes_gelu_and_attention_out() -> None:
    count = ops("vit_tiny")
    assert (count["Erf"], count["Softmax"], count["LayerNormalization"], count["Split"]) == (2, 2, 5, 2)


def test_face_landmark_like_has_what_is_special_about_the_original() -> None:
    model = ZOO["face_landmark_like"]()
    count = ops("face_landmark_like")
    assert count["MaxPool"] == 5 and count["Pad"] == 3 and count["Transpose"] == 1
    assert count["PRelu"] == count["Add"] + 3
    producers = {node.output[0]: node.op_type for node in model.graph.node}
    slopes = [producers.get(node.input[0]) for node in model.graph.node if node.op_type == "PRelu"]
    assert slopes.count("Add") == count["Add"]


def test_an_unknown_net_is_an_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export("mobilnet_v2", tmp_path / "m.onnx")
    assert (
        str(caught.value)
        == f"the zoo has no net mobilnet_v2, only {', '.join(ZOO)}; did you mean mobilenet_v2?"
    )
    assert list(tmp_path.iterdir()) == []
