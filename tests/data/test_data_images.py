"""Images from folders: the same samples resident and streamed, and every kind of bad file."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.data import Encoder, FileStore, ResidentStore, load
from longtail.data.images import pixels, read_batch
from longtail.errors import DataError


def test_class_folders(image_folder):
    found = load(image_folder)
    assert found.class_names == ("10", "2", "<script>")
    assert found.modality == "image"
    assert found.input_spec.shape == (3, 12, 10)
    assert found.counts.tolist() == [10, 5, 1]
    assert found.test.counts(3).tolist() == [2, 1, 0]
    assert found.not_evaluable == ("<script>",)
    assert any("<script>" in n for n in found.notes)
    assert "10/0.png" in [*found.train.ids, *found.test.ids]


def test_numbered_folders_are_ordered_by_number(tmp_path, noise):
    for c in range(12):
        (tmp_path / str(c)).mkdir()
        for i in range(2):
            noise(c * 2 + i).save(tmp_path / str(c) / f"{i}.png")
    assert load(tmp_path).class_names == tuple(str(c) for c in range(12))


def test_split_folders(tmp_path, noise):
    seed = 0
    for split, count in (("train", 4), ("val", 2), ("test", 3), ("unlabeled", 5)):
        for name in ("cat", "dog") if split != "unlabeled" else ("",):
            folder = tmp_path / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                noise(seed).save(folder / f"{i}.jpg")
                seed += 1
    (tmp_path / "test/bird").mkdir()
    noise(99).save(tmp_path / "test/bird/1.jpg")
    found = load(tmp_path)
    assert {k: len(v) for k, v in found.splits.items()} == {
        "train": 8,
        "validation": 4,
        "test": 7,
        "unlabelled": 5,
    }
    assert found.class_names == ("bird", "cat", "dog")
    assert found.counts.tolist() == [0, 4, 4]
    assert any("only in validation or test" in n for n in found.notes)
    assert found.stats().counts.tolist() == [1, 5, 5]
    assert (found.unlabelled.labels == -1).all()


def test_streamed_and_resident_give_the_same_samples(image_folder, untouched_randomness):
    resident = load(image_folder, image_size=8, resident=True)
    streamed = load(image_folder, image_size=8, resident=False)
    assert isinstance(resident.train.store, ResidentStore)
    assert isinstance(streamed.train.store, FileStore)
    assert resident.train.ids == streamed.train.ids
    assert resident.input_spec == streamed.input_spec
    batches = [torch.tensor([3, 1]), torch.tensor([0]), torch.tensor([2, 2, 4])]
    expected = list(resident.train.store.batches(batches))
    for workers in (0, 2):
        got = list(streamed.train.store.batches(batches, workers))
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
    part = streamed.train.take(torch.tensor([2, 0]))
    assert torch.equal(
        part.store.fetch(torch.arange(2)), resident.train.store.fetch(torch.tensor([2, 0]))
    )
    assert any("from their files" in n for n in streamed.notes)
    assert streamed.fingerprint == load(image_folder, image_size=8, resident=False).fingerprint


def test_orientation_mode_and_size(tmp_path):
    rows = np.zeros((16, 8, 3), dtype=np.uint8)
    rows[:8] = 255  # white above black
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to stand upright
    Image.fromarray(rows).save(tmp_path / "turned.png", exif=exif)
    turned = read_batch([str(tmp_path / "turned.png")], (1, 8, 16))[0, 0]
    assert (turned[:, :8] == 0).all()
    assert (turned[:, 8:] == 255).all()
    deep = Image.fromarray(np.full((4, 4), 65535, dtype=np.uint16))
    deep.save(tmp_path / "deep.png")
    assert (read_batch([str(tmp_path / "deep.png")], (3, 4, 4)) == 255).all()
    for mode in ("RGBA", "P", "CMYK", "LA"):
        end = "tif" if mode == "CMYK" else "png"
        Image.fromarray(rows).convert(mode).save(tmp_path / f"{mode}.{end}")
        assert read_batch([str(tmp_path / f"{mode}.{end}")], (3, 6, 6)).shape == (1, 3, 6, 6)


def test_grey_images_have_one_channel(tmp_path, noise):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            noise(i, (20, 30), "L").save(tmp_path / name / f"{i}.png")
    noise(9, (40, 40), "L").save(tmp_path / "a/9.png")
    found = load(tmp_path)
    assert found.input_spec.shape == (1, 16, 16)
    assert load(tmp_path, image_size=(10, 12)).input_spec.shape == (1, 10, 12)


def break_file(folder, kind, noise):
    path = folder / "2" / f"broken.{'jpg' if kind == 'jpeg' else 'png'}"
    if kind in ("png", "jpeg"):
        noise(50, (64, 64)).save(path)
        path.write_bytes(path.read_bytes()[:200])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not an image")
    return path


@pytest.mark.parametrize("kind", ["png", "jpeg", "empty", "text"])
def test_unreadable_images_are_named_or_left_out(image_folder, kind, noise):
    path = break_file(image_folder, kind, noise)
    with pytest.raises(DataError) as caught:
        load(image_folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert path.name in lines[0]
    assert "on_bad" in lines[1]
    found = load(image_folder, on_bad="skip")
    assert found.unreadable == (f"2/{path.name}",)
    assert any(path.name in n for n in found.notes)
    assert len(found.train) + len(found.test) == 19
    streamed = load(image_folder, on_bad="skip", resident=False)
    assert streamed.train.ids == found.train.ids


def test_a_file_that_breaks_while_streaming_is_named_from_workers(image_folder, noise):
    found = load(image_folder, resident=False)
    path = found.train.store.paths[1]
    with open(path, "wb") as file:
        file.write(b"gone")
    for workers in (0, 1):
        with pytest.raises(DataError, match=os.path.basename(path)) as caught:
            list(found.train.store.batches([torch.tensor([0, 1])], workers))
        assert "Traceback" not in str(caught.value)


def test_gigantic_image_is_refused_by_size(image_folder, monkeypatch, noise):
    noise(1, (60, 60)).save(image_folder / "2/huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for limit in (3000, 1000):  # over the limit, and over twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match=r"huge\.png.*too large"):
            load(image_folder)


def test_links_out_of_the_folder_are_said_not_followed(image_folder, tmp_path, noise):
    outside = tmp_path / "elsewhere.png"
    noise(77).save(outside)
    (image_folder / "2/link.png").symlink_to(outside)
    (image_folder / "loop").symlink_to(image_folder, target_is_directory=True)
    (image_folder / "2/inner.png").symlink_to(image_folder / "2/0.png")
    found = load(image_folder)
    ids = {*found.train.ids, *found.test.ids}
    assert "2/inner.png" in ids
    assert "2/link.png" not in ids
    assert any("links were not followed" in n for n in found.notes)


def test_empty_folders(tmp_path, noise):
    with pytest.raises(DataError, match="no class folders"):
        load(tmp_path)
    noise(1).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="only 1 images"):
        load(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="no image"):
        load(tmp_path)
    noise(1).save(tmp_path / "a/1.png")
    with pytest.raises(DataError, match="1 class"):
        load(tmp_path)


def test_arrays_of_images():
    grey = np.random.RandomState(0).randint(0, 256, (4, 5, 6)).astype(np.uint8)
    assert torch.equal(pixels(grey)[:, 0], torch.from_numpy(grey))
    colour = np.random.RandomState(0).randint(0, 256, (4, 5, 6, 3)).astype(np.uint8)
    assert torch.equal(pixels(colour), torch.from_numpy(colour).permute(0, 3, 1, 2))
    assert torch.equal(pixels(torch.from_numpy(colour).permute(0, 3, 1, 2)), pixels(colour))
    assert torch.equal(pixels(grey / 255.0), pixels(grey))
    assert torch.equal(pixels(grey.astype(np.int64)), pixels(grey))
    for bad in (grey * 2.0, np.zeros((2, 5, 6, 4)), np.full((2, 3, 3), np.nan), np.zeros((3, 3))):
        with pytest.raises(DataError):
            pixels(bad)
    found = load((colour.repeat(5, 0), [0, 1, 2, 3] * 5))
    frozen = colour.repeat(5, 0)
    frozen.setflags(write=False)
    assert torch.equal(load((frozen, [0, 1, 2, 3] * 5)).train.store.data, found.train.store.data)


def test_encoder_reads_files_images_and_arrays(image_folder):
    found = load(image_folder, image_size=8)
    encode = Encoder(found.input_spec)
    paths = [image_folder / i for i in found.test.ids]
    expected = found.test.store.data
    assert torch.equal(encode(paths), expected)
    assert torch.equal(encode([Image.open(p) for p in paths]), expected)
    assert torch.equal(encode(expected), expected)
    assert torch.equal(encode(paths[0]), expected[:1])
    assert len(encode.store(paths)) == len(paths)
    with pytest.raises(DataError, match="expects"):
        encode(np.zeros((1, 9, 9, 3), dtype=np.uint8))
    with pytest.raises(DataError, match="not there"):
        encode([image_folder / "nowhere.png"])
