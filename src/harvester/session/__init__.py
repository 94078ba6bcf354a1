"""Sessions: the one road to the network.

    client.py    Client and Session: what is tried again, kept, shown           ask.py      one request
    wire.py      one attempt over httpx, the only module that imports it        body.py     a body while it arrives
    bridge.py    the same road for the requests library (astroquery, pyvo)      verdict.py  what an answer means
    pace.py      politeness, waiting, the clock                                 service.py  addresses, limits, credentials

https only, always verified; http for this machine alone. Proxies of the environment are used, but never for this machine. No cookies are
kept.
"""

from harvester.session.client import Client, DryRun, Event, Session
from harvester.session.pace import Clock, Interrupted
from harvester.session.service import Credentials, Service

__all__ = ["Client", "Clock", "Credentials", "DryRun", "Event", "Interrupted", "Service", "Session"]
