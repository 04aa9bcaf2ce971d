"""The other side of `benchmarks.handoff`: paho as it is, one QoS 1 message per image, in two forms.

Bare: from memory to the subscriber's callback, and nothing else. With the same duties: read from a
disk and its digest checked, checked again by the receiver, put into the same archive durably, and
answered by a message. Both are tuned as far as paho goes: TCP_NODELAY at both ends, as many on
their way as serve it best, paho's loop on a thread that does nothing else, puts on threads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Semaphore
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cloud_worker.archive import Archive
from service_runtime.boot import boot_id, monotonic_ns, new_id, wall_time
from service_runtime.broker_settings import BrokerSettings
from wire_protocol.manifest import ContentType, Manifest

DEVICE = "plain-1"
#: Below the worker's part of the topics, where a device may publish and a worker may read.
_WORKER = "plain"
#: What each message begins with: an id, and the digest of what follows.
_ID_BYTES, _HEAD_BYTES = 16, 48


@dataclass(frozen=True, slots=True)
class Sent:
    """One round at one end: moments by image, and what it cost."""

    at_ns: dict[bytes, int]
    cpu_s: float


def _client(broker: BrokerSettings, name: str, topic: str) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5
    )
    client.username_pw_set(broker.username, broker.read_password())
    client.max_inflight_messages_set(0)  # the benchmark keeps the window itself
    client.on_socket_open = _no_delay
    subscribed = threading.Event()

    def subscribe(*_: object) -> None:
        client.subscribe(topic, qos=1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    if not subscribed.wait(10):
        raise RuntimeError(f"{name}: no SUBACK in 10 s")
    return client


def _no_delay(_client: object, _userdata: object, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def publisher_process(
    pipe: Connection, broker: BrokerSettings, folder: Path, arrived: Semaphore
) -> None:
    """Obeys ("fill", images, size), ("bare", window), ("careful", window) and ("end",).

    Both answer with the start of each image and the CPU time; `careful` also with their ends.
    """
    client = _client(broker, "plain-device", f"{broker.root}/transfer/{DEVICE}")
    stored_ns: dict[bytes, int] = {}

    def stored(_client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        stored_ns[bytes(message.payload)] = monotonic_ns()
        arrived.release()

    client.on_message = stored
    topic = f"{broker.root}/ingest/{_WORKER}/{DEVICE}"
    images: list[tuple[bytes, bytes]] = []
    pipe.send("ready")
    while True:
        order, *values = pipe.recv()
        if order == "fill":
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            images = [_new_image(folder, os.urandom(values[1])) for _ in range(values[0])]
            pipe.send("filled")
        elif order in ("bare", "careful"):
            (window,) = values
            stored_ns.clear()
            ready = [] if order == "careful" else [_read(folder, *image) for image in images]
            started_ns: dict[bytes, int] = {}
            cpu_s = time.process_time()
            for number, (name, digest) in enumerate(images):
                if number >= window:
                    arrived.acquire()
                started_ns[name] = monotonic_ns()
                payload = ready[number] if ready else _read(folder, name, digest)
                client.publish(topic, payload, qos=1)
            for _ in range(min(window, len(images))):
                arrived.acquire()
            pipe.send((Sent(started_ns, time.process_time() - cpu_s), dict(stored_ns)))
        else:
            break
    client.disconnect()
    client.loop_stop()


def _new_image(folder: Path, content: bytes) -> tuple[bytes, bytes]:
    name, digest = os.urandom(_ID_BYTES), hashlib.sha256(content).digest()
    (folder / name.hex()).write_bytes(content)
    return name, digest


def _read(folder: Path, name: bytes, digest: bytes) -> bytes:
    content = (folder / name.hex()).read_bytes()
    if hashlib.sha256(content).digest() != digest:
        raise RuntimeError("an image changed on the disk")
    return name + digest + content


def subscriber_process(pipe: Connection, broker: BrokerSettings, arrived: Semaphore) -> None:
    """Obeys ("take", images, archive folder or None) and ("end",); without an archive it is bare.

    Answers "waiting", and then with the end of each image and the CPU time.
    """
    taken_ns: dict[bytes, int] = {}
    wanted = 0
    take: Callable[[bytes], None] | None = None
    all_here = threading.Event()

    def message_came(_client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)  # paho's own object: nothing is copied
        if take is not None:
            threads.submit(take, payload)
            return
        done(payload[:_ID_BYTES])
        arrived.release()

    def done(name: bytes) -> None:
        taken_ns[name] = monotonic_ns()
        if len(taken_ns) == wanted:
            all_here.set()

    client = _client(broker, "plain-worker", f"{broker.root}/ingest/{_WORKER}/+")
    client.on_message = message_came
    pipe.send("ready")
    with ThreadPoolExecutor(4) as threads:
        while True:
            order, *values = pipe.recv()
            if order != "take":
                break
            taken_ns.clear()
            all_here.clear()
            wanted, folder = values
            take = None if folder is None else _storing(client, broker, folder, done)
            cpu_s = time.process_time()
            pipe.send("waiting")
            if not all_here.wait(120):
                raise RuntimeError(f"{len(taken_ns)} of {wanted} images arrived in 120 s")
            pipe.send(Sent(dict(taken_ns), time.process_time() - cpu_s))
    client.disconnect()
    client.loop_stop()


def _storing(
    client: paho.Client, broker: BrokerSettings, folder: Path, done: Callable[[bytes], None]
) -> Callable[[bytes], None]:
    """What the receiver does with a message where it has the same duties."""
    archive = Archive(str(folder), _WORKER)
    outbox_id = new_id()

    def take(payload: bytes) -> None:
        name, digest = payload[:_ID_BYTES], payload[_ID_BYTES:_HEAD_BYTES]
        content = memoryview(payload)[_HEAD_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise RuntimeError("an image changed on its way")
        manifest = Manifest(
            image_id=name.hex(),
            outbox_id=outbox_id,
            seq=1,
            sha256=digest.hex(),
            size_bytes=len(content),
            content_type=ContentType.JPEG,
            width_px=1440,
            height_px=900,
            captured_at=wall_time(),
            clock_synced=True,
            captured_ns=monotonic_ns(),
            boot_id=boot_id(),
        )
        archive.put("lab", DEVICE, manifest, content)
        client.publish(f"{broker.root}/transfer/{DEVICE}", name, qos=1)
        done(name)

    return take
