"""What has to be cited: exactly what stands behind the chosen points, and every paper with an entry that BibTeX can read."""

import re

import pytest

from harvester import cite
from harvester.cite import citations, entries, entry, reference
from harvester.source import load, registered

OURS = sorted(name for name, known in registered().items() if known.dist and known.dist.name == "harvester")
ZTF, LSST = "2019PASP..131a8003M", "2019ApJ...873..111I"


def of(*rows, named=False, releases=None):
    return citations(rows, named=named, releases=releases or {})


@pytest.fixture
def fetched(harvest):
    harvest("fetch --source gaia_dr3 --source ztf_dr --target 'RR Lyr' -q")
    harvest("fetch --source ztf_dr --target '150.25 2.25' -q")
    return harvest


@pytest.mark.parametrize("name", OURS)
def test_every_paper_of_every_source_has_an_entry(name):
    assert set(load(name).cite) <= set(entries())


def test_every_paper_of_the_surveys_that_others_pass_on_has_an_entry():
    facts = cite._facts()
    papers = [code for one in (*facts["survey"].values(), facts["software"], facts["names"]) for code in one["cite"]]
    assert papers
    assert set(papers) <= set(entries())


def test_every_survey_that_another_service_passes_on_has_papers_or_thanks():
    passed_on = {survey for name in OURS for survey in load(name).also_serves}
    assert passed_on <= set(cite._facts()["survey"])


@pytest.mark.parametrize("bibcode", sorted(entries()))
def test_an_entry_is_what_its_bibcode_says(bibcode):
    text = entry(bibcode)
    fields = dict(cite.FIELD.findall(text))
    assert text.count("{") == text.count("}")
    assert {"author", "title", "year"} <= set(fields)
    assert fields["year"] == bibcode[:4]
    assert (
        re.sub(r"[^A-Za-z]", "", fields["author"].replace(r"{\'", "")).lower().startswith(("gaiac", "astropyc"))
        or first(fields) == bibcode[-1]
    )
    assert fields.get("doi", "10.").startswith("10.")
    assert f"{fields['year']}, " in reference(bibcode)
    if fields.get("volume") and "arXiv" not in bibcode and "AAS" not in bibcode:
        assert fields["volume"] in bibcode
        assert fields["pages"].lstrip("A0").lower()[-2:] in bibcode.lower()


def first(fields):
    return re.sub(r"[^A-Z]", "", fields["author"])[0]


def test_a_broker_is_cited_with_the_surveys_that_the_points_are_of():
    alone = of(("alerce", "g(ZTF)", 3))
    assert {"2021AJ....161..242F", ZTF} <= set(alone.bibcodes)
    assert LSST not in alone.bibcodes
    assert not any("LSST" in sentence for sentence in alone.acknowledgements)
    both = of(("alerce", "g(ZTF)", 3), ("alerce", "r(LSST)", 1))
    assert {ZTF, LSST} <= set(both.bibcodes)
    assert any("Rubin" in sentence for sentence in both.acknowledgements)


def test_two_brokers_of_one_survey_are_cited_both_and_the_survey_once():
    found = of(("alerce", "g(ZTF)", 3), ("lasair", "g(ZTF)", 2))
    assert len(found.bibcodes) == len(set(found.bibcodes))
    assert {"2021AJ....161..242F", "2019RNAAS...3...26S", ZTF} <= set(found.bibcodes)
    assert len(found.acknowledgements) == len(set(found.acknowledgements))


def test_software_is_always_cited_and_the_name_service_where_it_was_asked():
    assert "2022ApJ...935..167A" in of(("gaia_dr3", "G(GAIA_DR3)", 1)).bibcodes
    assert "2000A&AS..143....9W" not in of(("gaia_dr3", "G(GAIA_DR3)", 1)).bibcodes
    assert "2000A&AS..143....9W" in of(("gaia_dr3", "G(GAIA_DR3)", 1), named=True).bibcodes


def test_without_points_there_is_nothing():
    assert of() == cite.Citations((), (), ())


def test_own_photometry_is_named_and_needs_no_paper():
    found = of(("own", "V(MY_OBS)", 5))
    assert "own photometry" in found.text()
    assert set(found.bibcodes) == set(cite._facts()["software"]["cite"])


def test_a_source_that_is_gone_is_said_and_stops_nothing():
    found = of(("vanished", "g(VANISHED)", 5), ("gaia_dr3", "G(GAIA_DR3)", 1))
    assert found.gone == ("vanished",)
    assert "2023A&A...674A...1G" in found.bibcodes


def test_a_paper_that_nobody_knows_here_is_named_by_its_address():
    assert "2020tiny.conf....1T" in entry("2020tiny.conf....1T")
    assert reference("2020tiny.conf....1T").startswith("https://ui.adsabs")


def test_the_command_prints_a_bib_file_of_exactly_these_data(fetched):
    assert fetched("cite --target '150.25 2.25'") == 0
    keys = set(re.findall(r"^@\w+\{([^,]+),", fetched.out, re.MULTILINE))
    assert ZTF in keys
    assert not any("Gaia" in line for line in fetched.out.splitlines())
    assert "2000A&AS..143....9W" not in keys
    outside = [line for line in re.sub(r"^@\w+\{.*?^\}", "", fetched.out, flags=re.MULTILINE | re.DOTALL).splitlines() if line]
    assert all(line.startswith("%") for line in outside)
    assert "simulated" in fetched.err


def test_names_that_were_looked_up_are_thanked_for(fetched):
    fetched("cite --target 'RR Lyr' --format text")
    assert "SIMBAD" in fetched.out
    assert "Gaia Collaboration et al. 2023" in fetched.out
    assert "release DR3" in fetched.out


def test_a_cut_in_filter_source_or_time_leaves_out_what_is_not_behind_it(fetched):
    fetched("cite --filter 'G(GAIA_DR3)' --json")
    (whole,) = fetched.objects
    assert [one["source"] for one in whole["data"]] == ["gaia_dr3"]
    fetched("cite --target 'RR Lyr' --until 2016-01-01 --json")
    assert [one["source"] for one in fetched.objects[0]["data"]] == ["gaia_dr3"]
    fetched("cite --target 'RR Lyr' --since 2060-01-01")
    assert fetched.out == ""
    assert "nothing to cite" in fetched.err


def test_what_is_counted_is_what_is_exported(fetched, tmp_path):
    fetched("cite --json")
    total = sum(one["points"] for one in fetched.objects[0]["data"])
    fetched(f"export -o {tmp_path / 'x.csv'}")
    assert fetched.err.startswith(f"{total} points")
