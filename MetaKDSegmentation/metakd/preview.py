"""The preview picture: three planes through the tumour with contours and a legend."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from metakd.card import INTENDED_USE
from metakd.planes import VIEWS, Floats, Scene, View, make_scene
from metakd.regions import LABELS, Label

Colour = tuple[int, int, int]


_WIDTH, _EDGE, _GAP, _PANEL_TOP = 1500, 40, 18, 168  # px
_PAGE, _WHITE, _GREY, _DIM = (18, 20, 24), (240, 242, 245), (166, 172, 181), (124, 130, 140)
_MARGIN = 1.12  # panel over head: room for the letters
_SUPERSAMPLING = 3
_LINE_PX, _FILL_ALPHA = 2.0, 22
_BARS_MM = (50, 20, 10, 5, 2, 1)
_AMBER = (245, 178, 66)
_MARKS = {  # colour, corners, turn in degrees, px: a shape each, for the colour-blind
    "reliable": ((96, 200, 120), 48, 0, 16),
    "use with care": (_AMBER, 3, 0, 21),
    "not reliable": ((232, 84, 84), 4, 45, 19),
}
_GLYPHS = frozenset(map(chr, range(32, 127))) | frozenset("·…°±’")  # of Pillow's own font
_SPELLINGS = str.maketrans("–—−×•→“”‘", '---x·>""\'')


@dataclass(frozen=True)
class LegendEntry:
    """A line of the legend: the label whose colour it explains, and how far to trust it.

    Attributes:
        text: e.g. "Enhancing tumour  18.3 ml".
        note: e.g. "use with care: expected Dice 0.52"; drawn with the mark of `level`.
        level: "reliable", "use with care" or "not reliable"; anything else raises `ValueError`.
    """

    label: Label
    text: str
    note: str = ""
    level: str = "reliable"

    def __post_init__(self) -> None:
        if self.level not in _MARKS:
            raise ValueError(f"'{self.level}' is no level of trust: use {', '.join(_MARKS)}")


def draw_preview(
    reference: sitk.Image,
    label_map: sitk.Image,
    *,
    title: str,
    subtitle: str,
    legend: Sequence[LegendEntry],
) -> Image.Image:
    """Axial, coronal and sagittal plane where the tumour is largest, with contours and legend.

    Radiological convention: the patient's right is on the picture's left, anterior on the left
    of the sagittal plane. Positions are RAS in mm at the middle of the panel. Oblique images are
    cut along their own axes.

    Args:
        reference: 3D scalar image, any orientation, spacing (mm, LPS space) and intensities.
        label_map: uint8 on the same grid, the engine's labels 1 NCR, 2 ED, 3 ET; may be empty.
        title: first line, e.g. the patient's name; accents are dropped, the font has none.
        subtitle: second line, e.g. which contrasts the result comes from.
        legend: any number of entries, three a row.

    Returns an RGB picture 1500 px wide, its height as the head needs.
    Raises `ValueError` when the images are not 3D scalar images on one grid.
    """
    _refuse_other_grid(reference, label_map)
    scene = make_scene(reference, label_map)
    panels, px_per_mm = _draw_panels(scene)
    lefts = [_EDGE + sum(p.width + _GAP for p in panels[:place]) for place in range(3)]

    legend_top = _PANEL_TOP + panels[0].height + 30
    row_height = 80 if any(entry.note for entry in legend) else 48
    footer_top = legend_top + -(-len(legend) // 3) * row_height
    page = Image.new("RGB", (_WIDTH, footer_top + 44), _PAGE)
    draw = ImageDraw.Draw(page)
    finding = "" if scene.labels.any() else "No tumour found"
    _draw_header(draw, title, subtitle, finding)
    for view, position, panel, left in zip(VIEWS, scene.positions, panels, lefts, strict=True):
        page.paste(panel, (left, _PANEL_TOP))
        _write(draw, (left, _PANEL_TOP - 36), view.name, 24, _WHITE)
        _write(draw, (left + panel.width, _PANEL_TOP - 36), position, 24, _GREY, anchor="ra")
    _draw_scale_bar(draw, (_EDGE, _PANEL_TOP), panels[0].size, px_per_mm)
    for place, entry in enumerate(legend):
        row, column = divmod(place, 3)
        corner = (lefts[column], legend_top + row * row_height)
        _draw_entry(page, corner, panels[column].width, entry)
    _write(draw, (_EDGE, footer_top), INTENDED_USE, 20, _DIM)
    return page


def _refuse_other_grid(reference: sitk.Image, label_map: sitk.Image) -> None:
    for name, image in (("reference", reference), ("label map", label_map)):
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            raise ValueError(f"the {name} is not a 3D image with one value a voxel")
    for what in ("Size", "Spacing", "Origin", "Direction"):
        wanted, found = (getattr(image, f"Get{what}")() for image in (reference, label_map))
        if not np.allclose(wanted, found, rtol=1e-4, atol=1e-3):
            raise ValueError(
                f"the label map is not on the reference's grid: {what.lower()} {found} instead of "
                f"{wanted}; resample it to the reference first"
            )


def _draw_panels(scene: Scene) -> tuple[list[Image.Image], float]:
    """The three panels, all of one height and one scale, and that scale in px per mm."""
    extent = (scene.high - scene.low) * scene.spacing * _MARGIN
    extent = np.maximum(extent, extent.max() / 2)  # a thin volume still gets a panel
    widths = [extent[view.axes[1]] for view in VIEWS]
    px_per_mm = (_WIDTH - 2 * _EDGE - 2 * _GAP) / sum(widths)
    height = round(px_per_mm * max(extent[0], extent[1]))
    sizes = [(round(px_per_mm * width), height) for width in widths]
    return [_draw_panel(scene, v, s, px_per_mm) for v, s in zip(VIEWS, sizes, strict=True)], (
        px_per_mm
    )


def _draw_panel(scene: Scene, view: View, size: tuple[int, int], px_per_mm: float) -> Image.Image:
    plane = scene.planes[view.normal]
    half = np.array(size[::-1]) / px_per_mm / scene.spacing[view.axes] / 2
    low, high = scene.centre[view.axes] - half, scene.centre[view.axes] + half

    values = np.moveaxis(scene.values, view.normal, 0)[plane].astype(np.float32)
    dark, bright = scene.window
    grey = (values - dark) / max(bright - dark, 1e-6) * 255
    grey[values == scene.air] = 0  # in a normalised image air may lie mid-scale
    grey = _sample(np.clip(grey, 0, 255), low, high, size, Image.Resampling.BICUBIC)
    panel = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")

    labels = np.moveaxis(scene.labels, view.normal, 0)[plane]
    if labels.any():
        contours = _draw_contours(labels, low, high, size)
        panel.paste(contours, mask=contours.getchannel("A"))
    _draw_sides(ImageDraw.Draw(panel), size, view.sides)
    return panel


def _sample(
    plane: npt.NDArray[np.float32],
    low: Floats,
    high: Floats,
    size: tuple[int, int],
    method: Image.Resampling,
) -> npt.NDArray[np.float32]:
    """The part of a plane between two corners (row, column edges), 0 where the plane ends."""
    pad = int(np.ceil(max(0, *-low, *(high - plane.shape)))) + 2
    box = (low[1] + pad, low[0] + pad, high[1] + pad, high[0] + pad)
    return np.asarray(Image.fromarray(np.pad(plane, pad)).resize(size, method, box))


def _draw_contours(
    labels: npt.NDArray[np.uint8], low: Floats, high: Floats, size: tuple[int, int]
) -> Image.Image:
    """RGBA overlay: a line around every tissue and a faint fill, drawn large and shrunk."""
    large = (size[0] * _SUPERSAMPLING, size[1] * _SUPERSAMPLING)
    present = [label for label in LABELS if (labels == label.value).any()]
    owner = np.zeros(large[::-1], dtype=np.uint8)
    best, background = np.zeros_like(owner, np.float32), np.ones_like(owner, np.float32)
    for label in present:
        mask = (labels == label.value).astype(np.float32)
        share = _sample(mask, low, high, large, Image.Resampling.BILINEAR)
        owner[share > best] = label.value
        np.maximum(best, share, out=best)
        background -= share
    owner[background >= best] = 0

    colours = np.zeros((*owner.shape, 4), dtype=np.uint8)
    for label in present:
        own = owner == label.value
        # Blurred with sigma, a straight edge reaches 84 % one sigma inside. Every tissue's line
        # lies inside it, so that a border shows the colours of both.
        blur = ImageFilter.GaussianBlur(_LINE_PX * _SUPERSAMPLING)
        soft = np.asarray(Image.fromarray(own.astype(np.uint8) * 255).filter(blur))
        colours[own] = (*label.rgb, _FILL_ALPHA)
        colours[own & (soft < 0.84 * 255)] = (*label.rgb, 255)
    return Image.fromarray(colours).resize(size, Image.Resampling.LANCZOS)


def _draw_header(draw: ImageDraw.ImageDraw, title: str, subtitle: str, finding: str) -> None:
    room = _WIDTH - 2 * _EDGE
    finding_room = _font(32).getlength(finding) + 40 if finding else 0
    _write(draw, (_EDGE, 28), title, 38, _WHITE, room=room - finding_room)
    _write(draw, (_WIDTH - _EDGE, 32), finding, 32, _AMBER, anchor="ra")
    _write(draw, (_EDGE, 80), subtitle, 24, _GREY, room=room)


def _draw_sides(draw: ImageDraw.ImageDraw, size: tuple[int, int], sides: str) -> None:
    (width, height), inset = size, 9
    places = {
        "lm": (inset, height // 2),
        "rm": (width - inset, height // 2),
        "mt": (width // 2, inset),
        "mb": (width // 2, height - inset),
    }
    for letter, (anchor, place) in zip(sides, places.items(), strict=True):
        _write(draw, place, letter, 23, _WHITE, anchor=anchor, outline=2)


def _draw_scale_bar(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], size: tuple[int, int], px_per_mm: float
) -> None:
    length = next((mm for mm in _BARS_MM if mm * px_per_mm < size[0] / 2.5), _BARS_MM[-1])
    right, bottom = corner[0] + size[0] - 14, corner[1] + size[1] - 14
    left = right - round(length * px_per_mm)
    draw.rectangle((left - 1, bottom - 4, right + 1, bottom + 1), fill=(0, 0, 0))
    draw.rectangle((left, bottom - 3, right, bottom), fill=_WHITE)
    text = f"{length // 10} cm" if length >= 10 else f"{length} mm"
    _write(draw, (right, bottom - 9), text, 21, _WHITE, anchor="rb", outline=2)


def _draw_entry(page: Image.Image, corner: tuple[int, int], room: int, entry: LegendEntry) -> None:
    draw, (left, top) = ImageDraw.Draw(page), corner
    indent, mark_room = 36, 28
    draw.rectangle((left, top + 4, left + 22, top + 26), fill=entry.label.rgb)
    _write(draw, (left + indent, top), entry.text, 26, _WHITE, room=room - indent)
    if entry.note:
        _stamp_mark(page, (left + indent + 10, top + 50), entry.level)
        note_left, note_room = left + indent + mark_room, room - indent - mark_room
        _write(draw, (note_left, top + 37), entry.note, 22, _GREY, room=note_room)


def _stamp_mark(page: Image.Image, middle: tuple[int, int], level: str) -> None:
    """Pillow draws polygons without anti-aliasing, hence large and shrunk."""
    colour, corners, turn, size = _MARKS[level]
    large = size * _SUPERSAMPLING
    shape = Image.new("L", (large, large))
    ImageDraw.Draw(shape).regular_polygon((large / 2, large / 2, large / 2), corners, turn, 255)
    corner = (middle[0] - size // 2, middle[1] - size // 2)
    page.paste(Image.new("RGB", (size, size), colour), corner, shape.reduce(_SUPERSAMPLING))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _write(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    text: str,
    size: int,
    colour: Colour,
    *,
    anchor: str = "la",
    room: float = _WIDTH,
    outline: int = 0,
) -> None:
    """One line in the glyphs there are; smaller, then cut short, where it exceeds `room` px."""
    plain = unicodedata.normalize("NFKD", text.translate(_SPELLINGS))
    plain = "".join(c if c in _GLYPHS else "?" for c in plain if not unicodedata.combining(c))
    smallest = round(size * 0.8)
    while size > smallest and _font(size).getlength(plain) > room:
        size -= 1
    font, shown = _font(size), plain
    while plain and font.getlength(shown) > room:
        plain = plain[:-1]
        shown = plain.rstrip() + "…"
    draw.text(corner, shown, colour, font, anchor, stroke_width=outline, stroke_fill=(0, 0, 0))
