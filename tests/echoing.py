"""A predictor that echoes before it is fitted."""

import torch

from fxemu.models import Auto


def echoing(predictor: Auto) -> Auto:
    """The predictor with two echoes of the three that it could have, the first one as soon as can be."""
    predictor.lags.copy_(torch.tensor([1, 9, 0]))
    torch.nn.init.normal_(predictor.taps, std=0.1)
    return predictor
