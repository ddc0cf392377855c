"""Graphs that were once compiled wrongly, as small as the random test found them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from fusekit.compiler.fusion import LEVELS
from fusekit.compiler.graph import Type

from .check import Setting, check, runnable
from .net import EPS, Known, Net

LOOSE = Known(8.0, 64 * EPS)
"""For sums of a few dozen products of numbers up to 2."""


def conv(
    net: Net,
    x: str,
    weights: tuple[int, ...],
    out: tuple[int, ...],
    group: int = 1,
    stride: tuple[int, ...] = (),
    pads: tuple[int, ...] = (),
) -> str:
    """A convolution without dilations or a bias."""
    rank = len(out) - 2
    return net.node(
        "Conv", [x, net.uniform(*weights)], out, LOOSE,
        strides=stride or (1,) * rank, dilations=(1,) * rank, pads=pads or (0,) * (2 * rank), group=group,
    )  # fmt: skip


def pool(net: Net, x: str, out: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...]) -> str:
    """A max pool without pads and dilations."""
    ones, zeros = (1,) * len(kernel), (0,) * (2 * len(kernel))
    return net.node("MaxPool", [x], out, LOOSE, kernel=kernel, strides=strides, dilations=ones, pads=zeros)


def depthwise_windows_without_overlap(net: Net) -> None:
    """Rows that no window shares may not become lanes: the weights vary along channels."""
    conv(net, net.input(1, 3, 7, 1), (3, 1, 3, 1), (1, 3, 2, 1), group=3, stride=(3, 1))


def depthwise_of_columns(net: Net) -> None:
    """Rows and columns that merge into one contiguous axis may not become lanes: the weights vary along channels."""
    conv(net, net.input(1, 3, 7, 7), (3, 1, 3, 1), (1, 3, 5, 7), group=3)


def groups_of_one_output(net: Net) -> None:
    """A channel that moves in steps of its group's inputs slides, but may not become columns: the weights vary along it."""
    value = conv(net, net.input(1, 3, 7, 7), (4, 3, 1, 1), (1, 4, 7, 7))
    conv(net, value, (2, 2, 3, 3), (1, 2, 5, 5), group=2)


def product_with_a_column_for_each_batch(net: Net) -> None:
    """A constant that varies along a batch and has one column."""
    net.node("MatMul", [net.input(3, 2, 7), net.uniform(3, 7, 1)], (3, 2, 1), LOOSE)


def one_row_times_a_batch_of_constants(net: Net) -> None:
    """Only the constant varies along the batch."""
    net.node("MatMul", [net.input(1, 9), net.uniform(3, 9, 3)], (3, 1, 3), LOOSE)


def pool_of_rows_in_strided_columns(net: Net) -> None:
    """Columns that a stride walks may not become lanes of contiguous loads."""
    value = conv(net, net.input(1, 3, 7, 7), (1, 3, 1, 1), (1, 1, 7, 7))
    pool(net, value, (1, 1, 5, 4), kernel=(3, 1), strides=(1, 2))


def band_of_columns(net: Net) -> None:
    """Columns that no window slides over stay columns: the ring's rows are counted in rows."""
    value = conv(net, net.input(1, 3, 7, 7), (3, 3, 1, 1), (1, 3, 7, 7))
    conv(net, value, (3, 1, 3, 1), (1, 3, 5, 7), group=3)


def band_into_a_pool_of_columns(net: Net) -> None:
    """Channels are the lanes of a ring, though columns are contiguous in the output."""
    value = conv(net, net.input(1, 3, 7, 7), (3, 3, 1, 1), (1, 3, 7, 7))
    pool(net, value, (1, 3, 5, 7), kernel=(3, 1), strides=(1, 1))


def padded_windows_without_overlap(net: Net) -> None:
    """Taps of a padded window are decided column by column, also where no two windows share an element."""
    value = conv(net, net.input(1, 3, 7, 7), (3, 3, 1, 1), (1, 3, 7, 7))
    weights = net.uniform(3, 1, 1, 3)
    net.node(
        "Conv", [value, weights], (1, 3, 7, 3), LOOSE,
        strides=(1, 3), dilations=(1, 1), pads=(0, 0, 0, 2), group=3,
    )  # fmt: skip


def band_of_one_row(net: Net) -> None:
    """The only row of a ring is its row, not its columns."""
    value = conv(net, net.input(1, 3, 1, 7), (17, 3, 1, 1), (1, 17, 1, 7))
    conv(net, value, (17, 1, 1, 3), (1, 17, 1, 5), group=17)


def _band_after(net: Net, op: str, shape: tuple[int, ...], **attrs: tuple[int, ...]) -> None:
    value = conv(net, net.input(1, 3, 8, 8), (4, 3, 1, 1), (1, 4, 8, 8))
    value = net.node(op, [value], shape, LOOSE, **attrs)
    net.node(
        "Conv", [value, net.uniform(4, 1, 3, 3)], shape, LOOSE,
        strides=(1, 1), dilations=(1, 1), pads=(1, 1, 1, 1), group=4,
    )  # fmt: skip


