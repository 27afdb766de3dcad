"""Audio-vision MNIST: spoken digits, each paired with a picture of the same digit.

The protocol is SMIL's, which ShaSpec and MetaKD follow: 1,500 sounds of the Free Spoken Digit
Dataset, of which those with an index below 15 are for the test, and as many pictures of MNIST; of
the training pairs only a share has the rare modality. Which pairs there are follows from
`AVMNIST.pairing`; what is absent and who is held out from the run's seed, by hashes, so that
neither the folder's order nor a library's version plays a part.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import librosa
import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as as_bytes
from torch import Tensor
from tqdm import tqdm

from metakd_training.config.classification import AVMNIST, Image, Spectrogram
from metakd_training.data import media
from metakd_training.data.media import image_input, read_idx, read_sound
from metakd_training.data.samples import Samples, standardised

_SPEAKERS = ("jackson", "nicolas", "theo")  # as published; the dataset has grown since
_TEST_BELOW = 15
_DIGITS = tuple(map(str, range(10)))
_NAME = re.compile(r"(?P<digit>[0-9])_(?P<speaker>[^_]+)_(?P<index>[0-9]+)")
_MNIST = ("t10k", "train")

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Recording:
    """A sound's file, and what its name says."""

    digit: int
    speaker: str
    index: int
    path: Path

    def __str__(self) -> str:
        return self.path.stem


def load_avmnist(
    data: AVMNIST, modalities: Mapping[str, Image | Spectrogram], seed: int
) -> Samples:
    """Pairs of a sound and a picture, in the lists train, held_out and test.

    Those of the test have both. Only what is among the modalities is read; a pair that lacks all
    of them is in no list. Sounds are standardised over the list train.

    Args:
        data: recordings of other speakers than the three published are passed over.
        modalities: ``image``, ``sound`` or both.
        seed: of the run; tells which training pairs have the rare modality and are held out.
            With a larger share the same ones have it and others; with a single modality the
            lists are the same but for those who lack it.

    Raises `ValueError` naming the file or folder that is missing, damaged or does not fit.
    """
    folder = Path(data.folder)
    recordings = _recordings(folder / "fsdd")
    lists, rare = _lists(recordings, data, seed)
    having = {
        name: torch.tensor([name != data.rare or r in rare for r in recordings])
        for name in modalities
    }
    present = torch.stack(list(having.values()), dim=1)
    places = {
        key: [i for i, r in enumerate(recordings) if r in members and present[i].any()]
        for key, members in lists.items()
    }
    inputs = {}
    for name, settings in modalities.items():
        if isinstance(settings, Image):
            values = _images(folder, recordings, settings, data.pairing)
        else:
            values = _sounds(recordings, settings, Path(data.cache))
            train = torch.zeros(len(recordings), dtype=torch.bool)
            train[places["train"]] = True
            values = standardised(values, train & having[name])
        inputs[name] = values.masked_fill(~having[name][:, None, None, None], 0)
    samples = Samples(
        names=tuple(map(str, recordings)),
        inputs=inputs,
        present=present,
        labels=torch.tensor([r.digit for r in recordings]),
        classes=_DIGITS,
        lists={key: members for key, members in places.items() if members},
    )
    samples.check(str(folder))
    return samples


def _recordings(folder: Path) -> list[_Recording]:
    """The recordings of the published speakers, in order of their files' names."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; put the wav files of the Free Spoken Digit "
                         "Dataset there")  # fmt: skip
    found: dict[str, _Recording] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() != ".wav" or path.name.startswith("."):
            continue
        name = _NAME.fullmatch(path.stem)
        if not name:
            raise ValueError(
                f"{path}: is not named digit_speaker_index.wav, such as 3_theo_27.wav; rename it, "
                "or move it elsewhere"
            )
        if path.stem in found:
            raise ValueError(f"{path}: {found[path.stem].path.name} has the same name; keep one")
        if name["speaker"] in _SPEAKERS:
            found[path.stem] = _Recording(
                int(name["digit"]), name["speaker"], int(name["index"]), path
            )
    if not found:
        raise ValueError(f"{folder}: has no wav file of {', '.join(_SPEAKERS)}; put the Free "
                         "Spoken Digit Dataset's there")  # fmt: skip
    return list(found.values())


def _lists(
    recordings: Iterable[_Recording], data: AVMNIST, seed: int
) -> tuple[dict[str, set[_Recording]], set[_Recording]]:
    """The lists of the split, and who has the rare modality."""
    test = {r for r in recordings if r.index < _TEST_BELOW}
    pairs = [r for r in recordings if r not in test]
    rare = set(_spread(pairs, "rare", seed)[: round(data.share * len(pairs))])
    held_out = _held_out(pairs, rare, data.held_out, seed)
    train = set(pairs) - held_out
    return {"train": train, "held_out": held_out, "test": test}, rare | test


def _held_out(
    pairs: Iterable[_Recording], rare: set[_Recording], fraction: float, seed: int
) -> set[_Recording]:
    """A fraction of those with the rare modality and of those without; some of every digit.

    Of two or more with the rare modality one at least is held out, and one at least is not.
    """
    having = _spread((r for r in pairs if r in rare), "held out", seed)
    lacking = _spread((r for r in pairs if r not in rare), "held out", seed)
    count = min(max(round(fraction * len(having)), 1), max(len(having) - 1, 0))
    held_out = {*having[:count], *lacking[: round(fraction * len(lacking))]}
    digits = {r.digit for r in held_out}
    for recording in (*lacking, *having):
        if recording.digit not in digits:
            held_out.add(recording)
            digits.add(recording.digit)
    return held_out


def _spread(recordings: Iterable[_Recording], *key: int | str) -> list[_Recording]:
    """In an order drawn by the key, such that any beginning has the same share of each digit."""
    drawn = _drawn(recordings, *key)
    counts, earlier = Counter(r.digit for r in drawn), Counter[int]()
    places = {}
    for recording in drawn:
        places[recording] = (earlier[recording.digit] + 0.5) / counts[recording.digit]
        earlier[recording.digit] += 1
    return sorted(drawn, key=places.__getitem__)  # of equal places, as drawn


def _drawn(items: Iterable[_Item], *key: int | str) -> list[_Item]:
    """In an order that follows from the key and the items' text alone."""
    return sorted(items, key=lambda item: hashlib.sha256(repr((*key, str(item))).encode()).digest())


