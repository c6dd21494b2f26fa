"""Taxonomies as values, and the head that decides along one."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor

from longtail.errors import ConfigError, DataError
from longtail.models import TaxonomicHead, Taxonomy
from longtail.models.taxonomy import grow, star

LINES = {
    "cat": "pet", "dog": "pet", "car": "wheels", "bus": "wheels", "van": "vans", "minivan": "vans",
    "vans": "wheels", "pet": "all", "wheels": "all", "rose": "all",
}  # fmt: skip
NAMES = ("van", "rose", "cat", "bus", "minivan", "dog", "car")
TREE, NOTES = grow(LINES, NAMES, NAMES)


def head(tree: Taxonomy | None = TREE, threshold: float = 0.0) -> TaxonomicHead:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        made = TaxonomicHead(5, 7, threshold=threshold)
        if tree is not None:
            made.plant(tree)
            made.reset_parameters()
    return made


def rows(n: int = 40) -> Tensor:
    return 4 * torch.randn(n, 5, generator=torch.Generator().manual_seed(3))


def named(tree: Taxonomy) -> dict[str, str]:
    """Node name -> name of its parent."""
    inner = [tree.names[-1], *tree.names[tree.num_classes : -1]]
    return {tree.names[n]: inner[p] for n, p in enumerate(tree.parents)}


# -- the value ---------------------------------------------------------------------------------


def test_nodes_are_numbered_by_depth() -> None:
    assert NOTES == []
    assert named(TREE) == LINES
    assert TREE.names == (*NAMES, "wheels", "pet", "vans", "all")
    assert TREE.levels() == (2, 1)
    assert [TREE.names[n] for n in TREE.path(0)] == ["wheels", "vans", "van"]
    assert Taxonomy.from_json(TREE.to_json()) == TREE
    assert star(3).levels() == ()


def test_what_is_above_no_class_is_left_out() -> None:
    tree, notes = grow({**LINES, "oak": "tree", "tree": "all"}, NAMES, NAMES)
    assert tree == TREE
    assert notes == ["taxonomy: 2 nodes lie above no class and are left out"]


def test_a_node_with_one_child_gives_way_to_it() -> None:
    lines = {**LINES, "all": "world", "cat": "felines", "felines": "small", "small": "pet"}
    tree, notes = grow(lines, NAMES, NAMES)
    assert named(tree) == LINES
    assert len(notes) == 1
    assert notes[0].startswith("taxonomy: 3 nodes with one child are replaced by the child: ")
    assert {"world", "felines", "small"} == set(notes[0].rpartition(": ")[2].split(", "))


def test_an_inner_node_called_like_a_class_gets_a_number() -> None:
    lines = {("cat",): "pet", "dog": "pet", "pet": "all", "rose": "all"}
    said = {("cat",): "cat", "pet": "cat"}
    tree, _ = grow(lines, [("cat",), "dog", "rose"], ["cat", "dog", "rose"], said)
    assert tree.names == ("cat", "dog", "rose", "cat (2)", "all")


@pytest.mark.parametrize(
    ("change", "classes", "said"),
    [
        ({"all": "vans"}, NAMES, ["cycle", "'all' -> 'vans' -> 'wheels' -> 'all'"]),
        ({"pet": "pet"}, NAMES, ["cycle", "'pet' -> 'pet'"]),
        ({"oak": "plnt", "plant": "all"}, NAMES, ["2 nodes", "no parent", "'plnt'", "'plant'"]),
        ({}, (*NAMES, "minvan"), ["1 of 8 classes", "'minvan'", "did you mean 'minivan'"]),
        ({"wheel": "car"}, NAMES, ["more"]),
        ({}, (*NAMES[:-1], "vans"), ["class 'vans' stands above", "'van'"]),
        ({}, (*NAMES, "cat"), ["'cat' and 'cat' are one node"]),
        ({}, ("all", *NAMES), ["no path", "'all'"]),
    ],
)
def test_trees_that_are_none(
    change: dict[str, str], classes: tuple[str, ...], said: list[str]
) -> None:
    if said == ["more"]:  # what hangs below a class is no class: the class stays a leaf
        assert grow({**LINES, **change}, classes, classes)[0] == TREE
        return
    with pytest.raises(DataError) as caught:
        grow({**LINES, **change}, classes, classes)
    assert len(str(caught.value).splitlines()) == 2
    for words in said:
        assert words in str(caught.value), str(caught.value)


# -- the head ----------------------------------------------------------------------------------


def test_it_is_a_linear_head_until_a_tree_is_planted() -> None:
    made, x = head(None), rows()
    expected = x.numpy() @ made.weight.detach().numpy().T + made.bias.detach().numpy()
    np.testing.assert_allclose(made(x).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in made.parameters()) == 7 * 6


def test_logits_are_sums_along_the_paths() -> None:
    made, x = head(), rows()
    weight = torch.cat([made.weight, made.inner]).detach().numpy()
    bias = torch.cat([made.bias, made.inner_bias]).detach().numpy()
    o = x.numpy() @ weight.T + bias
    number = {n: i for i, n in enumerate(TREE.names)}
    expected = np.zeros((len(x), 7))
    for c, name in enumerate(NAMES):
        while name != "all":
            expected[:, c] += o[:, number[name]]
            name = LINES[name]
    np.testing.assert_allclose(made(x).detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_planting_keeps_what_the_classes_get() -> None:
    made, x = head(None), rows()
    before = made(x).detach()
    for tree in (TREE, star(7), TREE):
        made.plant(tree)
        torch.testing.assert_close(made(x).detach(), before, rtol=1e-4, atol=1e-4)
    group = [NAMES.index(n) for n in ("cat", "dog")]
    pet = made.inner[TREE.names.index("pet") - 7]
    fresh = head(None)
    torch.testing.assert_close(pet, fresh.weight[group].mean(0), rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="3 classes for 7"):
        made.plant(star(3))


def test_the_tree_travels_with_the_weights() -> None:
    made, x = head(), rows()
    other = TaxonomicHead(5, 7)
    other.load_state_dict(made.state_dict())
    assert other.taxonomy == TREE
    copies = (other, copy.deepcopy(made), pickle.loads(pickle.dumps(made)))
    assert all(torch.equal(c(x), made(x)) for c in copies)
    inner = other.inner
    other.load_state_dict(made.state_dict())
    assert other.inner is inner, "a tree that is there already is not planted anew"
    other.load_state_dict(head(None).state_dict())
    assert other.taxonomy == star(7)
    assert other.inner.shape == (0, 5)


def test_half_precision_is_widened() -> None:
    made, x = head(), rows()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert made(x).dtype == torch.float32
    assert torch.isfinite(made.half()((2e3 * x).half())).all()


# -- where it stops ----------------------------------------------------------------------------


def walked(made: TaxonomicHead, x: Tensor, threshold: float) -> list[tuple[str, int]]:
    """Node and steps, row by row down the path of the predicted class."""
    scores, logits = made.node_scores(x).detach().numpy(), made(x).detach().numpy()
    number = {n: i for i, n in enumerate(TREE.names)}
    out = []
    for b in range(len(x)):
        name = NAMES[int(logits[b].argmax())]
        way = []
        while name != "all":
            way.insert(0, name)
            name = LINES[name]
        steps = 0
        for child in way:
            o = np.array([scores[number[s], b] for s in LINES if LINES[s] == LINES[child]])
            if (np.exp(o - o.max()) / np.exp(o - o.max()).sum()).max() < threshold:
                break
            name, steps = child, steps + 1
        out.append((name, steps))
    return out


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.7, 0.9, 1.0])
def test_it_stops_at_the_first_closed_gate(threshold: float) -> None:
    made, x = head(threshold=threshold), rows(200)
    predicted = made(x).argmax(1)
    expected = walked(made, x, threshold)
    node, steps = made.stops(x, predicted)
    assert [
        (TREE.names[n], s) for n, s in zip(node.tolist(), steps.tolist(), strict=True)
    ] == expected
    columns = made.columns(x, predicted)
    assert columns["node"] == [name for name, _ in expected]
    refused = [name not in NAMES for name, _ in expected]
    assert columns["rejected"] == ["true" if r else "false" for r in refused]
    assert tuple(columns) == made.column_names
    if threshold in (0.0, 1.0):
        assert not any(refused) if threshold == 0 else all(name == "all" for name, _ in expected)
    else:
        assert 0 < sum(refused) < len(x)


def test_correctly_predicted_bits() -> None:
    made, x = head(threshold=0.7), rows(200)
    predicted = made(x).argmax(1)
    target = torch.randint(0, 7, (200,), generator=torch.Generator().manual_seed(5))
    target[:100] = predicted[:100]
    found = made.measures(x, predicted, target)
    members = {"all": 7, "wheels": 4, "pet": 2, "vans": 2}
    for b, (name, steps) in enumerate(walked(made, x, 0.7)):
        above, label = [], NAMES[int(target[b])]
        while label != "all":
            above.append(label)
            label = LINES[label]
        right = name in (*above, "all")
        share = 1.0 if name in NAMES else 1 - members[name] / 7
        assert float(found["node_accuracy"][b]) == right
        assert float(found["correctly_predicted_bits"][b]) == pytest.approx(right * share)
        assert float(found["depth"][b]) == steps
        assert float(found["refused"][b]) == (name not in NAMES)
        assert float(found["leaf_accuracy"][b]) == float(predicted[b] == target[b])


def test_a_threshold_is_a_probability() -> None:
    for wrong in (-0.1, 1.5, float("nan")):
        with pytest.raises(ConfigError) as caught:
            head().refuse_below(wrong)
        assert len(str(caught.value).splitlines()) == 2
