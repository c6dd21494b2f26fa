"""Options of functions that are no numbers are refused in two lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from longtail.errors import LongtailError
from longtail.functional.contrastive import paco_loss
from longtail.functional.meta_sampling import initial_rates
from longtail.functional.mixing import beta_quantile, mixup_weight
from longtail.functional.smoothing import check_rates

ROWS = torch.eye(3, dtype=torch.float64)
CALLS: dict[str, Callable[[Any], Any]] = {
    "beta": lambda v: beta_quantile(ROWS[0], v, 1.0),
    "mixup": lambda v: mixup_weight(ROWS[0], v),
    "rates": lambda v: initial_rates(ROWS[0] + 1, v),
    "paco": lambda v: paco_loss(ROWS, ROWS, torch.arange(3), temperature=v),
    "head": lambda v: check_rates(v, 0.0, "concave", None),
    "power": lambda v: check_rates(0.3, 0.0, "exp", v),
}


@pytest.mark.parametrize("value", ["many", None, float("nan")], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_refuses_what_is_no_number(name: str, value: Any) -> None:
    with pytest.raises(LongtailError) as caught:
        CALLS[name](value)
    assert caught.value.do
