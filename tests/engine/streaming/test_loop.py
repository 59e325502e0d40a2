"""The machine code of one stream: rows of every width against PyTorch, and code shared by blocks of any size."""

import pytest
import torch
from torch import Tensor, nn

from fxemu.engine.plan import Plan, Term
from fxemu.engine.streaming import loop
from fxemu.engine.streaming.stream import Stream, render
from fxemu.models import GRU, LSTM, Predictor
from fxemu.models.closed_loop import ClosedLoop
from fxemu.representations import Raw


def noise(samples: int) -> Tensor:
    return torch.rand(samples, generator=torch.Generator().manual_seed(0)) - 0.5


class Rows(Predictor):
    """Two dense layers of the wet sample before, of any width: every piece of a row, and every sum in registers."""

    feedback, receptive_field = True, 1

    def __init__(self, width: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        shapes = (width, 1), (width, width), (1, width)
        self.layers = nn.ParameterList(torch.randn(shape, generator=generator) / shape[1] ** 0.5 for shape in shapes)

    def plan(self, plan: Plan, dry: int, wet: int) -> int:
        first, second, last = (weight[..., None] for weight in self.layers)
        x = plan.add(Term(dry, first), Term(wet, 0.5 * first))
        return plan.add(Term(plan.add(Term(x, second)), last))


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7, 8, 11, 31, 40, 95, 96, 103, 200])
@torch.no_grad()
def test_rows_of_any_width(width: int) -> None:
    loop, dry = ClosedLoop(Rows(width), Raw(), Raw()), noise(200)
    first, second, last = loop.predictor.layers
    gain = (last @ second @ first).item()
    # y[t] = gain (x[t] + y[t-1] / 2), within the limit.
    expected, y = [], 0.0
    for x in dry.tolist():
        y = max(-1.2, min(1.2, gain * (x + 0.5 * y)))
        expected.append(y)
    expected = torch.tensor(expected)
    assert expected.std() > 0.01
    assert torch.allclose(render(loop, dry), expected, atol=1e-5)


def test_blocks_of_any_size_and_other_weights_share_their_code() -> None:
    """A longer block than any before looks the code up, a shorter one does not."""
    streams = [Stream(ClosedLoop(LSTM(1, 1, width=5), Raw(), Raw())) for _ in range(2)]
    streams[0].process(noise(10))
    before = loop._compiled.cache_info()
    for stream, size in zip(streams, (3000, 4000), strict=True):
        stream.process(noise(size))
        stream.process(noise(20))
    after = loop._compiled.cache_info()
    assert (after.misses, after.hits) == (before.misses, before.hits + 2)


def test_what_is_not_a_number_stays_so() -> None:
    """So that a diverged net is reported, not played as silence."""
    loop = ClosedLoop(GRU(1, 1, width=5), Raw(), Raw())
    with torch.no_grad():
        loop.predictor.out.bias.fill_(float("nan"))
    assert not torch.isfinite(render(loop, noise(10))).all()
