"""Swaps of the classifiers that are trained plainly, fixed, causal or generative."""

from __future__ import annotations

IDENTITIES: dict[frozenset[str], str] = {}

AS_CE: dict[str, tuple[str, ...]] = {
    "cosine": ("head=linear",),
    "lws": ("head=linear",),
    "ncm": ("head=linear", "finish=[]"),
    "tde": ("head=linear", "objective=supervised"),
    "etf": ("loss=cross_entropy",),
    "generative_head": ("head=linear", "finish=[]"),
}

PIECES: list[tuple[str, str]] = [
    ("cosine", "scale=8.0"),
    ("cosine", "learnable=true"),
    ("cosine", "squash=true"),
    ("lws", "form=weight"),
    ("ncm", "normalise=none"),
    ("ncm", "normalise=l2"),
    ("ncm", "distance=dot"),
    ("tde", "alpha=0.0"),
    ("tde", "heads=1"),
    ("tde", "gamma=0.0"),
    ("tde", "momentum=0.0"),
    ("tde", "by_rate=true"),
    ("etf", "normalise=false"),
    ("etf", "lengths=counts"),
    ("etf", "lengths=batch"),
    ("etf", "mixup=1.0"),
    ("etf", "network=single"),
    ("generative_head", "rho=0.5"),
    ("generative_head", "covariance=pooled"),
    ("generative_head", "kind=gaussian_proto"),
    ("generative_head", "kind=vmf"),
]
