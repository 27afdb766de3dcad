"""A report of the engine as what the panel shows: volumes, trust in words and colour, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from metakd.contrasts import CONTRASTS
from metakd.regions import LABELS, REGION_OF_LABEL, REGIONS, Label, Region

from MetaKDSegmentationLib.preparation import brain_text, registration_texts

_CAUTION, _NOTE = "#b06000", "#5a6b7b"
_RELIABILITY_COLOURS = {
    "reliable": "#1b7f3b",
    "use with care": _CAUTION,
    "not reliable": "#b3261e",
}
_BAR_WIDTH = 120  # pixels, of the largest weight


def results_html(report: Mapping[str, Any], remarks: Sequence[str] = ()) -> str:
    """Volumes and reliability as a table, with what they were made from above it.

    Args:
        remarks: what has changed since, shown first.
    """
    changed = "".join(map(_caution, remarks))
    nothing = "<h3>No tumour found</h3>" if report.get("finding") == "no tumour found" else ""
    made_from = f"From <b>{escape(' + '.join(report['available']))}</b>"
    if report["generated"]:
        made_from += f"; features of {escape(', '.join(report['generated']))} generated"
    rows = [_tissue_row(label, report) for label in LABELS]
    rows += [_region_row(region, report) for region in REGIONS if region is not Region.ET]
    warnings = "".join(map(_caution, report["warnings"]))
    return (
        f"{changed}{nothing}"
        f"<p>{made_from}; {escape(report['model'])} on {escape(report['device'])}.</p>"
        f'<table cellspacing="0" cellpadding="3">{"".join(rows)}</table>'
        f"{_prepared(report)}{warnings}"
        f'<p style="color:{_NOTE}">Trust: mean Dice of this model with these contrasts on '
        f"{escape(report['measured_on'])}.</p>"
        f"<p><b>{escape(report['intended_use'])}</b></p>"
    )


def importance_html(report: Mapping[str, Any]) -> str:
    """The learned importance weights of the contrasts (mean 1) as small bars."""
    weights = {c.label: float(report["importance"][c.value]) for c in CONTRASTS}
    largest = max([*weights.values(), 1e-9])
    rows = []
    for name, weight in weights.items():
        width = max(round(_BAR_WIDTH * weight / largest), 1)
        shade = "#3b6ea5" if name in report["available"] else "#b9c4cf"
        bar = f'<table cellspacing="0" cellpadding="0"><tr><td bgcolor="{shade}" width="{width}" '
        bar += 'height="9"></td></tr></table>'
        rows.append(
            f"<tr><td>{escape(name)}&nbsp;</td><td>{bar}</td><td>&nbsp;{weight:.2f}</td></tr>"
        )
    return f'<table cellspacing="2" cellpadding="0">{"".join(rows)}</table>'


def scores_html(scores: Mapping[str, Mapping[str, float]], remark: str = "") -> str:
    """Dice and HD95 of each region against the reference segmentation."""
    rows = [
        f"<tr><td>{name}&nbsp;&nbsp;</td><td>Dice <b>{score['dice']:.3f}</b>&nbsp;&nbsp;</td>"
        f"<td>HD95 <b>{score['hd95_mm']:.1f} mm</b></td></tr>"
        for name, score in scores.items()
    ]
    note = f"<p>{escape(remark)}</p>" if remark else ""
    return f'<table cellspacing="0" cellpadding="2">{"".join(rows)}</table>{note}'


def _prepared(report: Mapping[str, Any]) -> str:
    """What was done to the volumes first."""
    brain = brain_text(report)
    lines = [*registration_texts(report), *([f"Brain: {brain}"] if brain else [])]
    said = "<br/>".join(map(escape, lines))
    return f'<p style="color:{_NOTE}">{said}</p>' if said else ""


def _caution(text: str) -> str:
    return f'<p style="color:{_CAUTION}">▲ {escape(text)}</p>'


def _tissue_row(label: Label, report: Mapping[str, Any]) -> str:
    region = report["regions"][REGION_OF_LABEL[label].value]
    return _row(_colour(label.rgb), label.name, report["volumes_ml"][label.short], region)


def _region_row(region: Region, report: Mapping[str, Any]) -> str:
    entry = report["regions"][region.value]
    return _row("transparent", f"= {region.title}", entry["volume_ml"], entry)


def _row(swatch: str, name: str, volume_ml: float, region: Mapping[str, Any]) -> str:
    dice = region["expected_dice"]
    measured = "not measured" if dice is None else f"Dice {dice:.2f}"
    words = region["reliability"]
    colour = _RELIABILITY_COLOURS.get(words, _RELIABILITY_COLOURS["not reliable"])
    return (
        f'<tr><td style="background-color:{swatch}">&nbsp;&nbsp;</td>'
        f'<td>{escape(name)}</td><td align="right"><b>{volume_ml:.1f}</b> ml</td>'
        f'<td style="color:{colour}">{escape(words)} ({measured})</td></tr>'
    )


def _colour(rgb: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)
