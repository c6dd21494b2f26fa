"""First layers and their description."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from longtail.errors import ConfigError, DataError, UnknownNameError
from longtail.models import InputSpec, Normalise, TableEncoder, build_normalise

TABLE = InputSpec(
    "table",
    (3,),
    mean=(2.0, 0.0, -1.0),
    std=(4.0, 1.0, 0.0),
    columns=(("age", "numeric", ()), ("colour", "category", ("blue", "red")), ("x", "numeric", ())),
)


def test_spec_goes_through_json() -> None:
    image = InputSpec("image", (3, 8, 8), (0.1, 0.2, 0.3), (1, 1, 1))
    text = InputSpec("text", (6,), buckets=100, ngrams=2, max_tokens=6)
    for spec in (image, TABLE, text):
        assert InputSpec.from_data(json.loads(json.dumps(spec.to_data()))) == spec
        assert hash(spec) == hash(InputSpec.from_data(spec.to_data()))


def test_spec_refuses_what_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'image'"):
        InputSpec("images", (1, 2, 3))
    with pytest.raises(ConfigError, match="shape"):
        InputSpec("image", (28, 28))
    with pytest.raises(UnknownNameError, match="kind of column"):
        InputSpec("table", (1,), columns=(("a", "number", ()),))


def test_table_is_standardised_and_one_hot() -> None:
    assert TABLE.encoded_shape == (5,)
    layer = TableEncoder(TABLE)
    out = layer(torch.tensor([[6.0, 0, 4], [2, 1, -1], [0, 2, 0]]))
    wanted = [[1, 1, 0, 0, 5], [0, 0, 1, 0, 0], [-0.5, 0, 0, 1, 1]]
    np.testing.assert_allclose(out.numpy(), wanted)
    again = TableEncoder(TABLE)
    again.load_state_dict(layer.state_dict())


def test_table_of_numbers_only() -> None:
    x = torch.randn(50, 4)
    spec = InputSpec(
        "table", (4,), tuple(x.mean(0).tolist()), tuple(x.std(0, correction=0).tolist())
    )
    out = build_normalise(spec)(x).numpy()
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(0), 1, atol=1e-5)
    with pytest.raises(ConfigError, match="1 means"):
        build_normalise(InputSpec("table", (4,), (0.0,), (1.0, 1, 1, 1)))


def test_images_are_standardised_and_integers_refused() -> None:
    layer = build_normalise(InputSpec("image", (3, 2, 2), (0.5, 0.4, 0.3), (0.5, 0.2, 0)))
    assert isinstance(layer, Normalise)
    x = torch.rand(2, 3, 2, 2)
    wanted = (x.numpy() - np.array([0.5, 0.4, 0.3])[:, None, None]) / np.array([0.5, 0.2, 1])[
        :, None, None
    ]
    np.testing.assert_allclose(layer(x).numpy(), wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match="uint8"):
        layer((x * 255).to(torch.uint8))
