"""Rows of ADNI's tables for generated patients, with ADNI's columns, codes and oddities.

See `metakd_training.data.adni_phantom`. The names of the columns are those of public code that
reads the tables, see ``training/ADNI.md``; the values are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Row = dict[str, object]

PHASES = {"ADNI1": 2006, "ADNIGO": 2010, "ADNI2": 2012, "ADNI3": 2017}
_FLAGS = {  # MEDHIST: how common, and how much more with severity
    "MHPSYCH": (0.3, 0.8), "MH2NEURL": (0.3, 0.8), "MH3HEAD": (0.6, 0), "MH4CARD": (0.6, 0.8),
    "MH5RESP": (0.2, 0), "MH6HEPAT": (0.05, 0), "MH7DERM": (0.3, 0), "MH8MUSCL": (0.6, 0),
    "MH9ENDO": (0.4, 0), "MH10GAST": (0.4, 0), "MH11HEMA": (0.1, 0), "MH12RENA": (0.4, 0.8),
    "MH13ALLE": (0.4, 0), "MH14ALCH": (0.05, 0), "MH16SMOK": (0.4, 0), "MH17MALI": (0.2, 0),
    "MH18SURG": (0.8, 0), "MH19OTHR": (0.4, 0),
}  # fmt: skip
_SIGNS = {  # NEUROEXM, likewise
    "NXVISUAL": (0.08, 0), "NXAUDITO": (0.15, 0), "NXTREMOR": (0.08, 0), "NXCONSCI": (0.02, 0.5),
    "NXNERVE": (0.05, 0), "NXMOTOR": (0.08, 0.6), "NXFINGER": (0.05, 0), "NXHEEL": (0.05, 0),
    "NXSENSOR": (0.15, 0), "NXTENDON": (0.2, 0.6), "NXPLANTA": (0.1, 0.6), "NXGAIT": (0.15, 0.8),
    "NXOTHER": (0.05, 0),
}  # fmt: skip
_DRUGS = (
    "Aspirin", "Lipitor", "Multivitamin", "Fish Oil", "Vitamin D", "Calcium", "Lisinopril",
    "Simvastatin", "Synthroid", "Metoprolol", "Omeprazole", "Zoloft", "Norvasc", "Flomax",
    "Ibuprofen", "Plavix", "Fosamax", "Lexapro", "Metformin", "Coumadin",
)  # fmt: skip


@dataclass(frozen=True)
class Patient:
    """Who rows are of; `code` is the diagnosis 1 to 3, `views` each modality's of the severity."""

    name: str
    rid: int
    phase: str
    site: int
    code: int
    views: Mapping[str, float]
    has: Mapping[str, bool]
    tested: bool
    listed: bool


def _common(person: Patient, visit: str) -> Row:
    """The columns that most tables begin with."""
    month = {"sc": 1, "bl": 2, "m06": 8, "m12": 14}[visit]
    date = f"{PHASES[person.phase] + month // 12}-{month % 12 + 1:02}-11"
    return {
        "PHASE": person.phase, "PTID": person.name, "RID": person.rid, "VISCODE": visit,
        "VISCODE2": visit, "VISDATE": date, "ID": 10 * person.rid + month, "SITEID": person.site,
        "USERDATE": date, "USERDATE2": "", "update_stamp": f"{date} 09:{month:02}:00.0",
    }  # fmt: skip


def _diagnoses(person: Patient, rng: np.random.Generator) -> Iterator[Row]:
    # Of those in no list, every other one has no diagnosis, the others' changes after a year.
    late = person.code if person.listed else person.code % 3 + 1
    nothing = not person.listed and person.rid % 2 == 0
    for visit, code in (("bl", person.code), ("m06", person.code), ("m12", late)):
        row = _common(person, visit) | {"DIAGNOSIS": "-4" if nothing else code}
        yield row | {"DXNORM": int(code == 1), "DXMCI": int(code == 2), "DXAD": int(code == 3)}


