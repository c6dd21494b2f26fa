"""Texts and tables to tensors."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch

from longtail.data import Encoder, load
from longtail.data.tables import encode_table, fit_columns, from_array, from_strings
from longtail.data.text import BUCKETS, choose_length, encode_texts, tokens
from longtail.errors import DataError
from longtail.models.inputs import InputSpec


def test_tokens():
    assert tokens("Don't PANIC, it's 42!") == ["don't", "panic", "it's", "42", "!"]
    assert tokens("日本 x_y\n\t") == ["日", "本", "x_y"]
    assert tokens("") == []


def test_ids_are_the_same_everywhere():
    rows = encode_texts(["Big dog", ""], max_tokens=5)
    expected = [1 + zlib.crc32(t) % (BUCKETS - 1) for t in (b"big", b"dog", b"big dog")]
    assert rows.dtype == torch.int32
    assert rows.tolist() == [[*expected, 0, 0], [0] * 5]
    assert expected == [46662, 47786, 37920]
    assert int(encode_texts([f"w{i}" for i in range(3000)], max_tokens=1).min()) >= 1
    with pytest.raises(DataError, match="text 1"):
        encode_texts(["a", 3], max_tokens=2)


def test_length_follows_the_training_texts():
    assert choose_length(["a"] * 10) == 8
    assert choose_length([" ".join(["a"] * 30)] * 10) == 59
    assert choose_length([" ".join(["a"] * 900)] * 10) == 512
    rare = ["a b c"] * 9999 + [" ".join(["a"] * 400)]
    assert choose_length(rare) == 8


def test_columns_by_their_values():
    table = from_strings(
        {
            "number": ["1", "2.5", "-3e2"],
            "truth": ["true", "False", "true"],
            "word": ["b", "a", "b"],
            "mixed": ["1", "a", ""],
        },
        3,
    )
    columns = fit_columns(table, [])
    assert columns == (
        ("number", "numeric", ()),
        ("truth", "numeric", ()),
        ("word", "category", ("a", "b")),
        ("mixed", "category", ("", "1", "a")),
    )
    rows = encode_table(table, columns)
    assert rows.tolist() == [[1, 1, 2, 2], [2.5, 0, 1, 3], [-300, 1, 2, 1]]
    new = from_strings({"number": ["1"], "truth": ["no"], "word": ["c"], "mixed": ["1"]}, 1)
    assert encode_table(new, columns).tolist() == [[1, 0, 0, 2]]


def test_many_words_are_capped_and_said():
    notes: list[str] = []
    values = [f"w{i}" for i in range(300)] + ["often"] * 9
    columns = fit_columns(from_strings({"id": values}, len(values)), notes)
    assert len(columns[0][2]) == 256
    assert "often" in columns[0][2]
    assert "'id'" in notes[0]


def test_bad_tables_name_their_column():
    table = from_array(np.asarray([[1.0, np.inf], [2.0, 1.0]]))
    with pytest.raises(DataError, match="'x1' has 1 infinite"):
        encode_table(table, fit_columns(table, []))
    with pytest.raises(DataError, match="beyond float32"):
        encode_table(from_array(np.full((1, 1), 1e300)), (("x0", "numeric", ()),))
    fitted = (("height", "numeric", ()),)
    with pytest.raises(DataError, match="did you mean 'Height'"):
        encode_table(from_strings({"Height": ["1"]}, 1), fitted)
    with pytest.raises(DataError, match="row 1 holds 'tall'"):
        encode_table(from_strings({"height": ["1", "tall"]}, 2), fitted)
    with pytest.raises(DataError, match=r"\(N, F\)"):
        from_array(np.zeros(3))


def test_encoder_repeats_what_training_did():
    rng = np.random.RandomState(0)
    words = np.asarray(["red", "blue"])[rng.randint(0, 2, 50)]
    x = np.column_stack([rng.normal(size=50).astype(object), words])
    y = rng.randint(0, 2, 50)
    found = load((x, y, x, y))
    encode = Encoder(InputSpec.from_data(found.input_spec.to_data()))
    assert torch.equal(encode(x), found.test.store.data)
    assert torch.equal(encode({"x1": list(x[:, 1]), "x0": list(x[:, 0])}), found.test.store.data)
    assert encode(np.asarray([[0.5, "green"]], dtype=object)).tolist() == [[0.5, 0]]
    with pytest.raises(DataError, match="expects 2"):
        encode(np.zeros((3, 5)))
    texts = [f"word{i} and word{i % 3}" for i in range(40)]
    found = load((texts, [i % 2 for i in range(40)], texts, [i % 2 for i in range(40)]))
    encode = Encoder(found.input_spec)
    assert torch.equal(encode(texts), found.test.store.data)
    assert torch.equal(encode(texts[0]), found.test.store.data[:1])
    assert torch.equal(encode(np.asarray(texts)), found.test.store.data)


def test_constant_columns_and_pixels_keep_a_deviation_of_one():
    found = load((np.ones((20, 2)), [0, 1] * 10))
    assert found.input_spec.std == (1.0, 1.0)
    black = np.zeros((20, 4, 4), dtype=np.uint8)
    assert load((black, [0, 1] * 10)).input_spec.std == (1.0,)