def band_of_a_reversed_value(net: Net) -> None:
    """A window over rows in reverse order is no band, and is not read in place."""
    _band_after(net, "Slice", (1, 4, 8, 8), starts=(0, 0, 7, 0), steps=(1, 1, -1, 1))


def band_of_a_part(net: Net) -> None:
    """The pads of a window over a slice are not the pads of what is sliced."""
    _band_after(net, "Slice", (1, 4, 6, 8), starts=(0, 0, 1, 0), steps=(1, 1, 1, 1))


def band_of_every_other_row(net: Net) -> None:
    """A ring has every row."""
    _band_after(net, "Slice", (1, 4, 4, 8), starts=(0, 0, 1, 0), steps=(1, 1, 2, 1))


def band_of_a_transposed_value(net: Net) -> None:
    """A ring's rows are rows of its producer."""
    _band_after(net, "Transpose", (1, 4, 8, 8), perm=(0, 1, 3, 2))


def padded_projection_of_a_window(net: Net) -> None:
    """A 1x1 convolution with pads: units begin and end within the pairs of rows that windows compute, some need pads alone."""
    value = conv(net, net.input(1, 5, 8, 9), (5, 1, 3, 3), (1, 5, 8, 9), pads=(1, 1, 1, 1), group=5)
    conv(net, value, (6, 5, 1, 1), (1, 6, 10, 11), pads=(1, 1, 1, 1))


def projection_of_most_rows_of_a_window(net: Net) -> None:
    """The last pair of rows is half read."""
    value = conv(net, net.input(1, 5, 8, 9), (5, 1, 3, 3), (1, 5, 8, 9), pads=(1, 1, 1, 1), group=5)
    value = net.node("Slice", [value], (1, 5, 7, 9), LOOSE, starts=(0, 0, 0, 0), steps=(1, 1, 1, 1))
    conv(net, value, (6, 5, 1, 1), (1, 6, 7, 9))


def pool_of_the_first_channels(net: Net) -> None:
    """A ring would have no place for the other channels."""
    value = conv(net, net.input(1, 3, 8, 9), (6, 3, 1, 1), (1, 6, 8, 9))
    value = net.node("Slice", [value], (1, 4, 8, 9), LOOSE, starts=(0, 0, 0, 0), steps=(1, 1, 1, 1))
    pool(net, value, (1, 4, 6, 7), (3, 3), (1, 1))


def pools_of_one_channel(net: Net) -> None:
    """With windows along columns only, rows are all that does not slide, and may not be lanes besides."""
    value = pool(net, net.input(1, 1, 20, 21), (1, 1, 20, 18), (1, 4), (1, 1))
    pool(net, value, (1, 1, 18, 16), (3, 3), (1, 1))


def reversed_columns_under_a_padded_window(net: Net) -> None:
    """The row of fill values is as long as forward columns need it."""
    value = conv(net, net.input(1, 3, 7, 1), (3, 3, 1, 1), (1, 3, 7, 1))
    value = net.node("Slice", [value], (1, 2, 7, 1), LOOSE, starts=(0, 0, 6, 0), steps=(1, 1, -1, 1))
    net.node(
        "Conv", [value, net.uniform(2, 1, 3, 2)], (1, 2, 6, 1), LOOSE,
        strides=(1, 1), dilations=(1, 1), pads=(0, 0, 1, 1), group=2,
    )  # fmt: skip


def reversed_after_a_reshape(net: Net) -> None:
    """A quotient of a coordinate that runs downwards from a constant which was divided before."""
    flat = net.node("Reshape", [net.input(1, 5, 7)], (1, 35), LOOSE)
    net.node("Slice", [flat], (1, 31), LOOSE, starts=(0, 30), steps=(1, -1))


def product_with_planes_as_lanes(net: Net) -> None:
    """An operand that is the same for every row lies in its panel once, wherever the tile begins."""
    x, weights = net.input(1, 3, 9), net.uniform(8, 3, 3)
    net.node("Conv", [x, weights], (1, 8, 8), LOOSE, strides=(1,), dilations=(1,), pads=(0, 1), group=1)


def pad_of_a_vector(net: Net) -> None:
    """The basic level asks whether a pad is spatial: a vector has no channels."""
    value = net.node("ReduceSum", [net.input(1, 3)], (3,), LOOSE, axes=(0,), keepdims=0)
    value = net.node("Pad", [value], (5,), LOOSE, pads=(0, 2), value=0.0)
    net.node("Relu", [value], (5,), LOOSE)


def concat_of_a_value_with_itself(net: Net) -> None:
    """The second half is read at coordinates that lie before the value while the first half is."""
    value = conv(net, net.input(1, 3, 7), (3, 3, 3), (1, 3, 5))
    net.node("Concat", [value, value], (1, 6, 5), LOOSE, axis=1)


def one_element(net: Net) -> None:
    """Every axis has one iteration."""
    net.node("MatMul", [net.input(1, 7), net.uniform(7, 1)], (1, 1), LOOSE)


