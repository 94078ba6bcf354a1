"""The simulated sky, and the application that serves it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from harvester import healpix
from harvester.emulator import chance
from harvester.emulator.app import Emulator
from harvester.emulator.server import serve
from harvester.emulator.sky import VOID, Sky, position, separation
from harvester.emulator.stars import famous

ARCSEC = 1 / 3600
PASSBANDS = ("G", "BP", "RP", "g", "r", "i")
NAMED = [star for star in famous() if star.name]
EMULATOR = Path(__file__).parents[1] / "src" / "harvester" / "emulator"


@pytest.fixture(scope="module")
def sky():
    return Sky()


def star(sky, name):
    (found,) = sky.named(name)
    return found


def test_a_sky_is_the_same_in_another_process():
    code = (
        "from harvester.emulator.sky import Sky; s = Sky(); import json;"
        "print(json.dumps([[x.gaia_id, x.ra, x.kind, float(s.magnitude(x, 'G', 2457000.5)), float(s.noise(x, 'G', 7))]"
        " for x in s.stars_near(10.684, 41.27, 0.03)]))"
    )
    one, two = (subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout for _ in range(2))
    assert one == two
    assert len(json.loads(one)) > 3


def test_the_order_of_questions_does_not_matter():
    first, second = Sky(), Sky()
    places = [(10.0, 20.0), (200.3, -5.0), (359.9999, 0.0001)]
    forwards = [first.stars_near(*place, 0.02) for place in places]
    backwards = [second.stars_near(*place, 0.02) for place in reversed(places)]
    assert forwards == backwards[::-1]


def test_another_seed_is_another_field_but_the_same_famous_stars():
    one, two = Sky(1), Sky(2)
    assert one.stars_near(10.0, 20.0, 0.05) != two.stars_near(10.0, 20.0, 0.05)
    assert one.named("RR Lyr") == two.named("RR Lyr")


@pytest.mark.parametrize("place", [(0.0, 0.0), (123.456789, 12.3456), (359.99999, -29.9), (77.7, 89.9), (250.1, -75.2)])
def test_there_is_a_star_at_any_position_asked(sky, place):
    nearest, *_ = sky.stars_near(*place, 1.0 * ARCSEC)
    assert sky.by_gaia_id(nearest.gaia_id) == nearest


def test_hosts_are_of_every_kind(sky):
    kinds = {sky.stars_near(ra, 10.0, ARCSEC)[0].kind for ra in np.arange(0.1, 60.0, 0.5)}
    assert kinds == {"constant", "rrlyr", "cepheid", "mira", "eclipsing", "contact", "supernova", "microlensing", "outburst"}


def test_the_void_is_empty(sky):
    ra, dec, radius = VOID
    assert sky.stars_near(ra, dec, 0.9 * radius) == []
    assert sky.stars_near(ra, dec + 1.5 * radius, ARCSEC)


def test_a_wide_cone_holds_the_narrow_ones_of_the_field(sky):
    wide = {s.gaia_id for s in sky.stars_near(150.0, 30.0, 0.15)}
    narrow = {s.gaia_id for s in sky.stars_near(150.05, 30.05, 0.03) if s.gaia_id & 3 != 1}
    assert narrow
    assert narrow < wide


def test_a_cone_has_its_edge_where_it_is_asked(sky):
    found = sky.stars_near(150.0, 89.5, 0.2)
    distances = separation([s.ra for s in found], [s.dec for s in found], 150.0, 89.5)
    assert 0.19 < distances.max() <= 0.2001
    assert 200 < len(found) < 450  # 2,400 per square degree


@pytest.mark.parametrize("one", NAMED, ids=lambda s: s.name)
def test_every_famous_star_has_a_neighbour_at_two_to_four_arcsec(sky, one):
    place = [float(angle) for angle in position(one, 2016.0)]
    near = [s for s in sky.stars_near(*place, 4.1 * ARCSEC, epoch=2016.0) if s != one]
    assert near
    assert 1.9 * ARCSEC < separation(*position(near[0], 2016.0), *place) < 4.1 * ARCSEC


def test_there_are_at_least_24_real_stars_with_references():
    real = [s for s in NAMED if s.reference != "simulated"]
    assert len(real) >= 24
    assert all(s.reference for s in NAMED)


def test_all_ids_are_different_and_fit_into_63_bits():
    ids = [s.gaia_id for s in famous()]
    assert len(set(ids)) == len(ids)
    assert all(0 < number < 2**63 for number in ids)


@pytest.mark.parametrize("name", ["RR Lyr", "Proxima", "del Cep", "V404 Cyg"])
def test_a_gaia_id_says_where_the_star_is(sky, name):
    one = star(sky, name)
    assert separation(*healpix.centre_of(12, one.gaia_id >> 35), *position(one, 2016.0)) < ARCSEC * 60
    assert sky.by_gaia_id(one.gaia_id) == one


@pytest.mark.parametrize("number", [0, -1, 5, 2**63 - 1, 4295806720, 12 << 59])
def test_an_id_of_no_star_is_nobody(sky, number):
    assert sky.by_gaia_id(number) is None


@pytest.mark.parametrize(
    "written", ["RR Lyr", "rr lyr", "V* RR Lyr", "RRLyr", "NAME RR Lyrae", "  rr   LYRAE ", "HD 182989", "Gaia DR3 2125982599343482624"]
)
def test_a_name_may_be_written_in_many_ways(sky, written):
    assert star(sky, written).name == "V* RR Lyr"


@pytest.mark.parametrize("written", ["del Cep", "delta Cep", "δ Cep", "* del Cep", "Delta Cephei", "V* del Cep"])
def test_greek_letters_may_be_written_in_many_ways(sky, written):
    assert star(sky, written).name == "* del Cep"


def test_an_ambiguous_name_has_several_stars_and_an_unknown_one_none(sky):
    assert len(sky.named("SIM Twins")) == 2
    assert sky.named("XX Nowhere") == sky.named("") == sky.named("Gaia DR3 17") == sky.named("Gaia DR3 seventeen") == []


def test_barnards_star_has_left_its_place_of_2000(sky):
    one = star(sky, "Barnard's star")
    assert one in sky.stars_near(one.ra, one.dec, 5 * ARCSEC)
    assert sky.stars_near(one.ra, one.dec, 5 * ARCSEC, epoch=2016.0) == []
    assert separation(*position(one, 2016.0), one.ra, one.dec) == pytest.approx(16 * 10.3933 * ARCSEC, rel=1e-4)


def test_positions_agree_with_astropys_space_motion(sky):
    from astropy import units
    from astropy.coordinates import SkyCoord
    from astropy.time import Time

    one = star(sky, "Barnard's star")
    speed = units.mas / units.yr
    start = SkyCoord(
        one.ra * units.deg,
        one.dec * units.deg,
        1000 / one.parallax * units.pc,
        pm_ra_cosdec=one.pmra * speed,
        pm_dec=one.pmdec * speed,
        obstime=Time(2000.0, format="jyear"),
    )
    moved = start.apply_space_motion(new_obstime=Time(2025.0, format="jyear"))
    assert separation(*position(one, 2025.0), moved.ra.deg, moved.dec.deg) < 1e-3 * ARCSEC


@pytest.mark.parametrize("one", [s for s in NAMED if s.period], ids=lambda s: s.name)
def test_a_periodic_star_repeats_about_its_mean(sky, one):
    times = one.epoch + one.period * np.linspace(0, 1, 4001)[:-1]
    for passband in PASSBANDS:
        now, later = (sky.magnitude(one, passband, times + cycles * one.period) for cycles in (0, 50))
        assert np.allclose(now, later, atol=0.01 * one.amplitude)
        assert now.mean() == pytest.approx(one.mean[passband], abs=0.01)
    assert np.ptp(sky.magnitude(one, "G", times)) == pytest.approx(one.amplitude, rel=0.01)


def test_a_pulsating_star_is_brightest_and_a_binary_faintest_at_its_epoch(sky):
    for name, worst in (("RR Lyr", np.argmin), ("Algol", np.argmax)):
        one = star(sky, name)
        magnitudes = sky.magnitude(one, "G", one.epoch + one.period * np.linspace(-0.5, 0.5, 101))
        assert worst(magnitudes) == 50


def test_a_supernova_is_dark_before_and_fades_after(sky):
    one = star(sky, "SN SIM 2021a")
    before, peak, later = sky.magnitude(one, "r", one.epoch + np.array([-30.0, 0.0, 40.0]))
    assert np.isinf(before)
    assert peak == one.mean["r"]
    assert later > peak + 2


def test_microlensing_has_no_colour_and_the_height_asked(sky):
    one = star(sky, "ULENS SIM 1")
    rises = [sky.magnitude(one, band, one.epoch) - sky.magnitude(one, band, one.epoch + 3000.0) for band in PASSBANDS]
    assert rises == pytest.approx([-one.amplitude] * 6, abs=1e-4)


def test_noise_is_normal_and_belongs_to_its_epoch(sky):
    one = star(sky, "RR Lyr")
    many = sky.noise(one, "G", np.arange(20000))
    assert abs(many.mean()) < 0.03
    assert many.std() == pytest.approx(1.0, abs=0.02)
    assert sky.noise(one, "G", [7, 11]).tolist() == many[[7, 11]].tolist()
    assert sky.noise(one, "BP", 7) != many[7]


def test_chance_knows_its_keys_apart():
    assert chance.uniform("a", "b") != chance.uniform("b", "a")
    assert chance.uniform(1, [2, 3]).shape == (2,)
    many = chance.uniform("coin", np.arange(20000))
    assert 0 <= many.min() < many.max() < 1
    assert np.histogram(many, 10)[0] == pytest.approx([2000] * 10, rel=0.1)


@pytest.mark.parametrize("level", [0, 1, 4, 12, 18])
def test_healpix_pixels_hold_their_centres(level):
    pixels = np.arange(12 << 2 * level) if level < 5 else (chance.uniform("pixel", np.arange(20000)) * (12 << 2 * level)).astype(int)
    assert (healpix.pixel_at(level, *healpix.centre_of(level, pixels)) == pixels).all()


def test_healpix_agrees_with_the_ids_of_gaia():
    assert healpix.pixel_at(12, 291.3663, 42.7843) == 2125982599343482624 >> 35
    assert healpix.pixel_at(12, 217.39, -62.676) == 5853498713190525696 >> 35


def test_the_emulator_shares_no_science_with_the_harvester():
    for module in EMULATOR.glob("*.py"):
        text = module.read_text(encoding="utf-8")
        for shared in ("harvester.times", "harvester.brightness", "harvester.passbands", "harvester.sources", "harvester.schema"):
            assert shared not in text, f"{module.name} mentions {shared}"


@pytest.fixture(scope="module")
def emulator():
    return Emulator()


@pytest.fixture(scope="module")
def url(emulator):
    with serve(emulator) as running:
        yield running.url


def ask(url, **options):
    with urllib.request.urlopen(urllib.request.Request(url, **options), timeout=20) as answer:
        return answer.status, answer.headers, answer.read()


def test_a_service_answers_with_and_without_its_host(url):
    path = "/cgi-bin/nph-sesame/-oI/A?RR%20Lyr"
    assert ask(url + path)[2].split(b"#====")[0] == ask(f"{url}/cds.unistra.fr{path}")[2].split(b"#====")[0]


def test_head_has_the_length_and_no_body(url):
    path = f"{url}/irsa.ipac.caltech.edu/cgi-bin/ZTF/nph_light_curves?ID=1&FORMAT=CSV"
    _, headers, body = ask(path, method="HEAD")
    assert body == b""
    assert headers["Content-Length"] == str(len(ask(path)[2]))


def test_an_unknown_path_is_404_and_says_which_there_are(url):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(f"{url}/nowhere")
    with caught.value as error:
        assert error.code == 404
        assert "/irsa.ipac.caltech.edu/cgi-bin/ZTF/nph_light_curves" in error.read().decode()


def test_a_path_of_another_host_is_404(url):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(f"{url}/irsa.ipac.caltech.edu/cgi-bin/nph-sesame/A?Mira")
    with caught.value as error:
        assert error.code == 404


def test_a_method_that_a_service_lacks_is_405(url):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(f"{url}/cgi-bin/ZTF/nph_light_curves?ID=1", method="DELETE")
    with caught.value as error:
        assert error.code == 405
        assert error.headers["Allow"] == "GET, HEAD, POST"


def test_requests_are_recorded_with_forms_and_repeats(url, emulator):
    emulator.requests.clear()
    ask(f"{url}/cgi-bin/ZTF/nph_light_curves?ID=1", data=b"ID=2&FORMAT=CSV")
    assert emulator.requests == [("POST", "/cgi-bin/ZTF/nph_light_curves", (("ID", "1"), ("ID", "2"), ("FORMAT", "CSV")))]


def test_a_connection_serves_many_requests(url):
    import http.client

    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    for _ in range(3):
        connection.request("GET", "/cgi-bin/nph-sesame/A?Mira")
        answer = connection.getresponse()
        assert answer.status == 200
        answer.read()
        assert not answer.will_close
    connection.close()


def test_the_server_listens_on_loopback_alone(url):
    assert url.startswith("http://127.0.0.1:")


def test_a_taken_port_is_an_error(url):
    with pytest.raises(OSError, match="in use"), serve(Emulator(), int(url.rpartition(":")[2])):
        pass


def test_the_application_works_in_process_too():
    import httpx

    with httpx.Client(transport=httpx.WSGITransport(app=Emulator()), base_url="http://emulator") as http:
        answer = http.get("/cds.unistra.fr/cgi-bin/nph-sesame/-oI/SNV?Mira")
    assert "%I.0 * omi Cet" in answer.text


def test_the_users_settings_of_astropy_are_left_as_they_were():
    from astropy.utils import data, iers

    from harvester.emulator.almanac import offline

    def settings():
        return iers.conf.auto_download, iers.conf.auto_max_age, iers.conf.iers_degraded_accuracy, data.conf.allow_internet

    before = settings()
    with offline():
        assert settings() == (False, None, "ignore", False)
    assert settings() == before
