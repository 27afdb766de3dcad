"""Audio-vision MNIST: who is paired, absent and held out, the cache, and what is refused."""

import gzip
import shutil
import struct
import warnings
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("librosa", reason="needs the packages of metakd-training's extra")

from metakd_training.config.classification import AVMNIST, Image, Spectrogram
from metakd_training.data import avmnist
from metakd_training.data.avmnist import load_avmnist
from metakd_training.data.media import read_idx, read_sound

IMAGE = Image(kind="image")
SOUND = Spectrogram(kind="spectrogram", frames=6)
BOTH = {"image": IMAGE, "sound": SOUND}
INDICES = (0, 14, 15, 20, 30, 49)  # two of each speaker and digit are for the test
PER_DIGIT = 20  # pictures, for 18 sounds


def write_sound(path, seed, rate=8000, count=1200):
    noise = np.random.default_rng(seed).standard_normal(count).cumsum()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((200 * noise).astype("<i2").tobytes())


def write_idx(path, array):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()))


def write_pictures(folder, part="t10k", per_digit=PER_DIGIT, first=0):
    """Pictures whose first two pixels are the label and a number that no other one has."""
    labels = np.arange(10 * per_digit, dtype=np.uint8) % 10
    pictures = np.zeros((len(labels), 28, 28), dtype=np.uint8)
    pictures[:, 0, 0] = labels
    pictures[:, 0, 1] = first + np.arange(len(labels))
    write_idx(folder / f"{part}-images-idx3-ubyte.gz", pictures)
    write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)


