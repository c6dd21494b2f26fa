"""Records of kind `adjusters`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
