"""`harvest plot` on an emulated sky: what a user types and gets."""

import json
import re
from itertools import pairwise

import pytest

FETCH = "fetch -q --source gaia_dr3 --source ztf_dr --target 'RR Lyr'"


@pytest.fixture
def sky(harvest):
    assert harvest(FETCH) == 0
    return harvest


def test_the_true_period_of_rr_lyrae_is_found_and_its_level_said(sky, tmp_path):
    assert sky(f"plot --target 'RR Lyr' --fold auto -o {tmp_path / 'x.png'}") == 0
    found = float(re.search(r"period ([\d.]+) d", sky.err).group(1))
    assert found == pytest.approx(0.56686776, abs=2e-6)
    assert "false-alarm level" in sky.err
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_a_program_gets_the_period_as_json(sky, tmp_path):
    assert sky(f"plot --target 'RR Lyr' --fold auto --filter 'G(GAIA_DR3)' --json -o {tmp_path / 'x.svg'}") == 0
    (told,) = sky.objects
    assert told["period"] == pytest.approx(0.56686776, abs=1e-5)
    assert told["false_alarm"] < 1e-6
    assert told["points"] > 20
    assert told["simulated"] is True


def test_the_terminal_shows_phases(sky):
    assert sky("plot --target 'RR Lyr' --fold 0.56686776 --filter 'g(ZTF_DR)'") == 0
    lines = sky.out.splitlines()
    assert lines[0].endswith("period 0.56686776 d  SIMULATED")
    assert any(re.fullmatch(r" +0 +0\.25 +0\.5 +0\.75 +1 .*2", line) for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.slow
def test_several_targets_are_drawn_one_after_the_other_and_one_that_cannot_is_a_warning(sky, tmp_path):
    assert sky("fetch -q --source gaia_dr3 --target 'bet Per'") == 0
    assert sky("fetch -q --source gaia_dr3 --target '180 45'") == 0
    assert sky("plot --target 'RR Lyr' --target 'bet Per' --target '180 45'") == 0
    assert re.findall(r"magnitude  (.*?)  ", sky.out) == ["RR Lyr", "bet Per"]
    assert sky.err.count("warning:") == 1
    assert sky(f"plot --target 'RR Lyr' --target 'bet Per' -o {tmp_path / 'x.pdf'}") == 0
    assert (tmp_path / "x.pdf").read_bytes().count(b"/Type /Page ") == 2
    assert sky(f"plot --target '180 45' -o {tmp_path / 'y.png'}") == 1
    assert not (tmp_path / "y.png").exists()


def test_a_page_tells_of_every_point_the_run_and_the_payload(sky, tmp_path):
    assert sky(f"plot --target 'RR Lyr' --filter 'G(GAIA_DR3)' -o {tmp_path / 'x.html'}") == 0
    text = (tmp_path / "x.html").read_text("utf-8")
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.DOTALL).group(1))
    columns = data[0]["lines"][0]["columns"]
    assert columns["run"]["words"] == [1]
    assert columns["source"]["words"] == ["gaia_dr3"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", word) for word in columns["payload"]["words"])
    assert data[0]["simulated"] is True


def test_since_and_until_and_the_offset_of_filters_are_obeyed(sky):
    assert (
        sky("plot --target 'RR Lyr' --since 2019-01-01 --until 2020-01-01 --offset-filters --filter 'g(ZTF_DR)' --filter 'r(ZTF_DR)'") == 0
    )
    first, last = (float(text) for text in re.search(r"MJD ([\d.]+) to ([\d.]+)", sky.out).groups())
    assert 58484 <= first < last < 58849
    assert "magnitude + offset" in sky.out
    assert re.search(r"\(ZTF_DR\) \+ \d", sky.out)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--fold never", "is no period"),
        ("--fold 0", "is none"),
        ("--fold 0.5 --compress-gaps", "has no gaps"),
        ("-o x.gif", "is no picture"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_anything_is_read(harvest, words, why):
    assert harvest(f"plot --target 'RR Lyr' {words}") == 2
    assert why in harvest.err
    assert len(harvest.err.splitlines()) <= 3


@pytest.mark.slow
def test_compressed_gaps_bring_the_seasons_together(sky, tmp_path):
    wide, close = tmp_path / "wide.html", tmp_path / "close.html"
    sky(f"plot --target 'RR Lyr' -o {wide}")
    sky(f"plot --target 'RR Lyr' --compress-gaps -o {close}")
    pieces = [json.loads(re.search(r'"pieces":(\[\[.*?\]\])', path.read_text("utf-8")).group(1)) for path in (wide, close)]
    assert len(pieces[0]) == 1
    assert len(pieces[1]) > 1
    assert all(later[0] - later[2] > earlier[1] - earlier[2] for earlier, later in pairwise(pieces[1]))
