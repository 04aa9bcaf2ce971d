"""Before-and-after pictures and numbers of corrected frames, into a folder for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edge_device.flat_field.background import Pixels
from edge_device.flat_field.evenness import background_mask, blurred_background
from edge_device.flat_field.replay import Replayed
from wire_protocol.words import RESEARCH_USE_ONLY

_TILE = (360, 225)
#: The false colours span this much around the frame's mean: blue is darker, red brighter.
_MAP_SPAN = 0.25
_TEXT = (40, 40, 40)


@dataclass(frozen=True, slots=True)
class Row:
    """One frame of the report, small: what is kept of it once its pixels are let go."""

    name: str
    version: int
    said: str
    before: float
    after: float
    level_before: tuple[float, float, float]
    level_after: tuple[float, float, float]
    clipped_percent: float
    pictures: tuple[Pixels, Pixels]
    maps: tuple[Pixels, Pixels]


def row_of(frame: Replayed, name: str) -> Row:
    """The small pictures, false-colour maps and numbers of one frame."""
    mask = background_mask(frame.raw)
    return Row(
        name,
        frame.version,
        frame.state.said,
        frame.before.unevenness,
        frame.after.unevenness,
        frame.before.level,
        frame.after.level,
        frame.state.clipped_percent if frame.version else 0.0,
        (_fit(frame.raw), _fit(frame.corrected)),
        (false_colours(frame.raw, mask), false_colours(frame.corrected, mask)),
    )


def false_colours(bgr: Pixels, mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Pixels:
    """The blurred background, blue where it is a quarter darker than its mean, red where brighter;
    the three thirds are the blue, green and red channel; grey where no background was found."""
    blurred, enough = blurred_background(bgr, mask)
    panels = []
    for channel in range(3):
        plane = blurred[:, :, channel]
        mean = float(plane[enough].mean()) if enough.any() else 1.0
        scaled = np.clip((plane / mean - 1) / _MAP_SPAN * 127 + 128, 0, 255).astype(np.uint8)
        coloured = np.asarray(cv2.applyColorMap(scaled, cv2.COLORMAP_JET), np.uint8)
        coloured[~enough] = 128
        panels.append(cv2.resize(coloured, (_TILE[0] // 3, _TILE[1] // 3)))
    return np.asarray(np.hstack(panels), np.uint8)


def write_report(rows: Sequence[Row], out: Path, how: str) -> list[Path]:
    """Writes contact_sheet.jpg, background_maps.png and report.md; returns their paths."""
    out.mkdir(parents=True, exist_ok=True)
    sheet, maps, text = out / "contact_sheet.jpg", out / "background_maps.png", out / "report.md"
    pictures = [_labelled(np.hstack(row.pictures), _caption(row)) for row in rows]
    _save(sheet, _grid(pictures, across=2))
    _save(maps, _grid([_labelled(np.hstack(row.maps), row.name) for row in rows], across=2))
    text.write_text(_text(rows, how), encoding="utf-8")
    return [sheet, maps, text]


def _text(rows: Sequence[Row], how: str) -> str:
    ratios = [row.before / row.after for row in rows if row.version and row.after > 0]
    lines = [
        "# Flat field: before and after",
        "",
        f"{RESEARCH_USE_ONLY} {how}",
        "",
        f"{len(ratios)} of {len(rows)} frames corrected."
        + (
            f" Their background became {np.median(ratios):.1f} times more even (median;"
            f" worst {min(ratios):.1f})."
            if ratios
            else ""
        ),
        "",
        "Unevenness is std/mean of the empty background after a heavy blur (rms of B, G, R).",
        "",
        "| frame | version | unevenness before | after | level B G R before | after | clipped % | said |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        before = " ".join(f"{value:.0f}" for value in row.level_before)
        after = " ".join(f"{value:.0f}" for value in row.level_after)
        lines.append(
            f"| {row.name} | {row.version} | {row.before:.3f} | {row.after:.3f} | {before} |"
            f" {after} | {row.clipped_percent:.2f} | {row.said} |"
        )
    return "\n".join(lines) + "\n"


def _caption(row: Row) -> str:
    after = f"{row.after:.3f} (version {row.version})" if row.version else "left as it is"
    return f"{row.name}: {row.before:.3f} -> {after}"


def _fit(bgr: Pixels) -> Pixels:
    return np.asarray(cv2.resize(bgr, _TILE, interpolation=cv2.INTER_AREA), np.uint8)


def _labelled(picture: Pixels, text: str) -> Pixels:
    band = np.full((18, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(band, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _TEXT, 1, cv2.LINE_AA)
    return np.vstack([band, picture])


def _grid(pictures: Sequence[Pixels], *, across: int) -> Pixels:
    empty = np.full_like(pictures[0], 255)
    filled = [*pictures, *[empty] * (-len(pictures) % across)]
    rows = [np.hstack(filled[at : at + across]) for at in range(0, len(filled), across)]
    return np.asarray(np.vstack(rows), np.uint8)


def _save(path: Path, picture: Pixels) -> None:
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"{path}: not written")
