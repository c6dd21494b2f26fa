"""``--from``: a second stage from a run of ours, or from weights of another trainer."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from longtail.engine.runner import RunConfig, fit
from longtail.engine.start import Start
from longtail.errors import CheckpointError, ConfigError
from longtail.models import ResNet18, ResNet32, load_backbone
from longtail.registry import get
from longtail.testing.toy import toy_data


def train(recipe: str, **options: Any) -> Any:
    config = RunConfig(recipe=recipe, progress=False, device="cpu", **options)
    return fit(config, dataset=toy_data())


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of plain cross-entropy."""
    output = tmp_path_factory.mktemp("first") / "ce"
    train("ce", epochs=4, output=output)
    return output


def network(run: Any) -> dict[str, torch.Tensor]:
    return dict(run.network.state_dict())


def test_the_second_stage_of_a_run(first: Path) -> None:
    before = {k.partition("/")[2]: v for k, v in load_file(first / "model.safetensors").items()}
    run = train("crt", start=first, epochs=2)
    after = network(run)
    for key, value in before.items():
        assert torch.equal(after[key], value) != key.startswith("head."), key
    assert run.metrics["epochs"] == 2
    assert run.metrics["steps"] == 2 * 3, "only the second stage: 36 rows in batches of 16"
    assert any("'represent' was not trained" in n for n in run.metrics["notes"])
    assert run.metrics["effective_prior"] == pytest.approx([0.25] * 4)


def test_epochs_are_those_of_what_is_left(first: Path) -> None:
    whole = train("crt")
    rest = train("crt", start=first)
    assert rest.metrics["epochs"] == round(whole.metrics["epochs"] * 10 / 100)


def test_nothing_is_trained_where_a_rule_is_all_that_is_left(first: Path) -> None:
    plain = network(train("ce", epochs=4))
    run = train("la_posthoc", start=first)
    assert run.metrics["steps"] == 0
    assert all(torch.equal(v, plain[k]) for k, v in network(run).items())
    assert any("optimistic" in n for n in run.metrics["notes"]) == (
        run.metrics["data"]["counts"] != [20, 9, 5, 2]
    )


def test_a_rule_is_told_of_the_prior_the_run_had(tmp_path: Path) -> None:
    train("balanced_softmax", epochs=1, output=tmp_path / "bs")
    with pytest.raises(ConfigError, match="prior"):
        train("la_posthoc", start=tmp_path / "bs")


def test_it_resumes_with_the_same_weights_only(first: Path, tmp_path: Path) -> None:
    output = tmp_path / "crt"
    run = train("crt", start=first, epochs=2, output=output)
    again = train("crt", start=first, epochs=2, output=output, resume=True)
    assert all(torch.equal(v, network(again)[k]) for k, v in network(run).items())
    train("ce", epochs=1, seed=1, output=tmp_path / "other")
    with pytest.raises(ConfigError, match="another one: from"):
        train("crt", start=tmp_path / "other", epochs=2, output=output, resume=True)
    with pytest.raises(ConfigError, match="another one: from"):
        train("crt", epochs=2, output=output, resume=True)


def foreign(first: Path) -> dict[str, torch.Tensor]:
    """The run's weights under the names that other trainers give."""
    out = {}
    for key, value in load_file(first / "model.safetensors").items():
        name = key.partition("/")[2]
        if name.startswith("backbone."):
            out["module." + name.removeprefix("backbone.pieces.")] = value
        if name.startswith("head."):
            out["module." + name.replace("head.", "fc.")] = value
    return out


@pytest.mark.parametrize("kind", ["pt", "nested.pth", "safetensors"])
def test_a_file_of_another_trainer(first: Path, tmp_path: Path, kind: str) -> None:
    state, file = foreign(first), tmp_path / f"weights.{kind}"
    if kind == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, file)
    else:
        torch.save({"epoch": 3, "state_dict": state} if "nested" in kind else state, file)
    one, other = train("tau_norm", start=first), train("tau_norm", start=file)
    for key, value in network(one).items():
        assert torch.equal(network(other)[key], value), key


def test_what_does_not_fit_is_named(first: Path, tmp_path: Path) -> None:
    state, file = foreign(first), tmp_path / "weights.pt"
    state.pop("module.layer1.conv.weight")
    state["module.stem.conv.weight"] = torch.zeros(3, 3)
    torch.save(state, file)
    with pytest.raises(
        CheckpointError, match=r"1 keys missing: layer1\.conv\.weight; 1 of another"
    ) as e:
        train("crt", start=file)
    assert "stem.conv.weight (3, 3) in place of" in str(e.value)


def test_a_classifier_that_is_kept_must_be_there(first: Path, tmp_path: Path) -> None:
    state, file = foreign(first), tmp_path / "weights.pt"
    torch.save({k: v for k, v in state.items() if ".fc." not in k}, file)
    with pytest.raises(CheckpointError, match="no classifier of 4 classes"):
        train("tau_norm", start=file)
    assert train("crt", start=file, epochs=1).metrics["epochs"] == 1


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save(torch.nn.Linear(2, 2), file)
    with pytest.raises(CheckpointError, match="weights only") as caught:
        train("crt", start=file)
    assert "state_dict()" in caught.value.do


