"""Random models: what they start from and which steps they may take."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import strategies as st

from .activations import ELEMENTWISE
from .draft import Draft, ModelCase
from .layers import WINDOWS
from .maker import Maker, Steps
from .matrices import ATTENTION, MATRICES, PRODUCTS
from .movements import IMAGE_MOVEMENTS, MATRIX_MOVEMENTS, MOVEMENTS
from .statistics import CHANNEL_STATISTICS, IMAGE_STATISTICS, SPATIAL_STATISTICS, STATISTICS

ANY = range(1, 6)
STEPS = (
    Steps(ANY, ELEMENTWISE),
    Steps(range(3, 6), WINDOWS),
    Steps(ANY, MOVEMENTS),
    Steps(ANY, STATISTICS),
    Steps(ANY, PRODUCTS),
    Steps((4,), IMAGE_MOVEMENTS),
    Steps((4,), IMAGE_MOVEMENTS),
    Steps(range(3, 6), WINDOWS),
    Steps((2,), MATRICES),
    Steps((2, 3), ATTENTION),
    Steps(range(2, 6), MATRIX_MOVEMENTS),
    Steps(range(2, 6), CHANNEL_STATISTICS),
    Steps(range(3, 6), SPATIAL_STATISTICS),
    Steps((4,), IMAGE_STATISTICS),
    Steps((0,), {name: ELEMENTWISE[name] for name in ("unary", "binary")}),
)

CHANNELS = (3, 1, 4, 5, 7, 8, 16, 17)
SPATIAL = (7, 1, 2, 5, 8, 9, 14)
SMALL = (3, 1, 2, 4, 5, 7)
FAMILIES: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "image": ((1, 1, 1, 2), CHANNELS, SPATIAL, SPATIAL),
    "signal": ((1, 1, 2), CHANNELS, (7, 1, 9, 14, 29)),
    "tokens": ((1, 1, 2), (5, 1, 7, 9), (8, 1, 6, 12, 17)),
    "volume": ((1,), SMALL, SMALL, SMALL, SMALL),
    "matrix": ((1, 2, 5, 7), (7, 1, 4, 9, 33)),
    "vector": ((7, 1, 2, 9, 17, 33),),
}
"""What the dimensions of a model's first input may be."""

MOST = 9
"""Steps of a model."""


@st.composite
def models(draw: st.DrawFn, family: str) -> ModelCase:
    """A model of up to `MOST` steps, each on one of the latest values."""
    maker = Maker(Draft(draw(st.integers(0, 999))), draw)
    first = maker.draft.input(*(maker.pick(*sizes) for sizes in FAMILIES[family]))
    maker.live.append(first)
    for _ in range(MOST):
        if not draw(_step(maker)):
            break
    if not maker.draft.nodes:
        maker.draft.node("Relu", [first])
    return maker.draft.case()


@st.composite
def _step(draw: st.DrawFn, maker: Maker) -> bool:
    """A step, unless the model ends here: one strategy, so that hypothesis can leave out any of them as a whole."""
    more = draw(st.integers(0, 9)) > 0
    if more:
        maker.step(STEPS)
    return more
