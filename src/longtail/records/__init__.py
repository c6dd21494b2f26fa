"""Tables of records, one file a kind; none imports torch."""

__all__: list[str] = []
