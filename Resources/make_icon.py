"""Draw the icon of the extension and its module: a brain in axial view and the three tissues.

`python Resources/make_icon.py` writes both files; the colours are those of the segmentation.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from metakd.regions import ED, ET, NCR
from PIL import Image

Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float64]

SIZE, SUPERSAMPLING = 128, 8
BRAIN, SULCUS, OUTLINE = (214, 219, 227), (150, 159, 173), (44, 54, 72)
RIM = 0.09  # the outline, of half the picture
GYRI = 18  # around the rim
ROOT = Path(__file__).resolve().parents[1]
FILES = (
    ROOT / "Resources" / "MetaKDSegmentation.png",
    ROOT / "MetaKDSegmentation" / "Resources" / "Icons" / "MetaKDSegmentation.png",
)


def draw() -> Image.Image:
    """The icon, RGBA with a transparent background."""
    steps = (np.arange(SIZE * SUPERSAMPLING) + 0.5) / (SIZE * SUPERSAMPLING) * 2 - 1
    x, y = np.meshgrid(steps, -steps)  # -1 to 1, y upwards: the forehead
    layers: list[tuple[tuple[int, int, int], Mask]] = [
        (OUTLINE, depth(x, y) > 0),
        (BRAIN, depth(x, y) > RIM),
        (SULCUS, furrows(x, y) & (depth(x, y) > RIM / 2)),
        *tumour(x, y),
    ]
    picture = np.zeros((*x.shape, 4))
    for colour, mask in layers:
        picture[mask] = (*colour, 255)
    return shrunk(picture)


def depth(x: Field, y: Field) -> Field:
    """How far inside the brain's outline a point lies; negative outside."""
    half_width = 0.90 * (1 - 0.09 * y)  # the forehead is narrower
    radius = np.hypot(x / half_width, y / 0.99)
    between_gyri = 1 - np.abs(np.sin(GYRI / 2 * np.arctan2(x, y)))
    notch = 0.06 * np.exp(-((x / 0.07) ** 2))  # at both ends of the fissure
    return 1 - notch - 0.06 * between_gyri**1.5 - radius


def furrows(x: Field, y: Field) -> Mask:
    """The fissure between the hemispheres, and a sulcus inwards from between every two gyri."""
    inside = depth(x, y)
    bend = 0.6 * inside * np.sign(x) * np.sin(2.5 * np.arctan2(np.abs(x), y))
    turns = GYRI * (np.arctan2(x, y) + bend) / (2 * np.pi)
    beside = np.abs(turns - turns.round()) * 2 * np.pi / GYRI * np.hypot(x, y)
    reach = np.where(turns.round() % 2 == 0, 0.46, 0.30)
    fissure = np.abs(x - 0.012 * np.sin(9 * y)) < 0.024
    return fissure | (beside + 0.045 * inside < 0.03) & (inside < reach)


def tumour(x: Field, y: Field) -> list[tuple[tuple[int, int, int], Mask]]:
    """Oedema, enhancing rim and necrotic core in the patient's left hemisphere, outermost first."""
    right, up = x - 0.34, y - 0.04
    angle, radius = np.arctan2(up, right), np.hypot(right, up)
    edges = (
        (ED, 0.385 + 0.02 * np.sin(2 * angle + 0.8) + 0.015 * np.sin(5 * angle + 1)),
        (ET, 0.275 + 0.014 * np.sin(3 * angle + 2)),
        (NCR, 0.15 + 0.012 * np.sin(2 * angle + 2)),
    )
    return [(label.rgb, (radius < edge) & (depth(x, y) > RIM)) for label, edge in edges]


def shrunk(picture: Field) -> Image.Image:
    """The average of each block of samples, colours weighted by their opacity."""
    picture[..., :3] *= picture[..., 3:] / 255
    blocks = picture.reshape(SIZE, SUPERSAMPLING, SIZE, SUPERSAMPLING, 4).mean(axis=(1, 3))
    blocks[..., :3] /= np.maximum(blocks[..., 3:], 1) / 255
    return Image.fromarray(np.clip(blocks.round(), 0, 255).astype(np.uint8), "RGBA")


def main() -> None:
    for file in FILES:
        file.parent.mkdir(parents=True, exist_ok=True)
        draw().save(file, optimize=True)


if __name__ == "__main__":
    main()
