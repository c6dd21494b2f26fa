"""Taxonomies from files: the built-in one, edges, tables, and files that are none."""

from __future__ import annotations

import csv
import lzma
import os
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch

from longtail.data.names import CIFAR100
from longtail.data.taxonomies import read_taxonomy
from longtail.errors import DataError
from longtail.functional import node_consistency, sampled_cut, sampled_tree_loss
from longtail.models import TaxonomicHead, Taxonomy

NAMES = ("cat", "dog", "car", "Polar Bear")
EDGES = "life animal\nlife thing\nanimal cat\nanimal dog\nanimal polar_bear\nthing car\nthing bus\n"


def shared(name: str) -> Path:
    """A file of the shared folder, or a skip with the reason."""
    root = os.environ.get("LONGTAIL_SHARED")
    base = Path(root) if root else Path(__file__).resolve().parents[3] / "shared"
    file = base / "data" / name
    if not file.is_file():
        pytest.skip(f"data/{name} of the shared folder is not here")
    return file


def written(place: Path, text: str, name: str = "tree.txt") -> Path:
    file = place / name
    file.write_text(text, encoding="utf-8")
    return file


def parent(tree: Taxonomy, name: str) -> str:
    above = tree.parents[tree.names.index(name)]
    return tree.names[-1] if above == 0 else tree.names[tree.num_classes + above - 1]


def test_the_groups_of_cifar100() -> None:
    tree, notes = read_taxonomy("cifar100", CIFAR100)
    assert notes == []
    assert (tree.inner, tree.levels()) == (20, (20,))
    assert Counter(tree.parents[:100]) == Counter(dict.fromkeys(range(1, 21), 5))
    assert parent(tree, "worm") == "non-insect_invertebrates"
    file = shared("cifar100/cifar100_classes.tsv")
    for row in csv.DictReader(file.read_text().splitlines(), delimiter="\t"):
        assert parent(tree, row["fine_name"]) == row["coarse_name"]


@pytest.mark.parametrize(
    "text",
    [
        EDGES,
        EDGES.replace(" ", "\t"),
        EDGES.replace(" ", ", "),
        "# a comment\n\nchild\tparent\tweight\nlife\t\t\n"
        + "".join(f"{c}\t{p}\t1\n" for p, c in map(str.split, EDGES.splitlines())),
    ],
)
def test_edges(tmp_path: Path, text: str) -> None:
    tree, notes = read_taxonomy(written(tmp_path, text), NAMES)
    assert tree.names == ("cat", "dog", "car", "Polar Bear", "animal", "life")
    assert [parent(tree, n) for n in NAMES] == ["animal", "animal", "life", "animal"]
    assert len(notes) == 2, "bus is no class, and what is left of thing is the car"


TABLE = (
    "id\tkingdom\tgenus\tname\tgroup\n0\tplants\tfelis\tcatnip\tx\n1\tanimals\tfelis\tcat\tx\n"
    "2\tanimals\tfelis\tlynx\ty\n3\tplants\t\trose\ty\n"
)


