"""A generated cohort in the layout of ADNI's tables, for tests and for measuring methods.

No patient is behind it: every value is drawn. Each generated patient has a severity s ~ N(0, 1).

- The class is a noisy reading of it: CN, MCI or Dementia by two thresholds on s + n ε, where n is
  `label_noise`, as two clinicians differ: even who knows s cannot tell everybody's class.
- Each modality m shows its own view of it, v = (r s + ε) / √(1 + r²), where r is its `signal`:
  columns and voxels are readings of v, never of s, so that r alone says how strong a modality is.
  As set, biospecimen is strong, image medium, genetic and clinical weak: who knows v exactly has
  the class right in 76, 62 and 51 % (of a million draws; 82 % from s, 42 % from nothing). Most
  columns are noise, and the others have some of their own.
- A modality is missing at the rate `missing`, not at random: phase and site of enrolment lack
  several together, and the more severe lack CSF and image more often (0.3 s on the logit).

What ADNI's tables have and a reader must stand: codes -4 and -1, repeated visits with other
values, rows twice, corrected rows, values at a limit of detection, a table with RID alone,
categories that no training patient has, columns that give the diagnosis away (PTCOGBEG, PTADDX,
PTADBEG, drugs against dementia), patients without a diagnosis or with another one later.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from metakd_training.data.adni_phantom_tables import PHASES, TABLES, Patient, Row

MODALITIES = ("image", "genetic", "clinical", "biospecimen")


@dataclass(frozen=True)
class CohortSettings:
    """What is drawn.

    Attributes:
        signal: of each modality, how much larger severity is in its view than noise.
        missing: the part of the patients who lack a modality.
        label_noise: of the diagnosis, beside a severity of deviation 1.
        shares: of CN and MCI; the others are Dementia.
        lists: the parts of the patients who are held out, and tested on.
        size: of the volumes (slices, rows, columns); 91×109×91 of 2 mm in the published protocol.
        snps: how many; one in five has to do with severity.
    """

    signal: Mapping[str, float] = field(
        default_factory=lambda: dict(zip(MODALITIES, (1.2, 0.6, 0.6, 3.0), strict=True))
    )
    missing: Mapping[str, float] = field(
        default_factory=lambda: dict(zip(MODALITIES, (0.2, 0.3, 0.02, 0.4), strict=True))
    )
    label_noise: float = 0.35
    shares: tuple[float, float] = (0.36, 0.42)
    lists: tuple[float, float] = (0.15, 0.25)
    size: tuple[int, int, int] = (23, 27, 23)
    snps: int = 60


def write_cohort(
    folder: Path, patients: int, seed: int, settings: CohortSettings | None = None
) -> None:
    """Write tables, volumes and ``split.json`` (train, held_out, test) into a folder.

    Args:
        folder: new or empty; the same arguments write the same values.
        patients: in the split; one in twenty more is in the tables alone, with a diagnosis that
            changes, or none.
        seed: another seed is another cohort.
        settings: `CohortSettings` when left out.
    """
    settings = settings or CohortSettings()
    rngs = [np.random.default_rng([seed, part]) for part in range(4)]
    everybody, split = _draw(patients, rngs[0], settings)
    for name, (rows_of, modality) in TABLES.items():
        whose = [p for p in everybody if modality is None or p.has[modality]]
        rows = [row for person in whose for row in rows_of(person, rngs[1])]
        _write_table(folder / f"{name}_22Apr2024.csv", rows)
    _write_snps(folder / "genetic" / "ADNI.raw", everybody, rngs[2], settings.snps)
    _write_images(folder / "image", everybody, rngs[3], settings.size)
    (folder / "split.json").write_text(json.dumps(split, indent=1), "utf-8")


def _draw(
    patients: int, rng: np.random.Generator, settings: CohortSettings
) -> tuple[list[Patient], dict[str, list[str]]]:
    """Everybody, those of the split first, and the split."""
    n = patients + 1 + patients // 20
    severity = rng.normal(size=n)
    reading = NormalDist(0, (1 + settings.label_noise**2) ** 0.5)
    bounds = [reading.inv_cdf(share) for share in np.cumsum(settings.shares)]
    codes = 1 + np.digitize(severity + settings.label_noise * rng.normal(size=n), bounds)
    views = {}
    for name in MODALITIES:
        signal = settings.signal[name]
        views[name] = (signal * severity + rng.normal(size=n)) / (1 + signal**2) ** 0.5
    phases, sites = rng.integers(len(PHASES), size=n), rng.integers(2, 60, size=n)
    lacking = rng.normal(size=len(PHASES))[phases] + rng.normal(size=60)[sites]
    has = {}
    for name in MODALITIES:
        more = lacking + (0.3 * severity if name in ("image", "biospecimen") else 0)
        has[name] = rng.random(n) >= _chances(settings.missing[name], more)
    has["clinical"] |= ~(has["image"] | has["genetic"] | has["biospecimen"])
    held_out, tested = (round(share * patients) for share in settings.lists)
    rids = rng.permutation(np.arange(1, 9 * n))[:n]
    everybody = [
        Patient(
            name=f"{sites[i]:03}_S_{rids[i]:04}",
            rid=int(rids[i]),
            phase=list(PHASES)[phases[i]],
            site=int(sites[i]),
            code=int(codes[i]),
            views={name: float(view[i]) for name, view in views.items()},
            has={name: bool(present[i]) for name, present in has.items()},
            tested=held_out <= i < held_out + tested,
            listed=i < patients,
        )
        for i in range(n)
    ]
    names = [person.name for person in everybody]
    return everybody, {
        "train": names[held_out + tested : patients],
        "held_out": names[:held_out],
        "test": names[held_out : held_out + tested],
    }


def _chances(rate: float, more: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chances with logits `more`, shifted so that their mean is the rate."""
    low, high = -30.0, 30.0
    for _ in range(60):
        shift = (low + high) / 2
        chances = 1 / (1 + np.exp(-(shift + more)))
        low, high = (shift, high) if chances.mean() < rate else (low, shift)
    return chances


