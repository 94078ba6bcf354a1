"""Sessions: the one road to the network.

    client.py    Client: what the threads of a process share                     ask.py      one request
    session.py   Session: what is tried again, kept, shown                       body.py     a body while it arrives
    wire.py      one attempt over httpx, the only module that imports it         verdict.py  what an answer means
    bridge.py    the same road for the requests library (astroquery, pyvo)       service.py  addresses, limits, credentials
    pace.py      politeness, waiting, the clock                                  breaker.py  leaving a host alone that fails
    errand.py    remote jobs: submitted once, however many runs ask          listening.py  ending what waits for an answer

https only, always verified; http for this machine, and for a service that knows no https and is shown no credentials.
Proxies of the environment are used, but never for this machine. No cookies are kept.
"""

from harvester.session.client import Client
from harvester.session.errand import Errand, Inquiry, NotSubmitted
from harvester.session.pace import Clock, Interrupted
from harvester.session.service import Credentials, Service
from harvester.session.session import DryRun, Event, Session

__all__ = [
    "Client",
    "Clock",
    "Credentials",
    "DryRun",
    "Errand",
    "Event",
    "Inquiry",
    "Interrupted",
    "NotSubmitted",
    "Service",
    "Session",
]
