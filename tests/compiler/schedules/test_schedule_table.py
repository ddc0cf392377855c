"""Schedule tables: what a file says is what is used, bundles depend on it and on nothing else, and mistakes are told in one sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from fusekit import UserError
from fusekit.compiler import schedule_table
from fusekit.compiler.bundle import Bundle
from fusekit.compiler.choice import Choice, Signature
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph
from fusekit.compiler.schedule_table import FOLDER, ScheduleTable, read_table, table_for
from fusekit.compiler.target import TARGETS, Target

from ..fusion.nets import Net
from .tables import signatures, table

pytestmark = pytest.mark.usefixtures("nothing_is_turned")

AVX2 = TARGETS["x86-64-v3"]
KEY = "contraction 1x3136x64 over 24 reads 0,24,1 writes 0,64,1 epilogue 2 packed float32"
LINE = f'"{KEY}" = {{ mr = 4, nv = 2, unroll = 8, gain = 1.08, device = "a CPU", model = "a model" }}\n'
HEAD = 'schema = 1\ncpu = "x86-64-v3"\n[choices]\n'


def points() -> Graph:
    """A 1x1 convolution of 24 to 64 channels between 56 x 56 positions that lie channels last."""
    net = Net()
    return net.graph(
        net.unary("Relu", net.conv(net.unary("Relu", net.conv(net.input(1, 8, 14, 14), 24)), 64))
    )


def compiled(graph: Graph, schedules: ScheduleTable | None, target: Target = AVX2) -> Bundle:
    options = Options(target.name, schedules=schedules)
    return assemble_bundle(lower_graph(graph, options), options, "")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_what_its_text_says(tmp_path: Path) -> None:
    found = read_table(written(tmp_path, HEAD + LINE))
    assert found.choice(Signature.parse(KEY)) == Choice(4, 2, unroll=8)
    text = found.to_toml()
    assert text.endswith(LINE) and read_table(written(tmp_path, text)).entries == found.entries


def test_an_update_replaces_adds_and_removes() -> None:
    one, two, three = (replace(Signature.parse(KEY), rows=rows) for rows in (1, 2, 3))
    first = table(AVX2, [(one, Choice(2)), (two, Choice(3))])
    other = table(AVX2, [(two, Choice(4)), (three, Choice(5))])
    found = first.updated({one: None, **other.entries})
    assert {k: entry.choice for k, entry in found.entries.items()} == {two: Choice(4), three: Choice(5)}


def test_a_choice_is_used_where_its_signature_is_met() -> None:
    graph = points()
    stages = lower_graph(graph, Options(AVX2.name, schedules=table(AVX2, [])))
    signature = signatures(stages)[-1]
    chosen = lower_graph(graph, Options(AVX2.name, schedules=table(AVX2, [(signature, Choice(3, 2, 2))])))
    before, after = stages.lowered[-1].kernel, chosen.lowered[-1].kernel
    block = after.schedule.places[-1].block
    assert (block.mr, block.nv, block.unroll) == (3, 2, 2)
    assert (
        before.symbol != after.symbol and stages.lowered[0].kernel.symbol == chosen.lowered[0].kernel.symbol
    )


def test_bundles_depend_on_what_a_table_decides_and_on_nothing_else_of_it() -> None:
    graph = points()
    stages = lower_graph(graph, Options(AVX2.name, schedules=table(AVX2, [])))
    signature = signatures(stages)[-1]
    analytic = compiled(graph, table(AVX2, []))
    elsewhere = compiled(graph, table(AVX2, [(replace(signature, lanes=7), Choice(3))]))
    tuned, again = (compiled(graph, table(AVX2, [(signature, Choice(3, 2))])) for _ in range(2))
    assert analytic.files == elsewhere.files
    assert tuned.files == again.files
    assert tuned.manifest.hash != analytic.manifest.hash


def test_the_table_of_a_target_is_used_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = points()
    signature = signatures(lower_graph(graph, Options(AVX2.name, schedules=table(AVX2, []))))[-1]
    wanted = table(AVX2, [(signature, Choice(3, 2))])
    (tmp_path / f"{AVX2.cpu}.toml").write_text(wanted.to_toml(), encoding="utf-8")
    monkeypatch.setattr(schedule_table, "FOLDER", tmp_path)
    schedule_table._shipped.cache_clear()
    try:
        assert table_for(AVX2).entries == wanted.entries
        assert compiled(graph, None).files == compiled(graph, wanted).files
        assert table_for(TARGETS["rpi5"]).entries == {}
    finally:
        schedule_table._shipped.cache_clear()


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_tables_that_come_with_fusekit_are_canonical_and_of_a_target(path: Path) -> None:
    found = read_table(path)
    assert found.cpu == path.stem and found.to_toml() == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema = ", "FILE is no schedule table (Invalid value (at end of document)): make one with fusekit tune MODEL -o FILE"),
        ("schema = 7\n", "the schedule table FILE has schema 7, this fusekit reads 1: tune again"),
        (HEAD.replace("schema = 1", "schema = true"), "the schedule table FILE has schema True, this fusekit reads 1: tune again"),
        (HEAD.replace("v3", "v9"), "the schedule table FILE is for the CPU 'x86-64-v9': known are x86-64-v2, x86-64-v3, x86-64-v4, znver4, cortex-a53, cortex-a55, cortex-a72, cortex-a76, neoverse-n1"),
        ("extra = 1\n" + HEAD, "the schedule table FILE has other parts than schema, cpu and choices: tune again"),
        (HEAD + LINE.replace("over", "of"), f"the schedule table FILE has a line for another fusekit ('{KEY.replace('over', 'of')}' is no signature of a stage): tune again"),
        (HEAD + LINE.replace("unroll", "unrol"), f"the schedule table FILE gives '{KEY}' an unknown 'unrol': did you mean unroll? known are mr, nv, unroll, tiles, row_epilogue, dot, winograd, rows, half, gain, device, model"),
        (HEAD + LINE.replace("unroll = 8", "unroll = true"), f"the schedule table FILE gives '{KEY}' unroll = True: it has to be of type int"),
        (HEAD + LINE.replace('device = "a CPU", ', ""), f"the schedule table FILE does not say the device of '{KEY}': tune again"),
        (HEAD + LINE.replace("mr = 4", "mr = 9"), f"the schedule table FILE gives '{KEY}' the choice '9x2 unroll 8', but the block needs 21 registers of 16: remove the line or tune again"),
    ],
)  # fmt: skip
def test_a_table_with_a_mistake_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=f"^{re.escape(said.replace('FILE', str(path)))}$"):
        read_table(path)


def test_a_table_that_is_not_there_is_refused(tmp_path: Path) -> None:
    said = f"^the schedule table {tmp_path}/no.toml cannot be read \\(No such file or directory\\): make one with fusekit tune MODEL -o "
    with pytest.raises(UserError, match=said):
        read_table(tmp_path / "no.toml")


def test_a_table_of_another_target_is_refused() -> None:
    said = "^the schedule table is for x86-64-v3, not for cortex-a76: tune for the target rpi5 too$"
    with pytest.raises(UserError, match=said):
        lower_graph(points(), Options("rpi5", schedules=table(AVX2, [])))


def test_options_take_a_table_and_no_file() -> None:
    said = r"^schedules is 'a.toml': give a table, as read_table\('FILE.toml'\) returns one$"
    with pytest.raises(UserError, match=said):
        Options(schedules="a.toml").checked()  # type: ignore[arg-type]


def test_an_illegal_choice_is_refused_before_anything_is_compiled() -> None:
    wrong = table(AVX2, [(Signature.parse(KEY), Choice(12, 4))])
    with pytest.raises(
        UserError, match="^the schedule table gives .* but the block needs 53 registers of 16: "
    ):
        lower_graph(points(), Options(AVX2.name, schedules=wrong))