def _write_table(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = dict.fromkeys(name for row in rows for name in row)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(names), quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)


def _write_snps(path: Path, everybody: list[Patient], rng: np.random.Generator, count: int) -> None:
    """As ``plink --recode A`` writes it: how many of the counted allele, 0 to 2, or NA."""
    common = rng.uniform(0.1, 0.5, size=count)
    slopes = np.where(np.arange(count) % 5 == 0, rng.choice([-1.0, 1.0], size=count), 0)
    names = [f"rs{1000 + 37 * i}_{'ACGT'[i % 4]}" for i in range(count)]
    lines = [" ".join(["FID", "IID", "PAT", "MAT", "SEX", "PHENOTYPE", *names])]
    for person in everybody:
        logits = np.log(common / (1 - common)) + slopes * person.views["genetic"]
        alleles = rng.binomial(2, 1 / (1 + np.exp(-logits)))
        texts = np.where(rng.random(count) < 0.02, "NA", alleles.astype(str))
        if person.has["genetic"]:
            lines.append(" ".join([str(person.rid), person.name, "0", "0", "1", "-9", *texts]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _write_images(
    folder: Path, everybody: list[Patient], rng: np.random.Generator, size: tuple[int, int, int]
) -> None:
    """Grey matter that is thinner in two places the more severe the patient is, and by chance."""
    axes = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    z, y, x = axes

    def blob(at: tuple[float, float, float], width: float) -> NDArray[np.float64]:
        away = sum((axis - place) ** 2 for axis, place in zip(axes, at, strict=True))
        return np.asarray(np.exp(-away / (2 * width**2)))

    brain = 1000.0 * (z**2 / 0.8 + y**2 / 0.9 + x**2 / 0.8 < 0.9)
    told = blob((-0.3, -0.1, 0.35), 0.18) + blob((-0.3, -0.1, -0.35), 0.18)
    others = [blob(at, 0.3) for at in ((0.4, 0.4, 0.0), (0.2, -0.5, 0.3), (-0.1, 0.3, -0.4))]
    folder.mkdir(parents=True, exist_ok=True)
    for person in everybody:
        by_chance = sum(0.15 * rng.normal() * other for other in others)
        thinner = 0.2 * person.views["image"] * told + by_chance
        noise = 40 * rng.normal(size=size) * (brain > 0)
        volume = brain * (1 + 0.05 * rng.normal()) * (1 - thinner) + noise
        if person.has["image"]:
            image = sitk.GetImageFromArray(volume.clip(0, 32000).astype(np.int16))
            image.SetSpacing([182 / side for side in size[::-1]])
            date = f"{PHASES[person.phase]}-03-11"
            sitk.WriteImage(image, str(folder / f"{person.name}_{date}.nii"))