def marks(images):
    """Labels and numbers of pictures."""
    pixels = ((images[:, 0, 0, :2] + 1) / 2 * 255).round().int()
    return pixels[:, 0].tolist(), pixels[:, 1].tolist()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with 180 short sounds and 200 pictures; not to be changed."""
    folder = tmp_path_factory.mktemp("avmnist")
    (folder / "fsdd").mkdir()
    for digit in range(10):
        for place, speaker in enumerate(("jackson", "nicolas", "theo")):
            for index in INDICES:
                path = folder / "fsdd" / f"{digit}_{speaker}_{index}.wav"
                write_sound(path, seed=(digit, place, index))
    write_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def mine(small, tmp_path):
    """A copy of the folder to change."""
    return Path(shutil.copytree(small, tmp_path / "mine"))


@pytest.fixture
def load(small, shared_cache):
    """`load(modalities, seed, setting=…)`: samples of the small folder, or of another one."""

    def load(modalities=BOTH, seed=1, **settings):
        settings = {"folder": str(small), "cache": str(shared_cache), **settings}
        return load_avmnist(AVMNIST(source="avmnist", **settings), modalities, seed)

    return load


def named(samples, key):
    return {samples.names[i] for i in samples.lists[key]}


def having(samples, modality):
    """Names of the training pairs, those held out too, that have the modality."""
    column = list(samples.inputs).index(modality)
    places = [*samples.lists["train"], *samples.lists["held_out"]]
    return {samples.names[i] for i in places if samples.present[i, column]}


def same(one, other):
    return (
        one.names == other.names
        and one.lists == other.lists
        and torch.equal(one.present, other.present)
        and all(torch.equal(one.inputs[name], other.inputs[name]) for name in one.inputs)
    )


# Pairs and lists


def test_pairs_are_of_one_digit_and_no_picture_is_used_twice(load):
    samples = load()
    labels, numbers = marks(samples.inputs["image"])
    assert len(samples.names) == 180
    assert samples.classes == tuple("0123456789")
    assert labels == samples.labels.tolist() == [int(name[0]) for name in samples.names]
    assert len(set(numbers)) == 180
    assert {name: tuple(values.shape) for name, values in samples.inputs.items()} == {
        "image": (180, 1, 28, 28),
        "sound": (180, 1, 20, 6),
    }
    assert all(values.dtype == torch.float32 for values in samples.inputs.values())


def test_the_index_tells_who_is_for_the_test(load):
    samples = load(held_out=0.25)
    assert named(samples, "test") == {n for n in samples.names if int(n.split("_")[2]) < 15}
    assert sorted(i for places in samples.lists.values() for i in places) == list(range(180))
    assert [len(samples.lists[key]) for key in ("train", "held_out", "test")] == [90, 30, 60]


def test_pairs_depend_on_the_pairing_alone(load):
    samples = load(share=0.5)
    other = load(seed=2, share=0.2, held_out=0.3)
    assert torch.equal(samples.inputs["image"], other.inputs["image"])
    numbers = marks(samples.inputs["image"])[1]
    repaired = load(share=0.5, pairing=2)
    assert repaired.lists == samples.lists
    others = marks(repaired.inputs["image"])[1]
    assert sum(one == other for one, other in zip(numbers, others, strict=True)) < 30


def test_pictures_are_drawn_from_all_those_of_the_digit(load):
    unused = [set(range(200)) - set(marks(load(pairing=p).inputs["image"])[1]) for p in (1, 2, 3)]
    assert all(len(numbers) == 20 for numbers in unused)
    assert len(set.union(*unused)) > 40


@pytest.mark.parametrize("rare", ["sound", "image"])
@pytest.mark.parametrize(("share", "count"), [(0.05, 6), (0.1, 12), (0.27, 32), (0.999, 120)])
def test_exactly_the_share_has_the_rare_modality_evenly_over_the_digits(load, rare, share, count):
    samples = load(rare=rare, share=share)
    assert len(having(samples, rare)) == count
    per_digit = Counter(name[0] for name in having(samples, rare))
    assert {per_digit[d] for d in "0123456789"} <= {count // 10, -(-count // 10)}
    assert len(having(samples, "image" if rare == "sound" else "sound")) == 120
    assert samples.present[samples.lists["test"]].all()


def test_the_runs_seed_tells_who_has_the_rare_modality_and_who_is_held_out(load):
    one, again, other = load(share=0.2), load(share=0.2), load(seed=2, share=0.2)
    assert same(one, again)
    assert len(having(one, "sound") & having(other, "sound")) < 15
    assert len(named(one, "held_out") & named(other, "held_out")) < 8
    assert named(one, "test") == named(other, "test")


def test_a_larger_share_is_the_same_pairs_and_more(load):
    few, more = (having(load(share=share), "sound") for share in (0.05, 0.2))
    assert few < more


def test_the_draw_is_the_same_on_every_machine(load):
    samples = load(share=0.05)
    assert " ".join(sorted(having(samples, "sound"))) == (
        "1_nicolas_30 2_nicolas_15 4_theo_20 6_jackson_49 7_theo_15 8_jackson_49"
    )
    assert " ".join(sorted(named(samples, "held_out"))) == (
        "0_nicolas_15 0_nicolas_49 1_theo_30 2_theo_15 3_theo_20 4_theo_30 5_jackson_20 "
        "6_jackson_15 7_jackson_30 7_theo_15 8_nicolas_30 9_nicolas_15"
    )
    pictures = marks(samples.inputs["image"])[1]
    assert pictures[:10] == [180, 170, 100, 140, 30, 60, 150, 20, 80, 10]


def test_the_folders_order_does_not_matter(load, monkeypatch):
    samples, listed = load(share=0.2), Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: reversed(list(listed(self))))
    assert same(load(share=0.2), samples)


@pytest.mark.parametrize(("fraction", "size"), [(0.1, 12), (0.25, 30), (0.5, 60)])
@pytest.mark.parametrize(("share", "rare_held"), [(0.1, (1, 3, 6)), (1.0, (12, 30, 60))])
def test_held_out_pairs_are_like_the_others(load, fraction, size, share, rare_held):
    samples = load(share=share, held_out=fraction)
    held_out = named(samples, "held_out")
    assert len(held_out) == size
    per_digit = Counter(name[0] for name in held_out)
    assert all(size // 10 - 1 <= per_digit[d] <= size // 10 + 1 for d in "0123456789")
    assert all(per_digit[d] for d in "0123456789")
    expected = rare_held[(0.1, 0.25, 0.5).index(fraction)]
    assert len(held_out & having(samples, "sound")) == expected


def test_some_of_every_digit_and_of_the_rare_modality_are_held_out(load):
    samples = load(share=0.017, held_out=0.001)  # 2 of the 120 pairs
    assert sorted(name[0] for name in named(samples, "held_out")) == list("0123456789")
    assert len(named(samples, "held_out") & having(samples, "sound")) == 1
    most = load(share=0.017, held_out=0.9)
    assert len(named(most, "held_out") & having(most, "sound")) == 1


def test_a_single_pair_with_the_rare_modality_is_trained_on(load):
    samples = load(share=0.008)
    assert len(having(samples, "sound")) == 1
    assert having(samples, "sound") <= named(samples, "train")


# What a run takes and what is absent


def test_a_run_of_one_modality_has_the_same_lists_but_for_those_who_lack_it(load):
    both = load(share=0.2)
    image, sound = load({"image": IMAGE}, share=0.2), load({"sound": SOUND}, share=0.2)
    assert image.lists == both.lists
    assert (list(image.inputs), image.present.shape) == (["image"], (180, 1))
    assert torch.equal(image.inputs["image"], both.inputs["image"])
    for key in ("train", "held_out"):
        assert named(sound, key) == named(both, key) & having(both, "sound")
    assert named(sound, "test") == named(both, "test")
    assert torch.equal(sound.inputs["sound"], both.inputs["sound"])


def test_modalities_come_in_the_runs_order(load):
    samples = load({"sound": SOUND, "image": IMAGE}, share=0.2)
    assert list(samples.inputs) == ["sound", "image"]
    assert samples.present.sum(dim=0).tolist() == [60 + 24, 180]


def test_a_run_of_images_reads_no_sound_and_one_of_sounds_no_picture(load, mine):
    for path in mine.glob("*.gz"):
        path.write_bytes(b"no picture")
    samples = load({"sound": SOUND}, folder=str(mine))
    assert same(samples, load({"sound": SOUND}))
    write_pictures(mine)
    for path in (mine / "fsdd").iterdir():
        path.write_bytes(b"no sound")
    assert same(load({"image": IMAGE}, folder=str(mine)), load({"image": IMAGE}))


@pytest.mark.parametrize("rare", ["sound", "image"])
def test_what_is_absent_is_0_and_what_is_there_is_not(load, rare):
    samples = load(rare=rare, share=0.2)
    for (_, values), has in zip(samples.inputs.items(), samples.present.T, strict=True):
        assert torch.equal(values.flatten(1).any(dim=1), has)


def test_absent_sounds_play_no_part(load, mine):
    samples = load(share=0.2)
    absent = set(samples.names) - having(samples, "sound") - named(samples, "test")
    for seed, name in enumerate(absent):
        write_sound(mine / "fsdd" / f"{name}.wav", seed)
    assert same(load(share=0.2, folder=str(mine)), samples)


def test_coefficients_are_standardised_over_the_training_pairs_that_have_a_sound(load, small):
    samples = load(share=0.5)
    files = [small / "fsdd" / f"{name}.wav" for name in samples.names]
    raw = torch.stack([read_sound(file, SOUND) for file in files])
    train = torch.tensor(
        [n in named(samples, "train") & having(samples, "sound") for n in samples.names]
    )
    assert 40 < train.sum() < 60
    mean = raw[train].mean(dim=(0, 1, 3))[:, None]
    deviation = raw[train].transpose(2, 3).flatten(0, 2).std(dim=0, correction=0)[:, None]
    has = samples.present[:, 1]
    expected = (raw - mean) / deviation
    assert torch.allclose(samples.inputs["sound"][has], expected[has], atol=1e-4)


def test_a_long_test_sound_has_no_huge_numbers(load, mine):
    for path in (mine / "fsdd").glob("*_theo_0.wav"):
        write_sound(path, 1, count=4000)  # fills frames that no training sound reaches
    sounds = load(folder=str(mine), modalities={"sound": SOUND}).inputs["sound"]
    assert sounds.abs().max() < 20


# The cache


@pytest.fixture
def reads(monkeypatch):
    """Names of the sounds that were read since the list was last emptied."""
    names = []

    def spy(path, settings):
        names.append(path.name)
        return read_sound(path, settings)

    monkeypatch.setattr(avmnist, "read_sound", spy)
    return names


@pytest.fixture
def load_mine(load, mine, tmp_path, reads):
    """As `load`, of theo's sounds in the copy, with a cache of this test's own."""
    for speaker in ("jackson", "nicolas"):
        for path in (mine / "fsdd").glob(f"*_{speaker}_*"):
            path.unlink()

    def load_mine(settings=SOUND):
        reads.clear()
        return load({"sound": settings}, folder=str(mine), cache=str(tmp_path / "my" / "cache"))

    return load_mine


@pytest.fixture
def cached(load_mine, tmp_path, reads):
    """Samples, and the only file of the cache that they are in."""
    samples = load_mine()
    assert len(reads) == 60
    (file,) = (tmp_path / "my" / "cache").iterdir()
    return samples, file


def test_sounds_come_from_the_cache(cached, load_mine, reads):
    assert same(load_mine(), cached[0])
    assert not reads


def test_networks_and_augmentations_share_the_cache(cached, load_mine, reads):
    load_mine(SOUND.model_copy(update={"channels": (3,), "shift": 2}))
    assert not reads


@pytest.mark.parametrize("change", [{"coefficients": 8}, {"frames": 4}, {"keep_every": 3}])
def test_other_settings_are_other_coefficients(cached, load_mine, reads, change):
    samples = load_mine(SOUND.model_copy(update=change))
    assert len(reads) == 60
    shape = (change.get("coefficients", 20), change.get("frames", 6))
    assert samples.inputs["sound"].shape[2:] == shape
    assert same(load_mine(), cached[0])
    assert not reads


def test_a_changed_sound_is_read_again(cached, load_mine, mine, reads):
    write_sound(mine / "fsdd" / "3_theo_20.wav", seed=77)
    samples = load_mine()
    assert len(reads) == 60
    assert not same(samples, cached[0])


def test_another_librosa_or_reading_code_reads_again(cached, load_mine, reads, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(avmnist.librosa, "__version__", "99")
        load_mine()
    assert len(reads) == 60
    monkeypatch.setattr(avmnist.inspect, "getsource", lambda _: "another code")
    load_mine()
    assert len(reads) == 60


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:7],
        lambda content: b"",
        lambda content: b"no cache at all",
        lambda content: content[:-5000] + b"\1" + content[-4999:],
        lambda content: content.replace(b"sha256", b"sha512"),
        lambda content: content.replace(b"sounds", b"sound5"),
    ],
)
def test_a_damaged_cache_is_made_again(cached, load_mine, reads, damage):
    samples, file = cached
    content = file.read_bytes()
    file.write_bytes(damage(content))
    assert file.read_bytes() != content
    assert same(load_mine(), samples)
    assert len(reads) == 60
    assert file.read_bytes() == content
    assert list(file.parent.iterdir()) == [file]


def test_a_cache_that_is_gone_is_made_again(cached, load_mine):
    shutil.rmtree(cached[1].parent)
    assert same(load_mine(), cached[0])
    assert cached[1].is_file()


# Pictures of both of MNIST's parts


def test_both_parts_of_mnist_are_used_together(load, mine):
    write_pictures(mine, "t10k", per_digit=9)
    write_pictures(mine, "train", per_digit=9, first=90)
    labels, numbers = marks(load(folder=str(mine)).inputs["image"])
    assert sorted(numbers) == list(range(180))
    assert labels == load().labels.tolist()


def test_mnists_training_part_alone_will_do_and_so_will_unpacked_files(load, mine):
    expected = load()
    for path in mine.glob("t10k*.gz"):
        unpacked = path.with_name(path.stem.replace("t10k", "train"))
        unpacked.write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert same(load(folder=str(mine)), expected)


# What is refused


def refused(load, problem, folder, **settings):
    with pytest.raises(ValueError, match=problem) as refusal:
        load(folder=str(folder), **settings)
    assert str(refusal.value).startswith(str(folder))
    assert "\n" not in str(refusal.value)


def test_a_missing_folder_is_refused(load, tmp_path, mine):
    refused(load, "fsdd: no such folder", tmp_path / "none")
    shutil.rmtree(mine / "fsdd")
    refused(load, "fsdd: no such folder", mine)


def test_a_folder_without_sounds_is_refused(load, mine):
    for path in (mine / "fsdd").iterdir():
        path.rename(path.with_name(path.name.replace("theo", "george").replace("jackson", "lucas")))
    assert len(load(folder=str(mine)).names) == 60
    for path in (mine / "fsdd").glob("*_nicolas_*"):
        path.unlink()
    refused(load, "fsdd: has no wav file of jackson, nicolas, theo", mine)


@pytest.mark.parametrize("name", ["theo_3_1", "3-theo-1", "12_theo_1", "3_theo", "3_theo_1 copy"])
def test_a_wav_file_of_another_name_is_refused_by_name(load, mine, name):
    write_sound(mine / "fsdd" / f"{name}.wav", 1)
    refused(load, f"{name}.wav: is not named digit_speaker_index", mine)


def test_two_files_of_one_recording_are_refused(load, mine):
    shutil.copy(mine / "fsdd" / "3_theo_20.wav", mine / "fsdd" / "3_theo_20.WAV")
    refused(load, "3_theo_20.wav: 3_theo_20.WAV has the same name", mine)


def test_other_files_beside_the_sounds_are_passed_over(load, mine):
    (mine / "fsdd" / "README.md").write_text("sounds")
    (mine / "fsdd" / "._3_theo_20.wav").write_bytes(b"macOS")
    assert same(load(folder=str(mine)), load())


def test_sounds_that_cannot_be_read_are_refused_by_name(load, mine):
    path = mine / "fsdd" / "7_theo_20.wav"
    content = path.read_bytes()
    path.write_bytes(content[:100])
    refused(load, "7_theo_20.wav: is cut", mine)
    write_sound(path, 1, rate=16000)
    refused(load, "7_theo_20.wav: has a rate of 16000 Hz, expected 8000", mine)


def test_digits_without_enough_pictures_are_refused(load, mine):
    write_pictures(mine, per_digit=17)
    refused(load, "has 17 pictures of the digit 0 for 18 sounds", mine)


def test_a_folder_without_pictures_is_refused(load, mine):
    (mine / "t10k-labels-idx1-ubyte.gz").unlink()
    refused(load, "t10k-labels-idx1-ubyte.gz: no such file", mine)
    (mine / "t10k-images-idx3-ubyte.gz").unlink()
    refused(load, "has no pictures", mine)


@pytest.mark.parametrize(
    ("name", "array", "problem"),
    [
        ("labels-idx1", np.full(200, 10, np.uint8), "labels-idx1-ubyte.gz: has the label 10"),
        ("labels-idx1", np.zeros(199, np.uint8), "has 200 pictures, but .*-labels.* 199 labels"),
        (
            "labels-idx1",
            np.zeros((200, 1), np.uint8),
            "labels.*: has 2 dimensions, expected 1",
        ),
        (
            "images-idx3",
            np.zeros((200, 28), np.uint8),
            "images.*: has 2 dimensions, expected 3",
        ),
    ],
)
def test_idx_files_that_do_not_fit_are_refused_by_name(load, mine, name, array, problem):
    write_idx(mine / f"t10k-{name}-ubyte.gz", array)
    refused(load, problem, mine)


def test_a_damaged_idx_file_is_refused_by_name(load, mine):
    path = mine / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-20])
    refused(load, "t10k-images-idx3-ubyte.gz: cannot be unpacked", mine)


@pytest.mark.parametrize("rare", ["sound", "image"])
def test_a_modality_that_no_training_pair_has_is_refused(load, small, rare):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(load, f"no training sample has {rare}", small, rare=rare, share=0)
    alone = {rare: BOTH[rare]}
    refused(load, "the list train is missing or empty", small, rare=rare, share=0, modalities=alone)


def test_a_digit_that_is_absent_from_the_training_pairs_is_refused(load, mine):
    for path in (mine / "fsdd").glob("7_*"):
        path.unlink()
    refused(load, "no sample of class 7", mine)


def test_sounds_of_some_speakers_without_a_test_will_do(load, mine):
    for path in (mine / "fsdd").iterdir():
        if "theo" in path.name or int(path.stem.split("_")[2]) < 15:
            path.unlink()
    samples = load(folder=str(mine))
    assert (len(samples.names), sorted(samples.lists)) == (80, ["held_out", "train"])


# The real sounds and pictures


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    """`real(seed, setting=…)`: samples of the real data."""
    cache = tmp_path_factory.mktemp("real")
    modalities = {"image": IMAGE, "sound": Spectrogram(kind="spectrogram")}

    def real(seed=1, **settings):
        folder = str(shared_data / "avmnist")
        data = AVMNIST(source="avmnist", folder=folder, cache=str(cache), **settings)
        return load_avmnist(data, modalities, seed)

    return real


def test_the_real_pairs_are_those_of_the_protocol(real, shared_data):
    samples = real(share=0.05)
    sizes = {key: len(places) for key, places in samples.lists.items()}
    assert sizes == {"train": 945, "held_out": 105, "test": 450}
    digits = {key: Counter(samples.labels[i].tolist()) for key, i in samples.lists.items()}
    assert set((digits["train"] + digits["held_out"]).values()) == {105}
    assert set(digits["test"].values()) == {45}
    assert samples.inputs["image"].shape == (1500, 1, 28, 28)
    assert samples.inputs["sound"].shape == (1500, 1, 20, 20)
    assert samples.present[samples.lists["test"]].all()
    pictures = read_idx(shared_data / "avmnist" / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(shared_data / "avmnist" / "t10k-labels-idx1-ubyte.gz")
    label_of = {p.tobytes(): int(label) for p, label in zip(pictures, labels, strict=True)}
    chosen = ((samples.inputs["image"][:, 0] + 1) / 2 * 255).round().to(torch.uint8).numpy()
    assert [label_of[p.tobytes()] for p in chosen] == samples.labels.tolist()
    assert len({p.tobytes() for p in chosen}) == 1500


@pytest.mark.parametrize("rare", ["sound", "image"])
@pytest.mark.parametrize(("share", "count"), [(0.05, 52), (0.1, 105), (0.15, 158), (0.2, 210)])
def test_the_published_shares_of_the_real_pairs(real, rare, share, count):
    samples = real(rare=rare, share=share)
    assert len(having(samples, rare)) == count
    assert len(having(samples, rare) & named(samples, "held_out")) == round(count / 10)
    for values, has in zip(samples.inputs.values(), samples.present.T, strict=True):
        assert torch.equal(values.flatten(1).any(dim=1), has)
        assert values.isfinite().all()
        assert values.abs().max() < 20