def test_other_mistakes(first: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run or file"):
        train("crt", start=tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="no finished run"):
        train("crt", start=tmp_path)
    with pytest.raises(ConfigError, match="no second stage"):
        train("ce", start=first)
    with pytest.raises(CheckpointError, match="'small_cnn', not 'resnet32'"):
        train("crt", start=first, backbone="resnet32")
    torch.save({"epoch": 1}, tmp_path / "empty.pt")
    with pytest.raises(CheckpointError, match="holds no tensors"):
        train("crt", start=tmp_path / "empty.pt")


def test_a_run_of_other_classes_gives_its_trunk_alone(first: Path, tmp_path: Path) -> None:
    other = tmp_path / "renamed"
    shutil.copytree(first, other)
    about = json.loads((other / "run.json").read_text())
    about["class_names"] = ["a", "b", "c", "d"]
    (other / "run.json").write_text(json.dumps(about))
    with pytest.raises(CheckpointError, match="no classifier"):
        train("tau_norm", start=other)
    assert train("crt", start=other, epochs=1).metrics["epochs"] == 1


def test_names_of_published_cifar_code() -> None:
    """``conv1, bn1, layer1.0.conv1 ...`` under any prefix; a stray ``conv1`` deeper misleads not."""
    net, other = ResNet32((3, 32, 32)), ResNet32((3, 32, 32))
    state = {}
    for key, value in net.state_dict().items():
        name = key.removeprefix("pieces.").removeprefix("stem.").replace("_body.", ".")
        if not name.endswith("num_batches_tracked"):
            state[f"encoder_q.0.{name}"] = torch.full_like(value, 0.5)
    state["decoder.conv1.weight"] = torch.zeros(1)
    assert load_backbone(other, state) == "encoder_q.0."
    assert all((v == 0.5).all() for k, v in other.state_dict().items() if "tracked" not in k)
    with pytest.raises(CheckpointError, match="keys missing"):
        load_backbone(ResNet18((3, 32, 32)), state)


@pytest.mark.parametrize("net", [ResNet18, ResNet32])
def test_a_deeper_network_is_refused(net: Any) -> None:
    mine = net((3, 32, 32))
    state = {
        k.removeprefix("pieces.").removeprefix("stem.").replace("_body.", "."): v
        for k, v in mine.state_dict().items()
    }
    more = {"fc.weight": torch.zeros(4, 64), "bn1.num_batches_tracked": torch.tensor(1)}
    load_backbone(mine, {**state, **more})
    with pytest.raises(
        CheckpointError, match=r"1 keys of another network: layer1\.7\.conv1\.weight"
    ):
        load_backbone(mine, {**state, **more, "layer1.7.conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
@pytest.mark.parametrize(
    "content", [b"garbage", b"\x80\x02h\x05.", b"PK\x03\x04" + b"\0" * 60, b""]
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name) as caught:
        Start.find(tmp_path / name)._read()
    assert len(str(caught.value).splitlines()) == 2
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[1]", '{"backbone": "mlp"}', "\xff"])
def test_a_damaged_run_is_named(first: Path, tmp_path: Path, text: str) -> None:
    shutil.copy(first / "model.safetensors", tmp_path)
    (tmp_path / "run.json").write_text(text, "latin-1")
    with pytest.raises(CheckpointError, match=r"run\.json is not whole") as caught:
        Start.find(tmp_path)
    assert len(str(caught.value).splitlines()) == 2


def test_weights_that_are_not_finite_are_named(first: Path, tmp_path: Path) -> None:
    state, file = foreign(first), tmp_path / "weights.pt"
    state["module.fc.bias"] = torch.full_like(state["module.fc.bias"], torch.nan)
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=r"weights\.pt holds NaN .*fc\.bias"):
        train("tau_norm", start=file)


def test_a_head_that_is_fitted_needs_no_classifier(first: Path, tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    torch.save({k: v for k, v in foreign(first).items() if ".fc." not in k}, file)
    for recipe in ("decoupled_ncm", "ncm", "generative_head"):
        assert network(train(recipe, start=file))["head.fitted"]


def test_a_teacher_needs_the_classifier() -> None:
    assert get("handovers", "previous_as_teacher").load().reads_head
    assert get("handovers", "pseudo_labels").load().reads_head


def test_a_head_of_another_kind_is_named_or_drawn_anew(tmp_path: Path) -> None:
    train("tde", epochs=1, set=("heads=4",), output=tmp_path / "tde")
    with pytest.raises(CheckpointError, match=r"holds a classifier of the kind tde\(.*not linear"):
        train("tau_norm", start=tmp_path / "tde")
    assert train("crt", start=tmp_path / "tde", epochs=1).metrics["epochs"] == 1


def test_a_learned_correction_begins_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "lws"
    train("decoupled_lws", epochs=2, output=output)
    file = load_file(output / "model.safetensors")
    assert not torch.equal(file["network/head.scales"], torch.ones(4)), (
        "the test needs a correction"
    )
    seen = {}
    load = Start.load

    def watched(self: Start, state: Any, prior: Any) -> Any:
        found = load(self, state, prior)
        seen.update({k: v.clone() for k, v in state.network.head.state_dict().items()})
        seen["prior"] = found
        return found

    monkeypatch.setattr(Start, "load", watched)
    train("decoupled_lws", epochs=1, start=output)
    assert torch.equal(seen["scales"], torch.ones(4))
    assert torch.equal(seen["weight"], file["network/head.weight"])
    assert seen["prior"].tolist() == pytest.approx([20 / 36, 9 / 36, 5 / 36, 2 / 36])
    train("mislas", epochs=1, start=output)
    assert torch.equal(seen["scales"], torch.ones(4))
    folded = file["network/head.scales"][:, None] * file["network/head.weight"]
    assert torch.allclose(seen["weight"], folded)


def test_the_flag_is_the_field() -> None:
    names = {f.name for f in dataclasses.fields(RunConfig)}
    assert "start" in names


def test_a_run_with_layers_that_this_network_lacks_is_refused(tmp_path: Path) -> None:
    """Without its neck the features are others."""
    train("etf", epochs=2, output=tmp_path / "etf")
    with pytest.raises(CheckpointError, match="left over") as caught:
        train("crt", start=tmp_path / "etf")
    assert "neck" in caught.value.what
