"""Computing: from an answer to each target's share, here, and in a process beside this one as soon as answers come faster than they are read.

All threads of a process share one interpreter: one that computes keeps those that listen, and the one that writes, from theirs. The process beside
gets the name of the source, the question and the payloads, and gives back the shares. Whatever it cannot do (a payload that is malformed, a bug of
a source, a source that it does not find, its own death) is done again here, so that a failure looks the same wherever it was met first.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from harvester.delivery import Shared, deliver
from harvester.payload import Payload
from harvester.source import Source, load

if TYPE_CHECKING:
    from harvester.task import Task

__all__ = ["Beside", "Compute", "here", "serve"]

Compute = Callable[["Task", Source, Sequence[Payload]], Shared]
"""What makes shares of an answer. Raises SourceError, and whatever a source raises."""

FEW, PATIENCE_S = 20, 0.1
"""After so many answers, one that has waited so long for its turn here has the process beside begun: that takes half a second, and 100 MB."""
LARGEST = 64 << 20
"""Bytes of an answer that are handed over; one that is larger is read where it is."""
COMPUTING = Lock()
"""Held while a thread computes here: more than one at a time only take the interpreter from one another."""
CHILD = (
    "import sys; from multiprocessing.connection import Connection; pipe = Connection(int(sys.argv[1])); sys.path[:], levels = pipe.recv(); "
    "from harvester.computing import serve; serve(pipe, levels)"
)
LOGGERS = ("", "harvester")
NOTHING = pickle.dumps((None, []))

log = logging.getLogger(__name__)


def here(task: Task, source: Source, payloads: Sequence[Payload]) -> Shared:
    """Compute in this thread."""
    with COMPUTING:
        return deliver(source, payloads).shared(task.query)


class Beside:
    """Computes here, and in one process beside this one once an answer had to wait; safe for threads, a context manager.

    A machine with one core is left to this process. The one beside is not begun again when it is gone, and ends when this one does.
    """

    def __init__(self) -> None:
        self._beginning = Lock()
        self._process: _Process | None = None
        self._ready, self._over = False, len(os.sched_getaffinity(0)) < 2
        self._answers = count(1)

    def __call__(self, task: Task, source: Source, payloads: Sequence[Payload]) -> Shared:
        """Return each target's share of an answer (see `Compute`)."""
        small = sum(len(payload.body) for payload in payloads) <= LARGEST
        found = self._there(task, payloads) if small and (self._ready or self._begun()) else None
        return found or here(task, source, payloads)

    def __enter__(self) -> Self:
        Thread(target=pa.array, args=([None],)).start()  # imports pandas, if it is there, while the first answers are awaited
        return self

    def __exit__(self, *_: object) -> None:
        self._ready, self._over = False, True
        if self._process:
            self._process.kill()

    def _begun(self) -> bool:
        """Whether this thread has begun the process, because it waited in vain; it is the first to use it."""
        if next(self._answers) <= FEW or self._process or self._over:
            return False
        if COMPUTING.acquire(timeout=PATIENCE_S):
            COMPUTING.release()
            return False
        with self._beginning:
            if self._process or self._over:
                return False
            try:
                self._process = _Process()
            except OSError as error:
                self._lost(error)
            return self._process is not None

    def _there(self, task: Task, payloads: Sequence[Payload]) -> Shared | None:
        """Return the shares as the process beside has them; None if it has none, or if something cannot travel."""
        assert self._process
        try:
            question = pickle.dumps((task.source, task.query, payloads), pickle.HIGHEST_PROTOCOL)
            found, said = pickle.loads(self._process.ask(question))  # noqa: S301 - it is our own
        except (OSError, EOFError) as error:
            self._lost(error)
            return None
        except Exception as error:  # noqa: BLE001 - whatever an outsider's values do when they are pickled
            log.debug("%s is read here: %s", task.source, error)
            return None
        self._ready = not self._over
        for record in said:
            logging.getLogger(record.name).handle(record)
        return found if isinstance(found, Shared) else None

    def _lost(self, error: Exception) -> None:
        self._ready = False
        if not self._over:
            self._over = True
            log.warning("the process that computes is gone (%s); this one goes on alone", error or type(error).__name__)


class _Process:
    """The process beside, and the way to it. Signals of a terminal do not reach it: what is under way is finished."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            command, keep = [sys.executable, "-P", "-c", CHILD, str(theirs.fileno())], [theirs.fileno()]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=keep, process_group=0)  # noqa: S603 - ourselves
        self._pipe.send((sys.path, {name: logging.getLogger(name).level for name in LOGGERS}))
        self._asking, self._last = Lock(), Event()
        self._last.set()

    def ask(self, question: bytes) -> bytes:
        """Return what it answers; threads are answered in the order in which they asked. Raises OSError or EOFError when it is gone."""
        mine = Event()
        with self._asking:
            self._pipe.send_bytes(question)
            before, self._last = self._last, mine
        before.wait()
        try:
            return self._pipe.recv_bytes()
        finally:
            mine.set()

    def kill(self) -> None:
        """End it: it keeps nothing. Who still waits for an answer hears that it is gone."""
        self._process.kill()
        self._process.wait()


def serve(pipe: Connection[Any, Any], levels: dict[str, int]) -> None:
    """Be the process beside: answer until the other end is closed. What is logged here goes there."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    said: SimpleQueue[logging.LogRecord] = SimpleQueue()
    logging.getLogger().addHandler(QueueHandler(said))
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    with suppress(OSError, EOFError):
        while True:
            pipe.send_bytes(_answer(pipe.recv_bytes(), said))


def _answer(question: bytes, said: SimpleQueue[logging.LogRecord]) -> bytes:
    """Return the shares, and what was said over them; nothing for whatever goes wrong: it will go wrong there as well, and be told."""
    try:
        name, query, payloads = pickle.loads(question)  # noqa: S301 - it is our own
        found = deliver(load(name), payloads).shared(query)
        return pickle.dumps((found, _taken(said)), pickle.HIGHEST_PROTOCOL)
    except BaseException:  # noqa: BLE001 - an outsider's code may raise anything
        _taken(said)
        return NOTHING


def _taken(said: SimpleQueue[logging.LogRecord]) -> list[logging.LogRecord]:
    return [said.get() for _ in range(said.qsize())]
