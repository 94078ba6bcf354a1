"""The three stamps of an alert as a figure: science, template and difference, north up and east left.

ZTF's stamps have no WCS: their rows run south and their columns west, 1.012 arcsec a pixel, and the difference of a fading alert is stored with
the other sign. LSST's have one without its CTYPE, and are turned. A stamp that is missing is an empty panel that says so; pixels without a value
are grey.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harvester.errors import UsageError
from harvester.packets.container import PacketError
from harvester.packets.whole import STAMPS, ZTF, Packet

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Image = NDArray[np.float64]

ZTF_PIXEL = 1.012
FADING = ("f", "0", "False", "false")
ABSURD = 1e20
SUFFIXES = (".png", ".pdf", ".svg")
SIDES = (1, 2, 5, 10, 15, 20, 30, 60)
"""Arcseconds that a scale bar may have."""
ZEROPOINT_NJY = 31.4
JD_OF_MJD, TAI_MINUS_UTC_D = 2_400_000.5, 37.0 / 86_400.0
PASSBANDS = {1: "g", 2: "r", 3: "i"}
GREY, MARK = "0.6", "#ffd24d"


@dataclass(frozen=True)
class Stamp:
    """One stamp, north up and east left (NaN where there is no value), and its scale in arcsec a pixel; no `image` where there is none, and why."""

    title: str
    image: Image | None
    scale: float = 1.0
    why: str = ""


def stamps_of(packet: Packet) -> list[Stamp]:
    """Return science, template and difference, this order, the difference being science less template."""
    return [_stamp(packet, name) for name in STAMPS]


def draw(packet: Packet) -> Figure:
    """Return the figure of a packet's stamps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.7), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, stamp in zip(figure.subplots(1, 3), stamps_of(packet), strict=True):
        _panel(axes, stamp, difference=stamp.title == "difference")
    figure.suptitle(title_of(packet), fontsize=10)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure by the suffix of its file. Raises UsageError for one that nobody knows, or a place that cannot be written."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"'{path.name}' is no picture.", hint=f"End it with {', '.join(SUFFIXES)}.")
    try:
        figure.savefig(path)
    except OSError as error:
        raise UsageError(f"'{path}' cannot be written.", str(error.strerror)) from error


def title_of(packet: Packet) -> str:
    """Return object, date (UTC) and brightness of an alert."""
    from astropy.time import Time

    own = packet.own
    if packet.survey == ZTF:
        mjd, band, mag = own["jd"] - JD_OF_MJD, PASSBANDS.get(own.get("fid", 0), "?"), own.get("magpsf")
        sign = "-" if str(own.get("isdiffpos")) in FADING else "+"
        bright = "" if mag is None else f"  {band} {mag:.2f} ({sign})"
    else:
        mjd, band, flux = own["midpointMjdTai"] - TAI_MINUS_UTC_D, own.get("band") or "?", float(own.get("psfFlux") or np.nan)
        known = np.isfinite(flux)
        bright = f"  {band} {ZEROPOINT_NJY - 2.5 * np.log10(abs(flux)):.2f} ({'-' if flux < 0 else '+'})" if known else f"  {band}"
    moment = Time(mjd, format="mjd", scale="utc").strftime("%Y-%m-%d %H:%M:%S")
    return f"{packet.survey} {packet.object_id}   {moment} UTC {bright}   {packet.alert_id}"


def _stamp(packet: Packet, name: str) -> Stamp:
    title = name.removeprefix("cutout").lower()
    try:
        body = packet.stamp(name)
        if body is None:
            return Stamp(title, None, why="no stamp in the packet")
        image, header = _read(body)
    except PacketError as error:
        return Stamp(title, None, why=str(error))
    if packet.survey == ZTF:
        faded = title == "difference" and str(packet.own.get("isdiffpos")) in FADING
        return Stamp(title, (-image if faded else image)[::-1], ZTF_PIXEL)
    return Stamp(title, *_north_up(image, header))


def _read(body: bytes) -> tuple[Image, Any]:
    """Return pixels, NaN for those without a value, and the header. Raises PacketError for what is no FITS image."""
    from astropy.io import fits

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ZTF's SIMPLE card is not as it should be
            with fits.open(BytesIO(body), ignore_missing_simple=True) as files:
                data, header = files[0].data, files[0].header.copy()
    except (OSError, ValueError, TypeError, IndexError, EOFError) as error:
        kind = "a JPEG, as before June 2018" if body.startswith(b"\xff\xd8") else "no FITS image"
        raise PacketError(f"the stamp is {kind}") from error
    if data is None or np.ndim(data) != 2 or not np.size(data):
        raise PacketError("the stamp is empty")
    image = np.array(data, np.float64)
    image[~np.isfinite(image) | (np.abs(image) > ABSURD)] = np.nan
    return image, header


