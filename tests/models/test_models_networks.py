"""Networks: outputs, cuts, weights from seeds, functional calls, the tree."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, UnknownNameError
from longtail.models import InputSpec, Network, TreeNetwork, build_network
from longtail.models.tree import cascade_log_probabilities
from longtail.registry import part

IMAGE = InputSpec("image", (1, 8, 8), (0.3,), (0.3,))
TABLE = InputSpec("table", (5,))
TEXT = InputSpec("text", (6,), buckets=50)
SPECS = {"small_cnn": IMAGE, "mlp": TABLE, "hashed_text": TEXT}
NETWORKS = {
    "single": part("single"),
    "experts": part("experts", count=3),
    "two_branch": part("two_branch"),
    "tree": part("tree", groups=((0, 2), (3, 4), (5,))),
}
C = 6


def make(network: str = "single", backbone: str = "small_cnn", **options: object) -> Network:
    options.setdefault("head", part("cosine", scale=20.0))
    return build_network(
        NETWORKS[network],
        input_spec=SPECS[backbone],
        backbone=backbone,
        num_classes=C,
        seed=int(options.pop("seed", 3)),  # type: ignore[call-overload]
        **options,
    )


def rows(backbone: str, n: int = 4) -> torch.Tensor:
    spec, generator = SPECS[backbone], torch.Generator().manual_seed(0)
    if spec.kind == "text":
        return torch.randint(0, 50, (n, *spec.shape), generator=generator, dtype=torch.int32)
    return torch.rand((n, *spec.shape), generator=generator)


@pytest.mark.parametrize("backbone", SPECS)
@pytest.mark.parametrize("network", NETWORKS)
def test_outputs(network: str, backbone: str) -> None:
    net = make(network, backbone, projector=part("mlp_projector", out_features=7)).eval()
    out = net(rows(backbone))
    assert out.logits.shape == (4, C)
    assert out.features.shape == (4, net.features)
    assert out.projection.shape == (4, 7)
    assert (out.expert_logits is not None) == (network == "experts")
    assert net.scale == (None if network == "tree" else 20.0)
    again = net(rows(backbone))
    assert torch.equal(out.logits, again.logits)
    bare = net(rows(backbone), features_only=True)
    assert bare.logits.shape == (4, 0)
    assert torch.equal(bare.features, out.features)
    copy = make(network, backbone, projector=part("mlp_projector", out_features=7), seed=9).eval()
    assert not torch.equal(copy(rows(backbone)).logits, out.logits)
    copy.load_state_dict(net.state_dict())
    assert torch.equal(copy(rows(backbone)).logits, out.logits)


@pytest.mark.parametrize("backbone", SPECS)
@pytest.mark.parametrize("network", ["single", "experts", "two_branch"])
def test_every_cut(network: str, backbone: str) -> None:
    net = make(network, backbone).eval()
    x = rows(backbone)
    assert net.cuts
    for cut in net.cuts:
        out = net.forward_from(net.forward_to(x, cut), cut)
        torch.testing.assert_close(out.logits, net(x).logits)
    with pytest.raises(UnknownNameError, match="cut of"):
        net.forward_to(x, "nowhere")
    if network != "experts":
        torch.testing.assert_close(net.classify(net(x).features), net(x).logits)


@pytest.mark.parametrize("network", NETWORKS)
def test_gradient_reaches_every_weight(network: str) -> None:
    net = make(network, head=part("linear"), projector=part("mlp_projector"))
    out = net(rows("small_cnn", 8))
    loss = (out.logits * torch.randn(8, C)).sum() + (out.projection * torch.randn(8, 32)).sum()
    loss.backward()
    without = [
        n for n, p in net.named_parameters() if p.grad is None and not n.startswith("leaves")
    ]
    assert not without
    heads = {id(p) for p in net.head_parameters()}
    named = {id(p) for n, p in net.named_parameters() if "head" in n.split(".")}
    assert heads == named


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_come_from_the_seed_alone(network: str) -> None:
    before = torch.random.get_rng_state()
    a = make(network).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    b, c = make(network).state_dict(), make(network, seed=4).state_dict()
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not all(torch.equal(a[k], c[k]) for k in a)


def test_experts_differ_and_are_averaged() -> None:
    net = make("experts").eval()
    out = net(rows("small_cnn"))
    assert out.expert_logits.shape == (3, 4, C)
    torch.testing.assert_close(out.logits, out.expert_logits.mean(0))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        first, second = net.backbone.tails[i].state_dict(), net.backbone.tails[j].state_dict()
        weights = [k for k in first if "conv" in k]
        assert weights
        assert all(not torch.equal(first[k], second[k]) for k in weights)
        assert not torch.equal(net.head[i].weight, net.head[j].weight)
    each = net.backbone(net.normalise(rows("small_cnn")))
    torch.testing.assert_close(out.features, each.mean(0))


def test_expert_cuts() -> None:
    assert make("experts").cuts == ("stem", "layer1")
    assert make("experts", "hashed_text").cuts == ("embedding",)
    deep = build_network(
        part("experts", cut="layer2"), input_spec=IMAGE, backbone="small_cnn", num_classes=C
    )
    assert deep.cuts == ("stem", "layer1", "layer2")
    with pytest.raises(UnknownNameError, match="cut of SmallCNN"):
        build_network(
            part("experts", cut="blok"), input_spec=IMAGE, backbone="small_cnn", num_classes=C
        )
    with pytest.raises(ConfigError, match="at least 2"):
        build_network(
            part("experts", count=1), input_spec=IMAGE, backbone="small_cnn", num_classes=C
        )


def test_two_branches_mix_as_the_paper_says() -> None:
    net = make("two_branch", head=part("linear")).eval()
    x, y = rows("small_cnn"), rows("small_cnn").flip(0)
    half = net.mix(x, x, 0.5)
    torch.testing.assert_close(half.logits, net(x).logits)
    d = net.features // 2
    f_c, f_r = net(x).features[:, :d], net(y).features[:, d:]
    alpha = torch.tensor(0.75)
    out = net.mix(x, y, alpha)
    torch.testing.assert_close(out.features, 2 * torch.cat([0.75 * f_c, 0.25 * f_r], 1))
    torch.testing.assert_close(out.logits, net.classify(out.features))


@pytest.mark.parametrize("network", NETWORKS)
def test_functional_call_twice_differentiated(network: str) -> None:
    net = make(network, head=part("linear"))
    x = rows("small_cnn", 8)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    weights = {k: v.detach().clone().requires_grad_() for k, v in net.named_parameters()}
    buffers = {k: v.clone() for k, v in net.named_buffers()}
    out = torch.func.functional_call(net, (weights, buffers), (x,))
    loss = out.logits.pow(2).mean()
    grads = torch.autograd.grad(loss, list(weights.values()), create_graph=True, allow_unused=True)
    sum(g.pow(2).sum() for g in grads if g is not None).backward()
    assert any(w.grad is not None and w.grad.abs().sum() > 0 for w in weights.values())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_hand_check_of_the_tree() -> None:
    """Path probabilities 0.7 and 0.3, leaf posteriors (0.6, 0.4) and (1)."""
    root = torch.tensor([[0.35, 0.35, 0.3]], dtype=torch.float64).log()
    leaves = torch.tensor([[0.6, 0.4, 0.3]], dtype=torch.float64).log() + 5
    group = torch.tensor([0, 0, 1])
    out = cascade_log_probabilities(root, leaves, group, 2).exp()
    np.testing.assert_allclose(out.numpy(), [[0.42, 0.28, 0.30]], atol=1e-12)
    hard = cascade_log_probabilities(root, leaves, group, 2, margin=0.0).exp()
    np.testing.assert_allclose(hard.numpy(), [[0.6, 0.4, 0.0]], atol=1e-12)


def test_tree_probabilities() -> None:
    net = make("tree").eval()
    assert isinstance(net, TreeNetwork)
    assert net.groups == ((0, 2), (3, 4), (5,), (1,))
    assert len(net.leaves) == 2
    x = rows("small_cnn")
    p = net(x).logits.exp()
    np.testing.assert_allclose(p.sum(1).detach().numpy(), 1, rtol=1e-5)
    root = net.root(x).logits.softmax(1)
    leaf = net.leaves[1](x).logits[:, [3, 4]].softmax(1)
    torch.testing.assert_close(p[:, [3, 4]], root[:, [3, 4]].sum(1, keepdim=True) * leaf)
    torch.testing.assert_close(p[:, [1, 5]], root[:, [1, 5]])
    for margin in (0.0, 0.3):
        net.margin = margin
        pruned = net(x).logits
        assert torch.isfinite(pruned).all()
        np.testing.assert_allclose(pruned.exp().sum(1).detach().numpy(), 1, rtol=1e-5)


def test_tree_refuses_bad_groups() -> None:
    net = make()
    with pytest.raises(ConfigError, match="disjoint"):
        TreeNetwork(net, [None, None], [[0, 1], [1]], C)
    with pytest.raises(ConfigError, match="outside"):
        TreeNetwork(net, [None], [[0, 6]], C)
    with pytest.raises(ConfigError, match="1 leaves for 2"):
        TreeNetwork(net, [None], [[0], [1]], C)
    with pytest.raises(ConfigError, match="cut"):
        make("tree").forward_to(rows("small_cnn"), "stem")


def test_unknown_options_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'count'"):
        build_network(
            part("experts", cuont=2), input_spec=IMAGE, backbone="small_cnn", num_classes=C
        )
    with pytest.raises(UnknownNameError, match="widths"):
        make(backbone_options={"width": (1, 2, 3, 4)})
