"""Training patients and phantoms, prepared exactly as the engine prepares a study, and cached."""

from __future__ import annotations

import hashlib
import inspect
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from metakd import (
    cases,
    dicom,
    dicom_frames,
    dicom_series,
    files,
    foreground,
    nifti,
    oriented,
    phantom,
    phantom_anatomy,
    phantom_shapes,
    phantom_tumour,
    preprocess,
    rectangular,
    regions,
    scan,
    study,
    tensors,
)
from metakd.cases import Case
from metakd.contrasts import CONTRASTS
from metakd.phantom import PhantomSettings, make_phantom
from metakd.preprocess import PreparedStudy, prepare
from metakd.regions import REGIONS, region_mask
from metakd.steps import AS_IT_IS
from metakd.study import make_study, read_study
from metakd.tensors import to_tensor
from monai.data import PersistentDataset
from monai.transforms import Transform
from safetensors.torch import save as as_bytes
from torch import Tensor
from tqdm import tqdm

_HEADERS = (".mhd", ".nhdr", ".hdr", ".img")  # their voxels are in other files


@dataclass(frozen=True)
class Patient:
    """One study on the network's grid.

    Attributes:
        images: (4, D, H, W) float16, z-scored, in canonical contrast order; 0 where absent.
        regions: (3, D, H, W) uint8, the nested regions in the order of `REGIONS`.
        present: (4,) booleans, the contrasts that the patient has.
    """

    name: str
    images: Tensor
    regions: Tensor
    present: Tensor


