"""Every check of a kind over every record."""

from __future__ import annotations

from collections import Counter

import pytest

from longtail.registry import KINDS, Record, records
from longtail.testing import Check, checks_for, exception_of, identifier, pairs, unrepresented
from longtail.testing.contract import _CHECKS
from longtail.testing.exceptions import EXCEPTIONS

PAIRS = pairs()

#: records of each kind that must be there; more are welcome
AT_LEAST = {
    "recipes": 25,
    "losses": 6,
    "weights": 4,
    "samplers": 10,
    "heads": 3,
    "backbones": 7,
    "networks": 4,
    "augments": 7,
    "objectives": 6,
    "handovers": 7,
    "updates": 1,
    "schedules": 3,
    "adjusters": 3,
    "metrics": 9,
    "datasets": 7,
}


def case(record: Record, check: Check) -> object:
    """One test; an exception with a reason is expected to fail, and must."""
    reason = exception_of(record, check)
    marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
    return pytest.param(record, check, id=identifier(record, check), marks=marks)


@pytest.mark.parametrize(("record", "check"), [case(r, c) for r, c in PAIRS])
def test_obeys(record: Record, check: Check) -> None:
    check(record)


def test_every_record_is_met() -> None:
    met = Counter(record.kind for record, _ in PAIRS)
    assert set(AT_LEAST) == set(KINDS)
    for kind in KINDS:
        found = records(kind)
        assert len(found) >= AT_LEAST[kind], kind
        assert len({r.name for r in found}) == len(found)
        for record in found:
            own = [c for c in checks_for(record) if len(c.kinds) < len(KINDS)]
            assert own, f"{kind}.{record.name} meets no check of its kind"
        assert met[kind] == sum(len(checks_for(r)) for r in found)


def test_ids_are_unique() -> None:
    names = [identifier(r, c) for r, c in PAIRS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("kind", KINDS)
def test_every_public_class_has_a_record(kind: str) -> None:
    assert not unrepresented(kind)


def test_no_check_idles() -> None:
    used = {c.name for _, c in PAIRS}
    assert {c.name for c in _CHECKS.values()} == used


def test_exceptions_name_records_and_give_reasons() -> None:
    known = {(f"{r.kind}.{r.name}", c.name) for r, c in PAIRS}
    for key, reason in EXCEPTIONS.items():
        assert key in known, key
        assert len(reason) > 20
