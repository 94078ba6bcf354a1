"""An offline stand-in for the services: a simulated sky in their own wire formats, with faults on demand.

    app.py    the WSGI callable and its services    server.py    it, on a loopback port
    sky.py    which stars there are, how bright     faults.py    what may go wrong, and how often
    counts.py how politely each host was asked      strikes.py   how a fault spoils an answer
    gaia.py, irsa.py, sesame.py, simbad.py          one service each, named after who answers

To serve:   with serve(Emulator()) as running: ...   then a service's base URL is f"{running.url}/{its real host}/".
Nothing here shares science with the harvester: an error there cannot cancel against the same error here.
"""