def rows_of_a_sum_and_a_constant(net: Net) -> None:
    """Rows of a concat are more than those of the reduction that one part comes from: the two are no row group."""
    mean = net.node("ReduceMean", [net.input(2, 7, 11)], (2, 1, 11), LOOSE, axes=(1,), keepdims=1)
    net.node("Concat", [mean, net.uniform(1, 1, 11)], (3, 1, 11), LOOSE, axis=0)


def some_rows_of_a_sum(net: Net) -> None:
    """A reader of some rows of a reduction is no row group with it."""
    total = net.node("ReduceSum", [net.input(2, 8, 9)], (2, 9), LOOSE, axes=(1,), keepdims=0)
    turned = net.node("Transpose", [total], (9, 2), LOOSE, perm=(1, 0))
    net.node("Slice", [turned], (2, 2), LOOSE, starts=(0, 0), steps=(1, 1))


def look_up_in_rows(net: Net) -> None:
    """What a row group looks up at run time is in its panel too."""
    x = net.input(3, 5)
    largest = net.node("ReduceMax", [x], (1, 1), LOOSE, axes=(0, 1), keepdims=1)
    shifted = net.node("Sub", [x, largest], (3, 5), LOOSE)
    net.inputs["i"], net.types["i"] = np.asarray([3, -1, 0, 4]), Type("int64", (4,))
    net.node("Gather", [shifted, "i"], (3, 4), LOOSE, axis=1)


def row_group_into_a_concat(net: Net) -> None:
    """A part of a concat is needed in memory, though nobody reads it by its own name."""
    x = net.input(3, 4, 6)
    mean = net.node("ReduceMean", [x], (3, 1, 1), LOOSE, axes=(1, 2), keepdims=1)
    centred = net.node("Sub", [x, mean], (3, 4, 6), LOOSE)
    whole = net.node(
        "Concat", [centred, net.node("Abs", [centred], (3, 4, 6), LOOSE)], (3, 8, 6), LOOSE, axis=1
    )
    net.node("MatMul", [whole, net.uniform(6, 5)], (3, 8, 5), LOOSE)


def sum_of_everything(net: Net) -> None:
    """One sum is one unit, not one for every vector of what is summed."""
    net.node("ReduceMean", [net.input(3, 17)], (1, 1), LOOSE, axes=(0, 1), keepdims=1)


def scalar_product(net: Net) -> None:
    """A scalar is stored without coordinates."""
    product = net.node("MatMul", [net.input(1, 7), net.uniform(7, 1)], (1, 1), LOOSE)
    net.node("Reshape", [product], (), LOOSE)


def phases_of_one_channel(net: Net) -> None:
    """Phases that share their inputs with their neighbours, and one output channel: no depthwise convolution."""
    net.node(
        "ConvTranspose", [net.input(1, 3, 5, 7), net.uniform(3, 1, 4, 4)], (1, 1, 10, 14), LOOSE,
        strides=(2, 2), dilations=(1, 1), pads=(1, 1, 1, 1), group=1,
    )  # fmt: skip


def phases_of_channels(net: Net) -> None:
    """Phases of a depthwise transposed convolution do not move plainly through its input."""
    net.node(
        "ConvTranspose", [net.input(1, 3, 7), net.uniform(3, 1, 4)], (1, 3, 14), LOOSE,
        strides=(2,), dilations=(1,), pads=(1, 1), group=3,
    )  # fmt: skip


GRAPHS: Mapping[str, Callable[[Net], None]] = {
    build.__name__: build
    for build in (
        depthwise_windows_without_overlap,
        depthwise_of_columns,
        groups_of_one_output,
        product_with_a_column_for_each_batch,
        one_row_times_a_batch_of_constants,
        pool_of_rows_in_strided_columns,
        band_of_columns,
        band_into_a_pool_of_columns,
        padded_windows_without_overlap,
        band_of_one_row,
        band_of_a_reversed_value,
        band_of_a_part,
        band_of_every_other_row,
        band_of_a_transposed_value,
        padded_projection_of_a_window,
        projection_of_most_rows_of_a_window,
        pool_of_the_first_channels,
        pools_of_one_channel,
        reversed_columns_under_a_padded_window,
        reversed_after_a_reshape,
        product_with_planes_as_lanes,
        pad_of_a_vector,
        concat_of_a_value_with_itself,
        one_element,
        rows_of_a_sum_and_a_constant,
        some_rows_of_a_sum,
        look_up_in_rows,
        row_group_into_a_concat,
        sum_of_everything,
        scalar_product,
        phases_of_one_channel,
        phases_of_channels,
    )
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graph_that_was_once_wrong(name: str) -> None:
    net = Net(0)
    GRAPHS[name](net)
    case = net.case()
    smallest, *wider = runnable()[:2] or ("x86-64-v3",)
    check(case, *(Setting(level, smallest, 1, 512) for level in LEVELS))
    check(case, *(Setting("full", target, 2) for target in wider))
