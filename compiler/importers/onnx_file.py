"""An ONNX file on disk, checked and loaded: everything that can be wrong with it before any operator is looked at."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.external_data_helper
import onnx.inliner
import onnx.numpy_helper
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from ...errors import UserError
from ..graph import Type
from .explain_invalid import explain_invalid

OLDEST_OPSET = 7
NEWEST_OPSET = 26

ELEMENT_TYPES = frozenset(onnx.TensorProto.DataType.values()) - {onnx.TensorProto.UNDEFINED}


def read_model(path: Path) -> onnx.ModelProto:
    """The model in `path` with its external weights loaded and its local functions inlined.

    UserError: no such file, not an ONNX model, weights missing, an opset outside `OLDEST_OPSET` to `NEWEST_OPSET`.
    """
    if not path.is_file():
        raise UserError(f"{path} is not a file; give the path of an ONNX model")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError:
        raise UserError(
            f"{path} is not an ONNX model; give a file that onnx.save or an exporter wrote"
        ) from None
    if not model.opset_import and not model.graph.node:
        raise UserError(f"{path} holds no ONNX graph; give a file that onnx.save or an exporter wrote")
    _check_opset(model, path)
    _load_weights(model, path)
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def checked(model: onnx.ModelProto, inputs: Mapping[str, Type], path: Path) -> onnx.ModelProto:
    """`model` with the static types of `inputs`, after ONNX's own checker has passed it.

    UserError: no outputs, or what the checker has against it, in better words where `explain_invalid` has them.
    """
    if not model.graph.output:
        raise UserError(
            f"{path} has no outputs, so that there is nothing to compile; export it again with its outputs"
        )
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    for value in bound.graph.input:
        if value.name in inputs:
            value.type.CopyFrom(type_proto(inputs[value.name]))
    for value in bound.graph.output:
        # The checker wants a shape on every output and exporters may leave it out; the types come from inference in any case.
        value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(bound)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        reason = str(error).strip().splitlines()[0]
        known = explain_invalid(bound, opset(bound), path)
        raise UserError(known or f"{path} is not a valid ONNX model: {reason}; export it again") from None
    return bound


def read_weights(model: onnx.ModelProto, path: Path) -> dict[str, np.ndarray]:
    """The initializers by name; UserError for one whose data does not fill its shape."""
    weights = {}
    for tensor in model.graph.initializer:
        if tensor.data_type not in ELEMENT_TYPES:
            raise UserError(
                f"the weight {tensor.name} of {path} has the unknown element type {tensor.data_type}; export the model again"
            )
        try:
            weights[tensor.name] = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise UserError(
                f"the weight {tensor.name} of {path} is damaged: {error}; export the model again"
            ) from None
    return weights


def type_proto(type_: Type) -> onnx.TypeProto:
    """`type_` as ONNX writes it."""
    return onnx.helper.make_tensor_type_proto(
        onnx.helper.np_dtype_to_tensor_dtype(np.dtype(type_.dtype)), type_.shape
    )


def opset(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators that the model was written for; 1 where it does not say, as ONNX rules."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)


def bind_inputs(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], path: Path) -> dict[str, Type]:
    """The static type of every graph input that is not an initializer, in order, with dynamic dimensions taken from `shapes`.

    UserError: a dynamic dimension that is not given, a shape that contradicts the model, or a name that is no input.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    names = [value.name for value in inputs]
    for name in shapes:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; its inputs are {', '.join(names)}"
            raise UserError(f"{path} has no input {name} to give a shape{hint}")
    return {value.name: _bind(value, shapes.get(value.name), path) for value in inputs}


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    version = opset(model)
    if not OLDEST_OPSET <= version <= NEWEST_OPSET:
        raise UserError(
            f"{path} uses ONNX opset {version} and fusekit reads opsets {OLDEST_OPSET} to {NEWEST_OPSET}; export it again with"
            f" opset 17, or convert it with onnx.version_converter.convert_version(model, 17)"
        )


def _load_weights(model: onnx.ModelProto, path: Path) -> None:
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise UserError(f"{path} stores the weight {name} as a sparse tensor; save it as a dense initializer")
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location" and not (path.parent / entry.value).is_file():
                raise UserError(
                    f"{path} keeps the weight {tensor.name} in the file {entry.value}, which is not beside it;"
                    f" copy {entry.value} to {path.parent}"
                )
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the external weights of {path} cannot be read: {reason}; save the model again"
        ) from None


def _bind(value: onnx.ValueInfoProto, given: tuple[int, ...] | None, path: Path) -> Type:
    if not value.type.HasField("tensor_type"):
        raise UserError(
            f"the input {value.name} of {path} is not a tensor; give a model whose inputs are tensors"
        )
    tensor = value.type.tensor_type
    if tensor.elem_type not in ELEMENT_TYPES:
        raise UserError(
            f"the input {value.name} of {path} has the unknown element type {tensor.elem_type}; export the model again"
        )
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not tensor.HasField("shape"):
        if given is None:
            raise UserError(
                f"the input {value.name} of {path} has no shape; give it, such as --shape {value.name}=1,3,224,224"
            )
        if min(given, default=1) < 1:
            raise UserError(
                f"the shape {','.join(map(str, given))} was given for the input {value.name} of {path};"
                f" give dimensions of at least 1"
            )
        return Type(dtype, given)
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in tensor.shape.dim]
    if given is None and None in dims:
        position = dims.index(None)
        symbol = tensor.shape.dim[position].dim_param
        called = f" ({symbol})" if symbol else ""
        typed = ",".join(str(_example(i, len(dims)) if d is None else d) for i, d in enumerate(dims))
        raise UserError(
            f"dimension {position}{called} of the input {value.name} of {path} is dynamic;"
            f" give the shape to compile for, such as --shape {value.name}={typed}"
        )
    shape = given if given is not None else tuple(d for d in dims if d is not None)
    fits = len(shape) == len(dims) and all(d in (None, s) and s > 0 for d, s in zip(dims, shape, strict=True))
    if not fits:
        wanted = ",".join("?" if d is None else str(d) for d in dims)
        raise UserError(
            f"the input {value.name} of {path} has the shape {wanted} (? is free) and {','.join(map(str, shape))} was given;"
            f" give a shape that agrees"
        )
    return Type(dtype, shape)


def _example(position: int, rank: int) -> int:
    """A likely size for a free dimension, to make the message's command one that can be typed."""
    if position == 0:
        return 1
    return 224 if rank == 4 else 16
