"""The reference: seeded inputs, ONNX Runtime's answers, and both kept beside a bundle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusekit import UserError
from fusekit.toolkit.reference import read_reference, reference_file, reference_outputs, seeded_inputs

from .fake_bundle import WEIGHTS, make_bundle, write_model


def test_reference_outputs_by_name(tmp_path: Path) -> None:
    feeds = seeded_inputs(make_bundle().manifest)
    want = reference_outputs(write_model(tmp_path / "fake.onnx"), feeds)
    np.testing.assert_array_equal(want["y"], 2 * feeds["x"][:, ::-1] + WEIGHTS)  # type: ignore[operator]


def test_seeded_inputs_repeat() -> None:
    manifest = make_bundle().manifest
    first, again, other = (seeded_inputs(manifest, seed)["x"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32 and first.shape == (1, 16)
    assert not np.array_equal(first, other)


def test_reference_outputs_refuses_what_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_text("this is no model")
    with pytest.raises(UserError, match="^ONNX Runtime, the reference, cannot run .*no.onnx: "):
        reference_outputs(tmp_path / "no.onnx", {})


def test_reference_survives_its_file(tmp_path: Path) -> None:
    manifest = make_bundle().manifest
    feeds, want = seeded_inputs(manifest), {"y": np.zeros((1, 16), np.float32)}
    (tmp_path / "reference.npz").write_bytes(reference_file(manifest, feeds, want))
    assert reference_file(manifest, feeds, want) == (tmp_path / "reference.npz").read_bytes()
    read_feeds, read_want = read_reference(tmp_path / "reference.npz", manifest)
    np.testing.assert_array_equal(read_feeds["x"], feeds["x"])
    np.testing.assert_array_equal(read_want["y"], want["y"])


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 broken"])
def test_read_reference_refuses_a_bundle_without_one(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "reference.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(
        UserError, match="holds no usable reference.npz to verify it by: .* or give its model with"
    ):
        read_reference(file, make_bundle().manifest)
