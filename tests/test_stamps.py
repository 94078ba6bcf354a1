import gzip
import io

import numpy as np
import pytest
from astropy.io import fits
from conftest import FIXTURES, needs_recordings

from harvester.alerts.stamps import draw, limits_of, save, stamps_of, title_of
from harvester.errors import UsageError
from harvester.packets import PacketError
from harvester.packets.whole import Packet, read_packet


def fits_of(image, **cards):
    out = io.BytesIO()
    fits.PrimaryHDU(image.astype(np.float32), fits.Header(cards)).writeto(out)
    return out.getvalue()


def ztf(image, isdiffpos="t", **more):
    body = gzip.compress(fits_of(image))
    cutouts = {name: {"fileName": "x", "stampData": body} for name in ("cutoutScience", "cutoutTemplate", "cutoutDifference")} | more
    candidate = {"jd": 2459000.5, "fid": 1, "magpsf": 18.0, "isdiffpos": isdiffpos}
    return Packet("ZTF", {"candid": 1, "objectId": "ZTF18abc", "candidate": candidate, **cutouts})


def test_rows_of_ztf_are_turned_so_that_north_is_up():
    image = np.zeros((63, 63))
    image[0, 5] = 9.0  # the first row is the northernmost
    science, *_ = stamps_of(ztf(image))
    assert science.image[-1, 5] == 9.0
    assert science.scale == 1.012


@pytest.mark.parametrize(("isdiffpos", "sign"), [("t", 1), ("1", 1), ("f", -1), ("0", -1)])
def test_a_difference_is_science_less_template(isdiffpos, sign):
    *_, difference = stamps_of(ztf(np.full((63, 63), 5.0), isdiffpos))
    assert (difference.image == 5.0 * sign).all()


def test_a_missing_a_damaged_and_a_jpeg_stamp_are_panels_that_say_so():
    jpeg = {"fileName": "x", "stampData": b"\xff\xd8\xff\xe0 jpeg"}
    damaged = {"fileName": "x", "stampData": gzip.compress(np.arange(900.0).tobytes())[:60]}
    packet = ztf(np.ones((58, 63)), cutoutScience=None, cutoutTemplate=jpeg, cutoutDifference=damaged)
    why = [stamp.why for stamp in stamps_of(packet)]
    assert "no stamp" in why[0]
    assert "JPEG" in why[1]
    assert "damaged" in why[2]
    draw(packet)


def test_pixels_without_a_value_are_masked_and_a_stamp_of_none_is_drawn(tmp_path):
    image = np.ones((63, 63))
    image[3, 3], image[4, 4] = np.nan, 1e30
    science, *_ = stamps_of(ztf(image))
    assert np.isnan(science.image).sum() == 2
    save(draw(ztf(np.full((63, 63), np.nan))), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_a_stamp_of_lsst_is_turned_by_its_matrix():
    image = np.zeros((31, 31))
    image[15, 25] = 100.0
    quarter = {"PC1_1": 0.0, "PC1_2": -0.2 / 3600, "PC2_1": 0.2 / 3600, "PC2_2": 0.0, "CRPIX1": 16.0, "CRPIX2": 16.0}
    body = fits_of(image, **quarter)
    own = {"diaSourceId": 5, "diaObjectId": 7, "midpointMjdTai": 61000.0, "band": "r", "psfFlux": 1000.0}
    packet = Packet("LSST", {"diaSource": own, "cutoutScience": body})
    science, template, _ = stamps_of(packet)
    assert np.unravel_index(np.nanargmax(science.image), science.image.shape) == (25, 15)  # +x points north
    assert science.scale == pytest.approx(0.2)
    assert template.image is None
    assert "23.90 (+)" in title_of(packet)


def test_limits_reach_the_brightest_and_are_even_for_a_difference():
    rng = np.random.default_rng(1)
    image = rng.normal(100, 1, (63, 63))
    image[30:33, 30:33] = 5000.0
    low, high = limits_of(image, difference=False)
    assert low < 101
    assert high > 105
    left, right = limits_of(image - 100, difference=True)
    assert left == -right


def test_a_picture_needs_a_known_suffix(tmp_path):
    with pytest.raises(UsageError, match="no picture"):
        save(draw(ztf(np.ones((63, 63)))), tmp_path / "x.doc")


@needs_recordings
def test_stamps_of_every_real_packet_can_be_made():
    drawn = 0
    for path in [*FIXTURES.glob("ztf_alerts/**/*.avro"), *FIXTURES.glob("ztf_avro/*.avro"), *FIXTURES.glob("lsst_alerts/[abf]*_*/*.avro")]:
        if path.name.startswith(("DC21", "skyportal_87", "3_0", "4_0", "5_0", "6_", "11290844")):
            continue
        try:
            packet = read_packet(path.read_bytes())
        except PacketError:
            continue
        stamps = stamps_of(packet)
        drawn += sum(stamp.image is not None for stamp in stamps)
        assert all(stamp.image is not None or stamp.why for stamp in stamps), path.name
    assert drawn > 350
