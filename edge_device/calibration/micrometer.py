"""um per pixel from a picture of a stage micrometer, at any angle; refuses a picture without an even scale of lines.

The lines' direction comes from the gradients (structure tensor), sharpened by trying angles near
it; the picture is then summed along the lines to a profile, whose autocorrelation gives the
spacing, and whose single dips give the spread. Longer ticks at every fifth or tenth division repeat
at multiples of the spacing, so the shortest lag that is nearly as good as the best one is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.calibration.stored import CalibrationError, MeasuredScale

FEWEST_DIVISIONS = 4
LARGEST_SPREAD = 0.05
_WORKING_SIDE_PX = 1440
_LEAST_SPACING_PX = 4.0
#: Autocorrelation at the spacing, of 1 for an endless even grating; noise alone stays below.
_LEAST_PERIODICITY = 0.25
#: A shorter lag counts as the spacing when its peak is this share of the highest.
_NEARLY = 0.7

#: Share of the scale, from its first to its last line, that its single divisions make up.
_LEAST_COVER = 0.6

Profile = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Divisions:
    """Single divisions that were found, how they spread, and how much of the scale they cover."""

    count: int
    spread: float
    cover: float
    spacing_px: float

    @property
    def is_even(self) -> bool:
        enough = self.count >= FEWEST_DIVISIONS and self.cover >= _LEAST_COVER
        return enough and self.spread <= LARGEST_SPREAD


def scale_of_micrometer(bgr: npt.NDArray[np.uint8], division_um: float) -> MeasuredScale:
    """The scale of an 8-bit picture (H, W, 3) of a micrometer whose lines are `division_um` apart.

    Raises CalibrationError, which says what was found instead.
    """
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    factor = min(1.0, _WORKING_SIDE_PX / max(grey.shape))
    if factor < 1:
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    plane = grey.astype(np.float32)
    reach = max(plane.shape) / 8
    plane = np.asarray(plane - cv2.GaussianBlur(plane, (0, 0), reach), np.float32)
    plane = np.asarray(cv2.GaussianBlur(plane, (0, 0), 1.0), np.float32)
    coarse = _direction(plane)
    half = np.asarray(cv2.resize(plane, None, fx=0.5, fy=0.5), np.float32)
    angle = _sharpest(half, coarse, reach_deg=3.0, step_deg=0.5)
    angle = _sharpest(plane, angle, reach_deg=0.4, step_deg=0.1)
    profile = _profile(plane, angle)
    spacing = _spacing(profile)
    # Where only every second, fifth or tenth line stands out, the finer ones are still there.
    tried = [_measure(profile, spacing / parts) for parts in (10, 5, 2, 1)]
    found = next((each for each in tried if each.is_even), tried[-1])
    if found.count < FEWEST_DIVISIONS:
        raise CalibrationError(
            f"{found.count} divisions found, at least {FEWEST_DIVISIONS} needed:"
            " is this a picture of a stage micrometer, in focus?"
        )
    if not found.is_even:
        raise CalibrationError(
            f"the divisions differ by {found.spread:.1%}, at most {LARGEST_SPREAD:.0%} allowed,"
            f" and cover {found.cover:.0%} of the scale, at least {_LEAST_COVER:.0%} needed:"
            " take a sharper picture that shows the scale alone"
        )
    return MeasuredScale(
        um_per_px=division_um * factor / found.spacing_px,
        spread=found.spread,
        source="micrometer",
        count=found.count,
    )


def _measure(profile: Profile, spacing: float) -> _Divisions:
    """The divisions where lines are looked for at about this spacing."""
    if spacing < _LEAST_SPACING_PX:
        return _Divisions(0, 1.0, 0.0, spacing)
    places = _lines(profile, spacing)
    gaps = np.diff(places)
    # A line that was missed leaves a gap of two or three; it counts for none.
    single = gaps[(gaps > 0.5 * spacing) & (gaps < 1.5 * spacing)]
    if len(single) < FEWEST_DIVISIONS:
        return _Divisions(len(single), 1.0, 0.0, spacing)
    low, middle, high = np.percentile(single, (25, 50, 75))
    numbers = np.concatenate([[0.0], np.cumsum(np.round(gaps / middle))])
    return _Divisions(
        count=len(single),
        spread=float((high - low) / 2 / middle),
        cover=float(single.sum() / (places[-1] - places[0])),
        spacing_px=float(np.polyfit(numbers, places, 1)[0]),
    )


def _direction(plane: npt.NDArray[np.float32]) -> float:
    """Angle (radians) of the direction across the lines."""
    dx, dy = cv2.Sobel(plane, cv2.CV_32F, 1, 0), cv2.Sobel(plane, cv2.CV_32F, 0, 1)
    xx, yy, xy = float(np.mean(dx * dx)), float(np.mean(dy * dy)), float(np.mean(dx * dy))
    return 0.5 * float(np.arctan2(2 * xy, xx - yy))


def _sharpest(
    plane: npt.NDArray[np.float32], around: float, *, reach_deg: float, step_deg: float
) -> float:
    """The angle near `around` at which summing along the lines blurs them least."""
    angles = around + np.deg2rad(np.arange(-reach_deg, reach_deg + step_deg / 2, step_deg))
    steepness = [float(np.mean(np.diff(_profile(plane, float(a))) ** 2)) for a in angles]
    return float(angles[int(np.argmax(steepness))])


def _profile(plane: npt.NDArray[np.float32], angle: float) -> Profile:
    """Mean brightness along the lines per pixel of the way across them."""
    height, width = plane.shape
    y, x = np.mgrid[:height, :width]
    across = x * np.cos(angle) + y * np.sin(angle)
    across = (across - across.min()).ravel()
    left = across.astype(np.intp)
    share, values = across - left, plane.ravel()
    size = int(left.max()) + 2
    # Each pixel is dealt out to the two bins beside it: without that, angles near 0 would beat.
    pixels = np.bincount(left, 1 - share, size) + np.bincount(left + 1, share, size)
    sums = np.bincount(left, values * (1 - share), size)
    sums += np.bincount(left + 1, values * share, size)
    enough = np.flatnonzero(pixels >= 0.3 * pixels.max())
    span = slice(enough[0], enough[-1] + 1)
    kept = sums[span] / pixels[span]
    return np.asarray(kept - kept.mean(), np.float64)


def _spacing(profile: Profile) -> float:
    """The spacing of the lines in pixels, by autocorrelation."""
    # Lines clipped to the depth of the shorter ticks are all alike.
    profile = np.asarray(cv2.GaussianBlur(profile.reshape(1, -1), (0, 0), 1.2).ravel(), np.float64)
    lines = -profile if abs(profile.min()) > profile.max() else profile
    depth = float(np.percentile(lines, 99))
    lines = np.clip(lines, 0.1 * depth, 0.35 * depth)
    # Of the slopes rather than the lines: uneven light has none.
    lines = np.diff(lines)
    n = len(lines)
    spectrum = np.abs(np.fft.rfft(lines, 2 * n)) ** 2
    raw = np.fft.irfft(spectrum)[: n // 2]
    even = raw / (n - np.arange(n // 2)) / max(raw[0] / n, 1e-9)
    least = int(_LEAST_SPACING_PX)
    inner = even[1:-1]
    peaks = np.flatnonzero((inner >= even[:-2]) & (inner > even[2:])) + 1
    peaks = peaks[peaks >= least]
    if len(peaks) == 0 or even[peaks].max() < _LEAST_PERIODICITY:
        raise CalibrationError(
            "no even scale of lines found: is this a picture of a stage micrometer, in focus?"
        )
    return float(peaks[np.argmax(even[peaks] >= _NEARLY * even[peaks].max())])


def _lines(profile: Profile, spacing: float) -> Profile:
    """Where the lines are, to a part of a pixel; dark or bright, whichever stands out."""
    sigma = max(1.0, spacing / 10)
    soft = cv2.GaussianBlur(profile.astype(np.float32).reshape(1, -1), (0, 0), sigma).ravel()
    if abs(float(soft.min())) > float(soft.max()):
        soft = -soft
    reach = max(1, int(0.35 * spacing))
    top = cv2.dilate(soft.reshape(1, -1), np.ones((1, 2 * reach + 1), np.uint8)).ravel()
    strong = 0.12 * float(np.percentile(soft, 99.5))
    found = [at for at in np.flatnonzero((soft == top) & (soft > strong)) if 0 < at < len(soft) - 1]
    places = []
    for at in found:
        before, here, after = (float(value) for value in soft[at - 1 : at + 2])
        bend = before - 2 * here + after
        places.append(at + (0.0 if bend >= 0 else 0.5 * (before - after) / bend))
    return np.asarray(places, np.float64)
