"""Backbones: shapes, cuts, gradients, weights from seeds."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch
from torch import nn

from longtail import registry
from longtail.errors import CheckpointError, ConfigError, MissingExtraError, UnknownNameError
from longtail.models import (
    HashedText,
    InputSpec,
    ResNet18,
    ResNet32,
    ResNet50,
    SmallCNN,
    build_backbone,
    load_backbone,
)

NAMES = [r.name for r in registry.records("backbones") if not {"large", "extra"} & set(r.tags)]


def make(name: str, seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    record = registry.get("backbones", name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = record.load()(**record.case)
        shape = (5, *record.case["input_shape"])
        if "text" in record.modalities:
            return backbone, torch.randint(1, 50, shape, dtype=torch.int32)
        return backbone, torch.rand(shape)


@pytest.mark.parametrize("name", NAMES)
def test_shape_and_every_cut(name: str) -> None:
    backbone, x = make(name)
    backbone.eval()
    whole = backbone(x)
    assert whole.shape == (5, backbone.features)
    assert backbone.last_block_cut in backbone.cuts[:-1]
    for cut in backbone.cuts:
        again = backbone.forward_from(backbone.forward_to(x, cut), cut)
        assert torch.equal(again, whole)
    assert torch.equal(backbone(x), whole)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_every_weight(name: str) -> None:
    backbone, x = make(name)
    (backbone(x) * torch.rand(5, backbone.features)).sum().backward()
    for key, weight in backbone.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", NAMES)
def test_tail_is_fresh_and_takes_over_at_the_cut(name: str) -> None:
    backbone, x = make(name)
    cut = backbone.last_block_cut
    backbone.eval()
    with torch.random.fork_rng(devices=[]):
        first, second = backbone.tail(cut).eval(), backbone.tail(cut).eval()
    h = backbone.forward_to(x, cut)
    outs = [first(h), second(h), backbone.forward_from(h, cut)]
    assert all(o.shape == outs[0].shape for o in outs)
    assert not torch.allclose(outs[0], outs[1])
    assert not torch.allclose(outs[0], outs[2])
    first.load_state_dict(
        {k: v for k, v in backbone.state_dict().items() if k in first.state_dict()}
    )
    assert torch.equal(first(h), outs[2])
    assert backbone.trunk(cut).cuts == backbone.cuts[: backbone.cuts.index(cut) + 1]


def test_an_unknown_cut_is_refused_by_name() -> None:
    backbone, x = make("small_cnn")
    with pytest.raises(UnknownNameError, match=r"layer9.*\ndid you mean"):
        backbone.forward_to(x, "layer9")


def test_resnet32_is_the_one_of_the_papers() -> None:
    net = ResNet32((3, 32, 32))
    assert net.features == 64
    assert net.cuts == ("stem", "layer1", "layer2", "layer3_body", "layer3", "pool")
    # conv and BatchNorm weights of He et al.: 0.46 M
    assert sum(p.numel() for p in net.parameters()) == 463_504
    assert net.forward_to(torch.rand(2, 3, 32, 32), "layer2").shape == (2, 32, 16, 16)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 31
    for conv in convolutions[1:]:  # He normal, fan out
        wanted = (2 / (conv.out_channels * 9)) ** 0.5
        assert conv.weight.std().item() == pytest.approx(wanted, rel=0.1)


def test_resnet_stem_follows_the_image_size() -> None:
    small, large = ResNet18((3, 64, 64)), ResNet18((3, 65, 65))
    assert small.pieces["stem"].conv1.kernel_size == (3, 3)
    assert not hasattr(small.pieces["stem"], "maxpool")
    assert large.pieces["stem"].conv1.kernel_size == (7, 7)
    assert large.forward_to(torch.rand(1, 3, 65, 65), "stem").shape == (1, 64, 17, 17)


def test_resnet50_has_the_published_size() -> None:
    with torch.device("meta"):
        net = ResNet50((3, 224, 224))
    assert sum(p.numel() for p in net.parameters()) == 25_557_032 - 2_049_000
    assert net.features == 2048


def test_torchvision_keys() -> None:
    net = ResNet18((3, 224, 224))
    state = {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    for key, value in net.state_dict().items():
        name = key.removeprefix("pieces.").removeprefix("stem.").replace("layer4_body", "layer4")
        state[name] = torch.ones_like(value)
    assert {"conv1.weight", "layer2.0.downsample.1.running_var", "layer4.1.bn2.bias"} <= set(state)
    load_backbone(net, state)
    assert all((v == 1).all() for v in net.state_dict().values())
    state.pop("conv1.weight")
    with pytest.raises(CheckpointError, match="1 keys missing"):
        load_backbone(net, state)


def test_small_cnn_takes_any_small_size_and_a_batch_of_one() -> None:
    for shape in [(1, 4, 4), (1, 5, 7), (1, 8, 8), (2, 17, 17), (1, 28, 28), (3, 64, 20)]:
        assert SmallCNN(shape)(torch.rand(1, *shape)).shape == (1, 128)
    with pytest.raises(ConfigError, match="4 pixels"):
        SmallCNN((1, 3, 8))
    assert 100_000 < sum(p.numel() for p in SmallCNN((1, 28, 28)).parameters()) < 300_000


def test_text_ignores_padding_and_can_be_differentiated_twice() -> None:
    net = HashedText((4,), buckets=20)
    bag = net.pieces["embedding"].bag
    out = bag(torch.tensor([[3, 5, 0, 0], [0, 0, 0, 0], [3, 3, 3, 3]], dtype=torch.int32))
    w = bag.weight
    assert torch.allclose(out[0], (w[3] + w[5]) / 2)
    assert (out[1] == 0).all()
    assert torch.allclose(out[2], w[3])
    loss = net(torch.tensor([[3, 5, 0, 0]], dtype=torch.int32)).pow(2).sum()
    (grad,) = torch.autograd.grad(loss, [bag.weight], create_graph=True)
    grad.pow(2).sum().backward()
    assert (bag.weight.grad[0] == 0).all()
    assert bag.weight.grad[3].abs().sum() > 0


def test_rows_of_an_mlp_do_not_see_each_other() -> None:
    net, x = make("mlp")
    net.train()
    assert torch.allclose(net(x)[:1], net(x[:1]), atol=1e-6)


def test_a_backbone_for_another_kind_of_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="works on image, not on table"):
        build_backbone("resnet32", InputSpec("table", (4,)))
    with pytest.raises(UnknownNameError, match="did you mean 'resnet32'"):
        build_backbone("resnet33", InputSpec("image", (3, 32, 32)))


def test_timm_is_asked_for_by_name_only() -> None:
    code = (
        "import sys, longtail.models; "
        "assert not {'timm', 'torchvision'} & set(sys.modules), 'imported too early'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_timm_is_said_in_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError) as caught:
        build_backbone("timm:resnet18", InputSpec("image", (3, 32, 32)))
    first, second = str(caught.value).splitlines()
    assert "timm" in first
    assert "pip install" in second


TIMM = """
import torch
lib = torch.library.Library("torchvision", "FRAGMENT")
for name in ("nms", "qnms"):  # a torchvision for CUDA beside a torch for CPU lacks both
    try:
        lib.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass
from longtail.models import InputSpec, build_network
spec = InputSpec("image", (1, 32, 32), (0.5,), (0.2,))
for model, width in (("resnet18", 512), ("vit_tiny_patch16_224", 192)):
    made = [build_network("single", input_spec=spec, backbone=f"timm:{model}", num_classes=5,
                          seed=s).eval() for s in (1, 1, 2)]
    out = [net(torch.ones(2, 1, 32, 32)) for net in made]
    assert out[0].logits.shape == (2, 5) and out[0].features.shape == (2, width)
    assert torch.equal(out[0].logits, out[1].logits)
    assert not torch.equal(out[0].logits, out[2].logits)
    assert made[0].cuts == ()
for network, model in (("experts", "resnet18"), ("single", "resnet181")):
    try:
        build_network(network, input_spec=spec, backbone=f"timm:{model}", num_classes=5)
    except ValueError as error:
        assert "no cuts" in str(error) or "did you mean 'resnet18'" in str(error), error
    else:
        raise SystemExit("not refused")
"""


@pytest.mark.full
def test_timm_models_become_backbones() -> None:
    if importlib.util.find_spec("timm") is None:
        pytest.skip("timm is not installed")
    subprocess.run([sys.executable, "-c", TIMM], check=True)