class Patients(Sequence[Patient]):
    """Prepared patients, read from the cache when asked for.

    Args:
        sources: cases, or seeds of phantoms.
        spacing: of the network's grid, mm.
        stride: the box's sides are multiples of it, voxels.
        cache: folder; one file a patient, named by the content of the patient's files, the
            settings and the code that prepares them.
    """

    def __init__(
        self, sources: Iterable[Case | int], *, spacing: float, stride: int, cache: Path
    ) -> None:
        settings = (spacing, stride, _code())
        items = [{"source": s, "name": _name(s), "key": _key(s, settings)} for s in sources]
        self.names = [str(item["name"]) for item in items]
        preparation = _Prepare(spacing, stride)
        self._prepared = _Cache(items, preparation, cache, _cache_name)
        self._prints = _Cache(
            items, _Fingerprint(self._prepared), cache / "fingerprints", _cache_name
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return Patient(name=self.names[index], **self._prepared[index])

    def check(self) -> None:
        """Prepare what is not in the cache yet, and look for patients with identical images.

        Raises `ValueError` with every patient that cannot be read or stands there twice, a line
        each.
        """
        problems, seen = [], defaultdict(list)
        for index in tqdm(range(len(self)), desc="patients", unit="", leave=False, disable=None):
            try:
                seen[bytes(self._prints[index]["print"].tolist())].append(self.names[index])
            except RuntimeError as error:
                problems.append(f"{self.names[index]}: {_cause(error)}")
        for names in seen.values():
            if len(names) > 1:
                problems.append(f"{' and '.join(names)}: have identical images; keep one of them")
        if problems:
            raise ValueError("\n".join(problems))


class _Cache(PersistentDataset):
    """MONAI's cache, which goes on when one of its files was cut."""

    def _cachecheck(self, item_transformed: dict[str, Any]) -> Any:
        try:
            return super()._cachecheck(item_transformed)
        except (RuntimeError, EOFError, ValueError):
            # Files are moved here from the temporary folder; a kill on the way leaves a part.
            file = self.cache_dir / f"{item_transformed['key']}.pt"
            if not file.is_file():
                raise  # it is the patient that cannot be prepared
            file.unlink(missing_ok=True)  # another process may have done so
        return super()._cachecheck(item_transformed)


class _Prepare(Transform):
    """Source → tensors of a `Patient`."""

    def __init__(self, spacing: float, stride: int) -> None:
        self.spacing, self.stride = spacing, stride

    def __call__(self, item: dict[str, Any]) -> dict[str, Tensor]:
        source = item["source"]
        if isinstance(source, int):
            made = make_phantom(
                source,
                # One in eight is healthy, so that the network learns to find nothing.
                PhantomSettings(spacing=self.spacing, tumour=source % 8 != 0),
            )
            scans, truth = make_study(made.images), made.labels
        else:
            scans, truth = read_study(source.images), source.read_segmentation()
        prepared = prepare(scans, spacing=self.spacing, stride=self.stride, steps=AS_IT_IS)
        return _tensors(prepared, truth)


def _tensors(prepared: PreparedStudy, segmentation: sitk.Image) -> dict[str, Tensor]:
    labels = sitk.GetArrayFromImage(
        sitk.Resample(segmentation, prepared.grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    )
    nothing = np.zeros(prepared.shape, dtype=np.float32)
    channels = [prepared.channels.get(contrast, nothing) for contrast in CONTRASTS]
    masks = np.stack([region_mask(labels, region) for region in REGIONS])
    return {
        "images": torch.stack([to_tensor(channel).half() for channel in channels]),
        "regions": to_tensor(masks.astype(np.float32)).to(torch.uint8),
        "present": torch.tensor([contrast in prepared.channels for contrast in CONTRASTS]),
    }


class _Fingerprint(Transform):
    """Source → a digest of its prepared images: the same for recompressed or renamed copies."""

    def __init__(self, prepared: _Cache) -> None:
        self.prepared = prepared

    def __call__(self, item: dict[str, Any]) -> dict[str, Tensor]:
        images = self.prepared._cachecheck(item)["images"]
        digest = hashlib.sha256(as_bytes({"images": images})).digest()
        return {"print": torch.tensor(list(digest), dtype=torch.uint8)}


def _name(source: Case | int) -> str:
    return f"phantom {source}" if isinstance(source, int) else source.name


def _cache_name(item: dict[str, Any]) -> bytes:
    return bytes(item["key"].encode())


def _key(source: Case | int, settings: tuple[object, ...]) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    if isinstance(source, int):
        digest.update(f"phantom {source}".encode())
        return digest.hexdigest()
    # Names by their contrast, content by its bytes: a file that changes is another patient.
    digest.update(repr([(c.value, p.name) for c, p in source.images.items()]).encode())
    truth = source.segmentation
    # The truth's folder and name may tell its convention, see `metakd.cases.Case`.
    digest.update(repr((source.labels, truth and truth.parts[-2:])).encode())
    for path in dict.fromkeys([*source.images.values(), *([truth] if truth else [])]):
        for file in _files_of(path):
            digest.update(_digest_of(file))
    return digest.hexdigest()


def _files_of(path: Path) -> list[Path]:
    """The files that hold an image: all of a DICOM folder, or of that of a header without voxels.

    None for a missing file, which is reported when it is to be prepared.
    """
    folder = path.parent if path.suffix.lower() in _HEADERS else path
    if folder.is_dir():
        return sorted(file for file in folder.iterdir() if file.is_file())
    return [path] if path.is_file() else []


def _digest_of(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def _cause(error: BaseException) -> BaseException:
    """What lies beneath "applying transform …", which MONAI says for each transform."""
    while str(error).startswith("applying transform") and error.__cause__:
        error = error.__cause__
    return error


def _code() -> str:
    """The code that prepares a study: another version of it, another cache."""
    modules = (cases, dicom, dicom_frames, dicom_series, files, foreground, nifti, oriented,
               phantom, phantom_anatomy, phantom_shapes, phantom_tumour, preprocess, rectangular,
               regions, scan, study, tensors)  # fmt: skip
    sources = "".join(inspect.getsource(part) for part in (*modules, _Prepare, _tensors))
    return hashlib.sha256(sources.encode()).hexdigest()
