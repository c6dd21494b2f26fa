"""The contract: plain check functions for every kind of record, for third parties too.

Register a part of your own, then run what it must pass::

    from longtail.testing import checks_for, identifier, pairs

    @pytest.mark.parametrize(("record", "check"), [...pairs("losses")...])
    def test_obeys(record, check):
        check(record)

A check takes a record and raises ``AssertionError`` when the record breaks the contract.
"""

from longtail.testing.contract import (
    Check,
    checks_for,
    exception_of,
    identifier,
    pairs,
    unrepresented,
)

__all__ = ["Check", "checks_for", "exception_of", "identifier", "pairs", "unrepresented"]
