"""Other credentials than those that a simulation takes: to see what a service does with wrong or worn-out ones."""

from dataclasses import replace

import pytest

from harvester import visiting
from harvester.session import Credentials


@pytest.fixture
def shows(monkeypatch):
    """Call it with headers, params or fields (by name): every session of a run shows them."""
    usual = visiting.session_for

    def show(**shown):
        def session_for(*asked, **options):
            session = usual(*asked, **options)
            session.service = replace(session.service, credentials=Credentials(**shown))
            return session

        monkeypatch.setattr(visiting, "session_for", session_for)

    return show
