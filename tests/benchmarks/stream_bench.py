"""Streams: packets of ZTF from a local Kafka into a store, with loss and duplicates counted.

    python tests/benchmarks/stream_bench.py [PACKETS] [OBJECTS]

Broker, producer and consumer are three processes. The broker keeps 5 MB a partition, so the producer, which has made all packets before the clock
starts, stays at most BACKLOG packets ahead of what is stored. The clock runs from the first stored batch to the last. Every alert is of an object
that is, or becomes, a target: all of its packet is stored, the packet itself included.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

PARTITIONS, BACKLOG = 64, 1500
TOPIC = "fink_bench_ztf"


def produce(servers, count, objects):
    """Make packets, say so, and send them as the consumer goes on; it tells on standard input how many it has stored."""
    from confluent_kafka import Producer
    from made_packets import packets

    made = [(value, key) for _, value, key in packets(count, objects, large=True)]
    print("ready", flush=True)
    producer, stored = Producer({"bootstrap.servers": servers, "linger.ms": 20, "queue.buffering.max.kbytes": 1 << 20}), 0
    for number, (value, key) in enumerate(made):
        while number - stored >= BACKLOG:
            producer.poll(0)
            stored = int(sys.stdin.readline())
        producer.produce(TOPIC, value, key=key, partition=number % PARTITIONS)
        producer.poll(0)
    producer.flush()


def bench(count=10_000, objects=2_000):
    """Return what a run of `count` packets of `objects` objects took."""
    from kafka_here import kafka_here

    from harvester.alerts.streams.consumer import Troubles
    from harvester.lanes import Stop
    from harvester.listen import Ear, listen
    from harvester.store import Store

    with tempfile.TemporaryDirectory() as folder, kafka_here() as kafka, Store.open(Path(folder) / "s.db", simulated=True) as store:
        kafka.topic(TOPIC, PARTITIONS)
        command = [sys.executable, str(HERE), "produce", kafka.servers, str(count), str(objects)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as producer:
            assert producer.stdout.readline() == "ready\n"
            clock, done = [], 0

            def heard(taken):
                nonlocal done
                done += taken.alerts + len(taken.dead)
                clock.append((perf_counter(), process_time(), done))
                if producer.poll() is None:
                    producer.stdin.write(f"{done}\n")
                    producer.stdin.flush()

            config = {"bootstrap.servers": kafka.servers, "group.id": "bench"}
            ear = Ear("fink", [TOPIC], config, add=True, most=count, idle=60.0)
            report = listen(ear, store, Stop(1800), troubles=Troubles(print), heard=heard)
            producer.stdin.close()
        return _measured(store, report, clock, count)


def _measured(store, report, clock, count):
    (first, cpu_first, before), (last, cpu_last, after) = clock[0], clock[-1]
    alerts = {row["alert_id"] for row in store.alerts.alerts()}
    return {
        "packets": after,
        "packets/s (wall)": round((after - before) / (last - first)),
        "packets/s (CPU of the consumer)": round((after - before) / (cpu_last - cpu_first)),
        "points": sum(store.points().values()),
        "targets": report.targets,
        "lost": count - len(alerts) + report.lost,
        "duplicates": len(store.alerts.alerts()) - len(alerts),
        "dead": report.dead,
        "MB": round(Path(store.place).stat().st_size / 1e6),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["produce"]:
        produce(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        for name, value in bench(*map(int, sys.argv[1:])).items():
            print(f"{name:<32} {value}")
