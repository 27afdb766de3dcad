"""DICOM files written byte by byte (PS3.5), also in ways that no library would write them."""

import struct
import zlib
from itertools import count

import numpy as np
import SimpleITK as sitk

MR, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "deflated": "1.2.840.10008.1.2.1.99",
    "rle": "1.2.840.10008.1.2.5",
}
POSITION, ORIENTATION, SPACING = 0x00200032, 0x00200037, 0x00280030
INTERCEPT, SLOPE, PIXELS = 0x00281052, 0x00281053, 0x7FE00010
GROUPS = {
    POSITION: 0x00209113, ORIENTATION: 0x00209116, SPACING: 0x00289110, INTERCEPT: 0x00289145,
    SLOPE: 0x00289145,
}  # fmt: skip
UID = "1.2.826.0.1.3680043.2.1125"
UNTIL_ITS_END = 0xFFFFFFFF
LONG = {"OB", "OW", "SQ", "UN"}
_instances = count(1)


def write_series(
    folder, volume, *, order=None, change=lambda number, tags: None, name="IM", **tags
):
    """A file a slice of a 3D image.

    `order`: of the files' names, by slice. `change(number, tags)` spoils a slice's elements;
    `tags`: elements of all slices, by keyword (`PatientID="7"`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    size = volume.GetDepth()
    for number, named in zip(range(size), order or range(size), strict=True):
        elements = _common(volume, tags) | _place(volume, number)
        elements[PIXELS] = ("OW", _pixels(volume)[number].tobytes())
        change(number, elements)
        (folder / f"{name}{named:04}").write_bytes(_file(elements))
    return folder


def write_enhanced(
    path, volume, *, order=None, encoding="explicit", endless=False, shared=False,
    change=lambda number, tags: None, **tags,
):  # fmt: skip
    """One file of all slices, as frames.

    `order`: of the frames, by slice. `endless`: sequences and items of undefined length.
    `shared`: orientation and pixel spacing are told once, not by frame. `change` and `tags` as
    in `write_series`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    order = list(order or range(volume.GetDepth()))
    frames = []
    for number in order:
        elements = _place(volume, number)
        change(number, elements)
        frames.append(_in_groups(elements, (ORIENTATION, SPACING) if shared else ()))
    once = {tag: value for tag, value in _place(volume, 0).items() if tag != POSITION}
    elements = _common(volume, tags, ENHANCED_MR) | {
        0x00280008: ("IS", [len(order)]),
        # Something to pass over: private sequences, one empty, one declared unknown by an archive
        # that did not know it, and one that says what is not asked.
        0x00291001: ("SQ", []),
        0x00291002: ("UN", [{0x00291003: ("LO", "a private text, longer than its tag")}]),
        0x00400555: ("SQ", [{0x00400000: ("LO", "acquisition context")}]),
        0x52009229: ("SQ", [_in_groups(once) if shared else {}]),
        0x52009230: ("SQ", frames),
        PIXELS: ("OW", _pixels(volume)[order].tobytes()),
    }
    path.write_bytes(_file(elements, encoding, endless))
    return path


def _in_groups(elements, without=()):
    """A frame's elements in the functional groups that hold them."""
    groups = {}
    for tag, value in elements.items():
        if tag not in without:
            groups.setdefault(GROUPS[tag], ("SQ", [{}]))[1][0][tag] = value
    return groups


def tilted(volume, per_slice):
    """The image with each slice shifted by (x, y) voxels along its own axes against the last."""
    turned = np.reshape(volume.GetDirection(), (3, 3))
    step = turned @ (np.array([*per_slice, 1]) * volume.GetSpacing())
    length = np.linalg.norm(step)
    placed = sitk.Image(volume)
    placed.SetSpacing((*volume.GetSpacing()[:2], length))
    placed.SetDirection(np.column_stack([turned[:, :2], step / length]).ravel().tolist())
    return placed


def _common(volume, tags, kind=MR):
    elements = {
        0x00080016: ("UI", kind),
        0x00080018: ("UI", f"{UID}.7.{next(_instances)}"),
        0x00080060: ("CS", "MR"),
        0x0020000D: ("UI", f"{UID}.99"),
        0x0020000E: ("UI", f"{UID}.1"),
        0x00280002: ("US", 1),
        0x00280004: ("CS", "MONOCHROME2"),
        0x00280010: ("US", volume.GetHeight()),
        0x00280011: ("US", volume.GetWidth()),
        0x00280100: ("US", 16),
        0x00280101: ("US", 16),
        0x00280102: ("US", 15),
        0x00280103: ("US", 1),
    }
    return elements | {NAMES[name][0]: (NAMES[name][1], value) for name, value in tags.items()}


