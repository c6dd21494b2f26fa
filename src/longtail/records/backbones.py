"""Records of kind `backbones`."""

from longtail.registry import Record, register

__all__: list[str] = []

register()
