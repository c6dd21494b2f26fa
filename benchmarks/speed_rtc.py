"""A step of the taxonomic classifier at full size, against the plain linear one.

    python benchmarks/speed_rtc.py [--shared ../shared]

Forward and backward of head and losses, 128 rows of 512 features, on the iNaturalist 2018 tree
(8,142 classes) and 256 on the ImageNet tree (1,000 classes); trees that are not in the shared
folder are clustered from random means. ``loops`` is the usual way, one small layer and one
codeword product for each inner node and a loop over rows (one round: it is slow).
"""

from __future__ import annotations

import argparse
import csv
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from longtail.data.taxonomies import read_taxonomy
from longtail.engine.handover_taxonomy import cluster_classes
from longtail.functional import node_consistency, sampled_cut, sampled_tree_loss
from longtail.models import LinearHead, TaxonomicHead, Taxonomy
from timing import cpu_seconds, ratios, save

FEATURES = 512


def tree_of(shared: Path, name: str) -> tuple[Taxonomy, str]:
    """A published tree, or one clustered from random means of the same number of classes."""
    lists = shared / "data" / "lists"
    if name == "inaturalist":
        file, classes = lists / "iNaturalist18" / "inat18_taxonomy.tsv.xz", 8142
        names = [str(i) for i in range(classes)]
    else:
        file, classes = lists / "ImageNet_LT" / "imagenet_tree_edges.tsv.xz", 1000
        names = [str(i) for i in range(classes)]
        if file.is_file():
            with lzma.open(file, "rt", encoding="utf-8") as opened:
                rows = list(csv.DictReader(opened, delimiter="\t"))
            names = [r["node"] for r in rows if r["n_children"] == "0"]
    if file.is_file():
        return read_taxonomy(file, names)[0], "published tree"
    means = np.random.default_rng(0).normal(size=(classes, 16))
    return cluster_classes(means, np.arange(classes), names), "clustered tree"


class Bench:
    """One tree, one batch."""

    def __init__(self, tree: Taxonomy, rows: int) -> None:
        draw = torch.Generator().manual_seed(0)
        self.tree, classes = tree, tree.num_classes
        self.h = torch.randn(rows, FEATURES, generator=draw).requires_grad_()
        self.y = torch.randint(0, classes, (rows,), generator=draw)
        self.keep = torch.rand(tree.inner, rows, generator=draw) >= 0.1
        self.plain, self.head = LinearHead(FEATURES, classes), TaxonomicHead(FEATURES, classes)
        self.head.plant(tree)
        self.children = [
            torch.tensor([n for n, p in enumerate(tree.parents) if p == v])
            for v in range(tree.inner + 1)
        ]

    def linear(self) -> None:
        """Plain classifier and cross-entropy."""
        self._back(F.cross_entropy(self.plain(self.h), self.y), self.plain)

    def taxonomic(self) -> None:
        """Node consistency and sampled trees."""
        head = self.head
        scores = head.node_scores(self.h)
        sums, log_p = head.sums(scores), head.log_probabilities(scores)
        cut = sampled_cut(self.keep, head.parent, head.levels, head.num_classes)
        loss = node_consistency(log_p, self.y, head.path, head.depth)
        loss = loss + sampled_tree_loss(sums, cut, self.y, head.path)
        self._back(loss.mean(), head)

    def loops(self) -> None:
        """The usual way: a product with the codewords of every inner node, a loop over rows."""
        head, classes = self.head, self.tree.num_classes
        weight = torch.cat([head.weight, head.inner])
        out: Tensor = torch.zeros(len(self.h), classes)
        scores = []
        for members in self.children:
            o = F.linear(self.h, weight[members])
            scores.append(o)
            word = (head.path[None] == members[:, None, None]).any(2).float()
            out = out + o @ word
        where = {int(m): (v, i) for v, ms in enumerate(self.children) for i, m in enumerate(ms)}
        losses = []
        for row, label in enumerate(self.y.tolist()):
            for node in self.tree.path(label):
                v, i = where[node]
                losses.append(F.cross_entropy(scores[v][row][None], torch.tensor([i])))
        self._back(torch.stack(losses).mean() + F.cross_entropy(out, self.y), head)

    def _back(self, loss: Tensor, module: torch.nn.Module) -> None:
        self.h.grad = None
        module.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]


def main() -> None:
    """Time both trees and keep the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    shared = parser.parse_args().shared
    rows: list[dict[str, Any]] = []
    for name, size in (("inaturalist", 128), ("imagenet", 256)):
        tree, kind = tree_of(shared, name)
        bench = Bench(tree, size)
        found = ratios({"linear": bench.linear, "taxonomic": bench.taxonomic}, "linear")
        about = {"nodes": len(tree.parents) + 1, "depth": 1 + len(tree.levels()), "tree": kind}
        where = f"{size} x {tree.num_classes}, {FEATURES} features"
        rows.append(
            {"what": f"rtc, forward and backward, {where}", "against": "linear + F.cross_entropy",
             **found["taxonomic"], "goal": "", **about}
        )  # fmt: skip
        if tree.num_classes <= 1000:
            slow = cpu_seconds(bench.loops)
            rows.append(
                {"what": f"loops over nodes and rows, {where}", "against": "rtc",
                 "ratio": slow / found["taxonomic"]["seconds"], "seconds": slow, "goal": ""}
            )  # fmt: skip
    save("rtc", rows, "python benchmarks/speed_rtc.py")


if __name__ == "__main__":
    main()