def _history(person: Patient, rng: np.random.Generator) -> Iterator[Row]:
    row = _common(person, "sc") | {"MHSOURCE": 1}
    row |= {name: int(flag) for name, flag in _flags(_FLAGS, person, rng).items()}
    for parent, details in (("MH14ALCH", "ABC"), ("MH16SMOK", "ABC")):
        for letter in details:  # such as MH16ASMOK; -4 where the question was not asked
            name = parent[:4] + letter + parent[4:]
            row[name] = int(rng.integers(1, 40)) if row[parent] else -4
    yield row | {"MHCOMMEN": f"comment, of {person.rid}"}


def _examinations(person: Patient, rng: np.random.Generator) -> Iterator[Row]:
    for visit in ("sc", "m12"):
        signs = _flags(_SIGNS, person, rng, later=visit == "m12")
        row: Row = {name: 1 + int(flag) for name, flag in signs.items()}
        if rng.random() < 0.1:
            row["NXTENDON"] = -4
        row |= {"NXOTHSPE": "", "NXGENCOM": f"note {person.rid}", "NXABNORM": 1}
        yield _common(person, visit) | row
        if visit == "sc" and rng.random() < 0.1:
            yield _common(person, visit) | row  # twice the same


def _demography(person: Patient, rng: np.random.Generator) -> Iterator[Row]:
    view, year = person.views["clinical"], PHASES[person.phase]
    born = year - round(73 + 4 * view + 5 * rng.normal())
    home = 8 if person.tested and rng.random() < 0.1 else int(rng.integers(1, 4))
    began = year - int(rng.integers(1, 8))
    row = _common(person, "sc") | {
        "PTSOURCE": 1, "PTGENDER": int(rng.integers(1, 3)), "PTDOB": f"05/{born}",
        "PTDOBYY": born, "PTHAND": 1 + int(rng.random() < 0.1),
        "PTMARRY": int(rng.choice([1, 1, 1, 2, 3, 4])),
        "PTEDUCAT": int(np.clip(round(16 - 2 * view + 1.5 * rng.normal()), 4, 20)),
        "PTWORKHS": -4, "PTWORK": f"job {rng.integers(400)}", "PTNOTRT": int(rng.integers(0, 3)),
        "PTRTYR": "", "PTHOME": home, "PTPLANG": 1 + int(rng.random() < 0.05),
        "PTADBEG": began if person.code == 3 else -4,
        "PTCOGBEG": 9999 if person.code == 1 else began,
        "PTADDX": began + 1 if person.code == 3 else -4,
        "PTETHCAT": 2 - int(rng.random() < 0.05), "PTRACCAT": int(rng.choice([5, 5, 5, 5, 4, 2])),
    }  # fmt: skip
    if rng.random() < 0.1:  # first without an answer, then corrected
        yield row | {"PTEDUCAT": -1}
    yield row


def _drugs(person: Patient, rng: np.random.Generator) -> Iterator[Row]:
    taken = list(rng.choice(_DRUGS, size=rng.poisson(4), p=_popularity(), replace=True))
    if rng.random() < (0, 0.25, 0.8)[person.code - 1]:
        taken.append("Aricept" if rng.random() < 0.7 else "Namenda 10 mg")
    for drug in taken or ["-4"]:
        name = str(drug).upper() if rng.random() < 0.3 else str(drug)
        reason = "Alzheimer's disease" if name.startswith(("A", "N")) else "-4"
        row = {"CMMED": name, "CMDOSE": 10, "CMFREQNC": "QD", "CMREASON": reason, "CMCONT": 1}
        yield _common(person, str(rng.choice(["sc", "bl"]))) | row
    yield _common(person, "m12") | {"CMMED": "Namenda", "CMDOSE": 10, "CMFREQNC": "QD"}


