"""Records of kind `heads`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
