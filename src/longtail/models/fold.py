"""BatchNorm folded into the convolution before it, for passes that train nothing."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator

from torch import fx, nn
from torch.nn.utils import fuse_conv_bn_eval

from longtail.models.networks import Network

__all__ = ["folded"]


@contextlib.contextmanager
def folded(network: Network) -> Iterator[Network]:
    """The network, its backbone folded as long as the block lasts.

    In eval mode BatchNorm is affine, ``gamma (conv(x) - mu) / sqrt(var + eps) + beta``, which is
    the convolution with weights ``W gamma / sqrt(var + eps)`` and bias
    ``beta - gamma mu / sqrt(var + eps)``: the same features up to rounding, without a pass over
    the activations. A backbone that cannot be traced, or in train mode, is left as it is.

    Args:
        network: in eval mode; its backbone is put back at the end, also after an error.
    """
    trunk = getattr(network, "backbone", None)
    quicker = _fold(trunk) if isinstance(trunk, nn.Module) and not trunk.training else None
    if trunk is None or quicker is None:
        yield network
        return
    network.backbone = quicker
    try:
        yield network
    finally:
        network.backbone = trunk


def _fold(trunk: nn.Module) -> fx.GraphModule | None:
    """A module that shares all but the folded convolutions; ``None`` where there is nothing to fold."""
    if not any(isinstance(m, nn.BatchNorm2d) for m in trunk.modules()):
        return None
    try:
        traced = fx.symbolic_trace(trunk)
    except (AttributeError, RuntimeError, TypeError, ValueError):  # it looks at values or shapes
        return None
    uses = Counter(n.target for n in traced.graph.nodes if n.op == "call_module")
    for norm in [n for n in traced.graph.nodes if n.op == "call_module"]:
        before = norm.args[0] if norm.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        conv, bn = (traced.get_submodule(str(n.target)) for n in (before, norm))
        if not (isinstance(conv, nn.Conv2d) and isinstance(bn, nn.BatchNorm2d)):
            continue
        if bn.running_mean is None or len(before.users) > 1 or uses[before.target] > 1:
            continue
        traced.set_submodule(str(before.target), fuse_conv_bn_eval(conv, bn))
        norm.replace_all_uses_with(before)
        traced.graph.erase_node(norm)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced
