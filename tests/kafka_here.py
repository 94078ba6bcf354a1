"""A Kafka on this machine: librdkafka's mock cluster, out of the wheel of confluent-kafka, in a process of its own.

It speaks the protocol over a real TCP listener on loopback, with consumer groups, offsets and retention (5 MB a partition; older messages are
dropped, as a broker's are after some days). Nothing is on disk. Run as a program it takes commands, a line each: `topic NAME PARTITIONS`, `down`,
`up`; and answers each with `done`.
"""

import ctypes
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

PRODUCER = 0
ONLY_BROKER = 1
SOON_MS = 50


class Kafka:
    """The handle of a cluster that runs in another process."""

    def __init__(self, process):
        self._process = process
        self.servers = process.stdout.readline().strip()
        assert self.servers, "the local Kafka did not start"

    def topic(self, name, partitions=1):
        return self._say(f"topic {name} {partitions}")

    def down(self):
        return self._say("down")

    def up(self):
        return self._say("up")

    def _say(self, command):
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == "done", command


@contextmanager
def kafka_here():
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Kafka(process)
    finally:
        process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()


def library():
    """The C library within the wheel, loaded as the wheel does."""
    import confluent_kafka

    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka-*.so*")
    return ctypes.CDLL(str(path))


def serve():
    kafka, text = library(), ctypes.create_string_buffer(512)
    kafka.rd_kafka_conf_new.restype = kafka.rd_kafka_new.restype = kafka.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    kafka.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    handle = kafka.rd_kafka_new(PRODUCER, ctypes.c_void_p(kafka.rd_kafka_conf_new()), text, len(text))
    assert handle, text.value
    cluster = ctypes.c_void_p(kafka.rd_kafka_mock_cluster_new(ctypes.c_void_p(handle), 1))
    kafka.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, SOON_MS)
    print(kafka.rd_kafka_mock_cluster_bootstraps(cluster).decode(), flush=True)
    for line in sys.stdin:
        match line.split():
            case ["topic", name, partitions]:
                failed = kafka.rd_kafka_mock_topic_create(cluster, name.encode(), int(partitions), 1)
            case ["down"]:
                failed = kafka.rd_kafka_mock_broker_set_down(cluster, ONLY_BROKER)
            case ["up"]:
                failed = kafka.rd_kafka_mock_broker_set_up(cluster, ONLY_BROKER)
        print("failed" if failed else "done", flush=True)


if __name__ == "__main__":
    serve()