NAMES = {
    "SeriesInstanceUID": (0x0020000E, "UI"),
    "StudyInstanceUID": (0x0020000D, "UI"),
    "FrameOfReferenceUID": (0x00200052, "UI"),
    "SeriesDescription": (0x0008103E, "LO"),
    "PatientName": (0x00100010, "PN"),
    "PatientID": (0x00100020, "LO"),
    "StudyDate": (0x00080020, "DA"),
    "Modality": (0x00080060, "CS"),
}


def _place(volume, number):
    axes = np.reshape(volume.GetDirection(), (3, 3))
    return {
        POSITION: ("DS", volume.TransformIndexToPhysicalPoint((0, 0, number))),
        ORIENTATION: ("DS", [*axes[:, 0], *axes[:, 1]]),
        SPACING: ("DS", volume.GetSpacing()[1::-1]),
    }


def _pixels(volume):
    return np.round(sitk.GetArrayFromImage(volume)).astype("<i2")


def _file(elements, encoding="explicit", endless=False):
    syntax = _dataset({0x00020010: ("UI", SYNTAXES[encoding])})
    meta = _dataset({0x00020000: ("UL", len(syntax))}) + syntax
    if encoding == "rle":
        elements = elements | {PIXELS: ("OB", _fragments(elements))}
    data = _dataset(elements, implicit=encoding == "implicit", endless=endless)
    if encoding == "deflated":
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        data = packer.compress(data) + packer.flush()
    return bytes(128) + b"DICM" + meta + data


def _dataset(elements, *, implicit=False, endless=False):
    return b"".join(
        _element(tag, *element, implicit=implicit, endless=endless)
        for tag, element in sorted(elements.items())
    )


def _element(tag, kind, value, *, implicit, endless):
    start = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    data = _value(kind, value, implicit=implicit, endless=endless)
    length = len(data)
    if (endless and kind == "SQ") or kind in ("OB", "UN"):
        length, data = UNTIL_ITS_END, data + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    if implicit:
        return start + struct.pack("<I", length) + data
    if kind in LONG:
        return start + struct.pack("<2sHI", kind.encode(), 0, length) + data
    return start + struct.pack("<2sH", kind.encode(), length) + data


def _value(kind, value, *, implicit, endless):
    if kind in ("SQ", "UN"):
        implicit = implicit or kind == "UN"  # as PS3.5, 6.2.2 has it
        items = [_dataset(item, implicit=implicit, endless=endless) for item in value]
        return b"".join(_item(item, endless=endless) for item in items)
    if kind == "OB":
        return b"".join(_item(fragment) for fragment in value)
    if kind in ("US", "UL"):
        return struct.pack("<H" if kind == "US" else "<I", value)
    if isinstance(value, bytes):
        return value + b"\0" * (len(value) % 2)
    text = value if isinstance(value, str) else "\\".join(f"{number:.12g}" for number in value)
    data = text.encode("latin-1")
    return data + (b"\0" if kind == "UI" else b" ") * (len(data) % 2)


def _item(data, *, endless=False):
    if endless:
        data += struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
        return struct.pack("<HHI", 0xFFFE, 0xE000, UNTIL_ITS_END) + data
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data


def _fragments(elements):
    """The offsets, left out, and each frame: its high bytes, its low bytes (PS3.5, A.4 and G)."""
    pixels = elements[PIXELS][1]
    size = 2 * elements[0x00280010][1] * elements[0x00280011][1]
    fragments = [b""]
    for start in range(0, len(pixels), size):
        high, low = (_literal_runs(pixels[start + byte : start + size : 2]) for byte in (1, 0))
        offsets = struct.pack("<16I", 2, 64, 64 + len(high), *[0] * 13)
        fragments.append(offsets + high + low)
    return fragments


def _literal_runs(plane):
    runs = [plane[at : at + 128] for at in range(0, len(plane), 128)]
    data = b"".join(bytes([len(run) - 1]) + run for run in runs)
    return data + b"\0" * (len(data) % 2)