def _vitals(person: Patient, rng: np.random.Generator) -> Iterator[Row]:
    view = person.views["clinical"]
    height, weight = 168 + 9 * rng.normal(), 76 - 8 * view + 10 * rng.normal()
    for visit in ("sc", "bl", "m06", "m12"):
        weight -= 1 + rng.normal()
        row = {
            "VSWEIGHT": round(weight, 1), "VSWTUNIT": 2,
            "VSHEIGHT": round(height, 1) if visit == "sc" else -4,
            "VSHTUNIT": 2 if visit == "sc" else -4,
            "VSBPSYS": round(135 + 14 * view + 10 * rng.normal()),
            "VSBPDIA": round(75 + 9 * rng.normal()),
            "VSPULSE": round(65 + 8 * view + 8 * rng.normal()),
            "VSRESP": round(16 + 2 * rng.normal()),
            "VSTEMP": round(36.5 + 0.4 * rng.normal(), 1), "VSTMPSRC": 1, "VSTMPUNT": 2,
        }  # fmt: skip
        if rng.random() < 0.05:
            row["VSPULSE"] = -1
        yield _common(person, visit) | row


def _genotype(person: Patient, rng: np.random.Generator) -> Iterator[Row]:
    if rng.random() < 0.05:
        return
    risk = 1 / (1 + np.exp(1.2 - 0.8 * person.views["biospecimen"]))
    alleles = [4 if rng.random() < risk else 2 if rng.random() < 0.08 else 3 for _ in range(2)]
    text = "/".join(map(str, sorted(alleles)))
    yield _common(person, "sc") | {"GENOTYPE": text, "APTESTDT": "", "APVOLUME": 10}


def _csf(person: Patient, rng: np.random.Generator) -> Iterator[Row]:
    """As of 2024: with RID alone, no PTID."""
    for visit, later in (("bl", 0.0), ("m12", 0.6)):
        view, noise = person.views["biospecimen"] + later, 0.12 * rng.normal(size=3)

        common = _common(person, visit)
        row = {key: common[key] for key in ("PHASE", "RID", "VISCODE2", "update_stamp")}
        row |= {
            "EXAMDATE": common["VISDATE"], "BATCH": f"UPENNBIOMK{rng.integers(9, 13)}",
            "RUNDATE": common["VISDATE"],
            "ABETA40": f"{15000 * np.exp(0.3 * rng.normal()):.0f}" if rng.random() < 0.4 else "",
            "ABETA42": _limited(900 * np.exp(-0.35 * view + noise[0]), 200, 1700),
            "TAU": _limited(270 * np.exp(0.3 * view + noise[1]), 80, 1300),
            "PTAU": _limited(25 * np.exp(0.4 * view + noise[2]), 8, 120), "COMMENT": "",
        }  # fmt: skip
        yield row
        if rng.random() < 0.05:
            yield row | {"RUNDATE": "2024-03-01", "COMMENT": "again"}


def _flags(
    chances: Mapping[str, tuple[float, float]],
    person: Patient,
    rng: np.random.Generator,
    *,
    later: bool = False,
) -> dict[str, bool]:
    """Which of the findings the patient has; one in five more at a later visit."""
    view = person.views["clinical"]
    found = {}
    for name, (common, slope) in chances.items():
        logit = np.log(common / (1 - common)) + slope * view
        found[name] = bool(
            rng.random() < 1 / (1 + np.exp(-logit)) or (later and rng.random() < 0.2)
        )
    return found


def _popularity() -> NDArray[np.float64]:
    weights = 1 / np.arange(1.0, len(_DRUGS) + 1)
    return np.asarray(weights / weights.sum())


def _limited(value: float, low: float, high: float) -> str:
    """A measurement, or the limit of detection that it is beyond."""
    return f"<{low}" if value < low else f">{high}" if value > high else f"{value:.1f}"


TABLES: dict[str, tuple[Callable[[Patient, np.random.Generator], Iterator[Row]], str | None]] = {
    "diagnosis/DXSUM": (_diagnoses, None),
    "clinical/MEDHIST": (_history, "clinical"),
    "clinical/NEUROEXM": (_examinations, "clinical"),
    "clinical/PTDEMOG": (_demography, "clinical"),
    "clinical/RECCMEDS": (_drugs, "clinical"),
    "clinical/VITALS": (_vitals, "clinical"),
    "biospecimen/APOERES": (_genotype, "biospecimen"),
    "biospecimen/UPENNBIOMK_ROCHE_ELECSYS": (_csf, "biospecimen"),
}
"""Name of a table → its rows of a patient, and the modality that it is of."""
