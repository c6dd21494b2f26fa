"""Options that are numbers: words, nothing and NaN are refused in two lines, in every part."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from longtail.errors import LongtailError
from longtail.models import InputSpec, build_network
from longtail.registry import Record, part, records

KINDS = (
    "losses",
    "weights",
    "samplers",
    "heads",
    "augments",
    "adjusters",
    "schedules",
    "backbones",
    "objectives",
    "handovers",
    "updates",
    "metrics",
)
#: annotation of an option that is a number, or a list of them
NUMERIC = re.compile(r"\b(int|float)\b")
#: taken so that all heads are built alike, and never read
UNREAD = {("mlp_projector", "num_classes")}


def numeric(record: Record) -> list[tuple[str, Any]]:
    """Each numeric option of a record with each value that it cannot take."""
    out: list[tuple[str, Any]] = []
    for p in inspect.signature(record.load()).parameters.values():
        kind = str(p.annotation)
        is_number = isinstance(p.default, int | float) and not isinstance(p.default, bool)
        if (NUMERIC.search(kind) or is_number) and (record.name, p.name) not in UNREAD:
            nothing = [] if "None" in kind or p.default is None else [None]
            out += [(p.name, v) for v in ("many", float("nan"), *nothing)]
    return out


CASES = [
    pytest.param(r, name, value, id=f"{kind}.{r.name}-{name}-{value}")
    for kind in KINDS
    for r in records(kind)
    for name, value in numeric(r)
]


@pytest.mark.parametrize(("record", "name", "value"), CASES)
def test_refuses_what_is_no_number(record: Record, name: str, value: Any) -> None:
    with pytest.raises(LongtailError) as caught:
        record.load()(**{**record.case, name: value})
    assert caught.value.what
    assert caught.value.do


@pytest.mark.parametrize("value", ["many", float("nan")], ids=str)
@pytest.mark.parametrize(("name", "option"), [("experts", "count"), ("neck", "width")])
def test_networks_refuse_what_is_no_number(name: str, option: str, value: Any) -> None:
    spec = InputSpec("image", (1, 8, 8), mean=(0.4,), std=(0.3,))
    network = part(name, **{option: value})
    with pytest.raises(LongtailError, match="at least") as caught:
        build_network(network, input_spec=spec, backbone="small_cnn", num_classes=4)
    assert caught.value.do


@pytest.mark.parametrize("kind", KINDS)
def test_some_option_of_the_kind_is_a_number(kind: str) -> None:
    assert any(numeric(r) for r in records(kind))