def _north_up(image: Image, header: Any) -> tuple[Image, float]:
    """Turn an image by the matrix of its WCS around the alert, which comes to the middle: bilinear, NaN where it has nothing."""
    matrix = np.array([[_card(header, row, column) for column in (1, 2)] for row in (1, 2)])
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    if not scale > 0:
        return image, 0.2
    height, width = image.shape
    centre = float(header.get("CRPIX1", (width + 1) / 2)) - 1, float(header.get("CRPIX2", (height + 1) / 2)) - 1
    row, column = np.indices(image.shape, np.float64)
    sky = np.stack([-(column - (width - 1) / 2) * scale, (row - (height - 1) / 2) * scale])  # east is left
    pixels = np.einsum("ij,jkl->ikl", np.linalg.inv(matrix), sky)
    return _sampled(image, pixels[1] + centre[1], pixels[0] + centre[0]), scale * 3600.0


def _card(header: Any, row: int, column: int) -> float:
    """Return an element of the CD matrix, however it is written."""
    if f"CD{row}_{column}" in header:
        return float(header[f"CD{row}_{column}"])
    return float(header.get(f"PC{row}_{column}", float(row == column))) * float(header.get(f"CDELT{row}", 1.0))


def _sampled(image: Image, rows: Image, columns: Image) -> Image:
    height, width = image.shape
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    top, left = np.clip(np.floor(rows), 0, height - 2).astype(int), np.clip(np.floor(columns), 0, width - 2).astype(int)
    down, right = rows - top, columns - left
    upper = image[top, left] * (1 - right) + image[top, left + 1] * right
    lower = image[top + 1, left] * (1 - right) + image[top + 1, left + 1] * right
    return np.where(inside, upper * (1 - down) + lower * down, np.nan)


def limits_of(image: Image, *, difference: bool) -> tuple[float, float]:
    """Return the values that are drawn black and white: ZScale, the upper raised to the brightest; of a difference even on both sides of 0."""
    from astropy.visualization import ZScaleInterval

    known = image[np.isfinite(image)]
    if difference:
        noise = 1.4826 * float(np.median(np.abs(known - np.median(known))))
        reach = max(5 * noise, float(np.percentile(np.abs(known), 99.5))) or 1.0
        return -reach, reach
    low, high = ZScaleInterval().get_limits(known)
    high = max(high, float(np.percentile(known, 99.7)))
    return (float(low), float(high)) if high > low else (float(low) - 1.0, float(low) + 1.0)


def _panel(axes: Any, stamp: Stamp, *, difference: bool) -> None:
    from astropy.visualization import AsinhStretch, ImageNormalize, LinearStretch
    from matplotlib import colormaps

    axes.set_title(stamp.title, fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    if stamp.image is None or not np.isfinite(stamp.image).any():
        axes.set_facecolor("0.92")
        axes.text(
            0.5, 0.5, stamp.why or "no pixel has a value", ha="center", va="center", fontsize=8, color="0.3", transform=axes.transAxes
        )
        axes.set_aspect("equal")
        return
    low, high = limits_of(stamp.image, difference=difference)
    colours = colormaps["gray"].with_extremes(bad=GREY)
    stretch = LinearStretch() if difference else AsinhStretch(0.1)
    normal = ImageNormalize(vmin=low, vmax=high, stretch=stretch, clip=False)
    axes.imshow(np.ma.masked_invalid(stamp.image), origin="lower", cmap=colours, norm=normal, interpolation="nearest")
    _marks(axes, stamp.image.shape, stamp.scale)


def _marks(axes: Any, shape: tuple[int, ...], scale: float) -> None:
    """Draw the place of the alert, a compass and a scale bar."""
    height, width = shape
    middle, gap, arm = ((width - 1) / 2, (height - 1) / 2), 0.06 * width, 0.14 * width
    for east, north in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        xs, ys = ([middle[axis] + step * reach for reach in (gap, arm)] for axis, step in enumerate((east, north)))
        axes.plot(xs, ys, color=MARK, lw=0.9)
    corner, length = (0.93 * width, 0.07 * height), 0.13 * min(shape)
    for word, (east, north) in (("N", (0, 1)), ("E", (-1, 0))):
        tip = corner[0] + east * length, corner[1] + north * length
        axes.annotate("", tip, corner, arrowprops={"arrowstyle": "->", "color": MARK, "lw": 1.0})
        place = corner[0] + 1.4 * east * length, corner[1] + 1.4 * north * length
        axes.text(*place, word, color=MARK, fontsize=7, ha="center", va="center")
    side = max((one for one in SIDES if one <= width * scale / 4), default=SIDES[0])
    axes.plot([0.06 * width, 0.06 * width + side / scale], [0.06 * height] * 2, color=MARK, lw=1.6)
    axes.text(0.06 * width + side / scale / 2, 0.09 * height, f'{side}"', color=MARK, fontsize=7, ha="center", va="bottom")
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(-0.5, height - 0.5)