def _images(
    folder: Path, recordings: Sequence[_Recording], settings: Image, pairing: int
) -> Tensor:
    """(n, 1, H, W): for each recording a picture of its digit, none twice."""
    pictures, labels = _read_mnist(folder)
    places = defaultdict(list)
    for place, label in enumerate(labels):
        places[label].append(place)
    drawn = {}
    for digit, count in Counter(r.digit for r in recordings).items():
        if len(places[digit]) < count:
            raise ValueError(
                f"{folder}: has {len(places[digit])} pictures of the digit {digit} for {count} "
                "sounds; add MNIST's other IDX files"
            )
        drawn[digit] = iter(_drawn(places[digit], "picture", pairing))
    return torch.stack([image_input(pictures[next(drawn[r.digit])], settings) for r in recordings])


def _read_mnist(folder: Path) -> tuple[list[npt.NDArray[np.uint8]], list[int]]:
    """Pictures and labels of all pairs of IDX files in the folder."""
    pictures, labels = [], []
    for part in _MNIST:
        names = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        files = [_plain_or_packed(folder / name) for name in names]
        if any(file.exists() for file in files):
            read = [read_idx(file) for file in files]
            _refuse_misfits(files, read)
            pictures += list(read[0])
            labels += read[1].tolist()
    if not pictures:
        raise ValueError(f"{folder}: has no pictures; put MNIST's t10k-images-idx3-ubyte.gz and "
                         "t10k-labels-idx1-ubyte.gz there")  # fmt: skip
    return pictures, labels


def _plain_or_packed(path: Path) -> Path:
    return path if path.exists() else path.with_name(f"{path.name}.gz")


def _refuse_misfits(files: Sequence[Path], read: Sequence[npt.NDArray[np.uint8]]) -> None:
    for file, array, dimensions in zip(files, read, (3, 1), strict=True):
        if array.ndim != dimensions:
            raise ValueError(f"{file}: has {array.ndim} dimensions, expected {dimensions}; "
                             "download it again")  # fmt: skip
    pictures, labels = read
    if len(pictures) != len(labels):
        raise ValueError(f"{files[0]}: has {len(pictures)} pictures, but {files[1].name} "
                         f"{len(labels)} labels; download both again")  # fmt: skip
    strange = labels[labels > 9]
    if len(strange):
        raise ValueError(f"{files[1]}: has the label {strange[0]}, expected 0 to 9")


def _sounds(recordings: Sequence[_Recording], settings: Spectrogram, cache: Path) -> Tensor:
    """(n, 1, coefficients, frames), from the cache where they are."""
    path = cache / f"sounds_{_key(recordings, settings)}.safetensors"
    sounds = _from_cache(path)
    if sounds is None:
        progress = tqdm(recordings, desc="sounds", unit="", leave=False, disable=None)
        sounds = torch.stack([read_sound(r.path, settings) for r in progress])
        _to_cache(path, sounds)
    return sounds


def _key(recordings: Iterable[_Recording], settings: Spectrogram) -> str:
    """Another content, setting, library or code that reads: another file of the cache."""
    digest = hashlib.sha256(inspect.getsource(media).encode())
    read_with = (settings.rate, settings.keep_every, settings.coefficients, settings.frames)
    digest.update(repr((librosa.__version__, read_with)).encode())
    for recording in recordings:
        digest.update(hashlib.sha256(recording.path.read_bytes()).digest())
    return digest.hexdigest()


def _from_cache(path: Path) -> Tensor | None:
    """What `_to_cache` wrote; nothing for a file that is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            sounds, print_ = file.get_tensor("sounds"), file.metadata()["sha256"]
    except (OSError, SafetensorError, KeyError, TypeError):
        return None
    return sounds if _print(sounds) == print_ else None


def _to_cache(path: Path, sounds: Tensor) -> None:
    content = as_bytes({"sounds": sounds}, {"sha256": _print(sounds)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        part.write_bytes(content)
        part.replace(path)  # at once, so that no other run reads a part


def _print(sounds: Tensor) -> str:
    return hashlib.sha256(as_bytes({"sounds": sounds})).hexdigest()
