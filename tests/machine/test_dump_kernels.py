"""script/dump-kernels: two dumps of the same code are equal, and a change of one kernel is a change of its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from .dump_kernels import Variant, dump, main
from .nets import gemm_net, save


def files_of(folder: Path) -> dict[str, str]:
    """Contents by path."""
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of one kernel."""
    return str(save(gemm_net(64, 32), tmp_path_factory.mktemp("net") / "net.onnx"))


def test_a_dump_has_the_same_files_every_time(net: str, tmp_path: Path) -> None:
    for name in "ab":
        main(
            [str(tmp_path / name), "--models", net, "--targets", "cortex-a76", "x86-64-v3", "--workers", "1"]
        )
    before, after = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert before == after
    assert set(before) == {
        f"{target}/net/full/{file}"
        for target in ("cortex-a76", "x86-64-v3")
        for file in ("000-gemm_matmul.txt", "000-gemm_matmul.s", "steps.txt")
    }
    assert "fmla" in before["cortex-a76/net/full/000-gemm_matmul.s"]
    assert "contraction" in before["cortex-a76/net/full/000-gemm_matmul.txt"]


def test_a_changed_kernel_keeps_its_file_name(net: str, tmp_path: Path) -> None:
    wider = str(save(gemm_net(64, 48), tmp_path / "net.onnx"))
    for model, name in ((net, "a"), (wider, "b")):
        dump(Variant(model, "cortex-a76", "full"), tmp_path / name)
    before, after = files_of(tmp_path / "a"), files_of(tmp_path / "b")
    assert before.keys() == after.keys()
    assert before["cortex-a76/net/full/000-gemm_matmul.s"] != after["cortex-a76/net/full/000-gemm_matmul.s"]


def test_an_older_dump_is_not_written_over(net: str, tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), "--models", net])
    assert str(ended.value) == (
        f"dump-kernels: {tmp_path} is there already: name a new folder, so that nothing of an older dump stays in it"
    )