@pytest.mark.parametrize("names", [("catnip", "cat", "lynx", "rose"), ("0", "1", "2", "3")])
def test_a_table(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Felis among plants is not felis among animals; a rose has no genus."""
    tree, notes = read_taxonomy(written(tmp_path, TABLE), names)
    assert [parent(tree, n) for n in names] == ["plants", "felis", "felis", "plants"]
    assert parent(tree, "felis") == "root"
    assert len(notes) == 1, "one genus of one, one kingdom of one genus"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ["is empty"]),
        ("a b c d\n", ["'a b c d'", "'parent child'"]),
        ("alone\n", ["'alone'", "'parent child'"]),
        (EDGES + "thing cat\n", ["'cat'", "two parents: 'animal' and 'thing'"]),
        (EDGES + "cat life\n", ["cycle", "'animal' -> 'life' -> 'cat' -> 'animal'"]),
        (EDGES + "live fish\n", ["2 nodes", "no parent", "'life', 'live'"]),
        (EDGES.replace("dog", "dogs"), ["1 of 4 classes", "'dog'", "did you mean 'dogs'?"]),
        (EDGES + "cat dog\n", ["two parents"]),
        (EDGES.replace("animal dog", "cat dog"), ["class 'cat' stands above", "'dog'"]),
        (TABLE, ["3 of 4 classes", "no path", "'dog'"]),
        ("id\tgroup\tname\n0\tpets\tcat\n1\tpets\n", ["names no class"]),
        ("id\tgroup\tname\n0\tpets\tcat\n1\twild\tcat\n", ["2 rows", "'cat'"]),
    ],
)
def test_files_that_are_no_taxonomy(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        read_taxonomy(written(tmp_path, text), NAMES)
    assert len(str(caught.value).splitlines()) == 2, str(caught.value)
    for words in said:
        assert words in str(caught.value), str(caught.value)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(DataError, match="no taxonomy 'cifar10'") as caught:
        read_taxonomy("cifar10", NAMES)
    assert "cifar100" in caught.value.do


def test_the_imagenet_tree() -> None:
    """Published edges, packed: nodes with one child give way, every class has its path."""
    file = shared("lists/ImageNet_LT/imagenet_tree_edges.tsv.xz")
    with lzma.open(file, "rt", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t"))
    leaves = [r["node"] for r in rows if r["n_children"] == "0"]
    tree, notes = read_taxonomy(file, leaves)
    single = [r["node"] for r in rows if r["n_children"] == "1"]
    assert (tree.num_classes, len(single)) == (1000, 21)
    assert any(note.startswith("taxonomy: 21 nodes with one child") for note in notes)
    assert tree.inner + 1 == len(rows) - 1000 - 21
    assert min(Counter(tree.parents).values()) >= 2
    up = {r["node"]: r["parent"] for r in rows}
    for c in range(0, 1000, 37):
        way, node = [], leaves[c]
        while up.get(node):
            way.insert(0, node)
            node = up[node]
        kept = [n for n in way if n not in single]
        assert [tree.names[n] for n in tree.path(c)] == kept


@cache
def inaturalist() -> tuple[Path, Taxonomy]:
    file = shared("lists/iNaturalist18/inat18_taxonomy.tsv.xz")
    return file, read_taxonomy(file, [str(i) for i in range(8142)])[0]


def test_the_inaturalist_tree() -> None:
    """8,142 species by id, homonyms in two branches apart."""
    file, tree = inaturalist()
    assert tree.num_classes == 8142
    assert min(Counter(tree.parents).values()) >= 2
    assert len(set(tree.names)) == len(tree.names)
    assert max(len(tree.path(c)) for c in range(8142)) <= 7
    with lzma.open(file, "rt", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t"))
    for row in rows[::500]:
        way = [tree.names[n].split(" (")[0] for n in tree.path(int(row["id"]))[:-1]]
        ranks = [row[k] for k in ("kingdom", "phylum", "class", "order", "family", "genus")]
        assert all(name in ranks for name in way), (way, ranks)


def test_the_inaturalist_tree_in_a_head() -> None:
    """Nothing larger than the weights or the scores of the nodes is made: no codeword matrix."""
    _, tree = inaturalist()
    head = TaxonomicHead(64, 8142, threshold=0.5)
    head.plant(tree)
    sizes: list[int] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            sizes.append(out.numel() if isinstance(out, torch.Tensor) else 0)
            return out

    features = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))
    target = torch.arange(32) * 250
    with Watch(), torch.no_grad():
        scores = head.node_scores(features)
        log_p, sums = head.log_probabilities(scores), head.sums(scores)
        keep = torch.arange(tree.inner)[:, None] % 7 != torch.arange(32) % 7
        cut = sampled_cut(keep, head.parent, head.levels, 8142)
        loss = node_consistency(log_p, target, head.path, head.depth)
        loss = loss + sampled_tree_loss(sums, cut, target, head.path)
        head.measures(features, sums[:8142].argmax(0), target)
    assert torch.isfinite(loss).all()
    assert max(sizes) <= 64 * (8142 + tree.inner)
    below = log_p.exp().new_zeros((tree.inner + 1, 32)).index_add_(0, head.parent, log_p.exp())
    assert torch.allclose(below, torch.ones(()), atol=1e-4)
