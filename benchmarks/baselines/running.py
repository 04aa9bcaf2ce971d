"""Starts the two ends of a way behind their links and matches what they say; sends no byte itself.

    async with open_baseline(Method.SINGLE, site) as running: ...

Images are told apart by their digest: the same image may not be under way twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.baselines.baseline import Completion, Facts, Method, Site
from benchmarks.baselines.end import FRAME
from benchmarks.baselines.way import EndSettings, usual_congestion, way_of
from benchmarks.links.link import Link
from broker_config.render import RenderedBroker
from service_runtime.boot import monotonic_ns
from service_runtime.broker_settings import BrokerSettings

#: The broker's own default limit (2.1) is 2 MB; a large image as one message is over it.
LARGE_PACKET_BYTES = 80 * 1024 * 1024
_LINE_BYTES = 1024 * 1024
_START_S = 60.0
_END_S = 20.0


class BaselineEndedError(Exception):
    """A program of the baseline ended by itself; the message has the end of its log."""


def allow_large_packets(broker: RenderedBroker, limit_bytes: int = LARGE_PACKET_BYTES) -> None:
    """Lets a rendered broker that is not started yet take images as one packet each."""
    lines = broker.config_file.read_text(encoding="utf-8").splitlines()
    changed = [
        f"max_packet_size {limit_bytes}" if line.startswith("max_packet_size ") else line
        for line in lines
    ]
    if changed == lines:
        raise ValueError(f"{broker.config_file}: no max_packet_size to change")
    broker.config_file.write_text("\n".join(changed) + "\n", encoding="utf-8")


@dataclass(slots=True)
class _UnderWay:
    completion: Completion
    sent: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Running:
    """A way between its two programs; made by `open_baseline`."""

    def __init__(self, method: Method, site: Site) -> None:
        self._method = method
        self._site = site
        self._numbers: dict[int, str] = {}
        self._under_way: dict[str, _UnderWay] = {}
        self._next_number = 1
        self._ends: dict[str, Process] = {}
        self._log = site.folder / f"{method}.log"
        self._has_ended = ""

    @property
    def facts(self) -> Facts:
        """What it does and does not."""
        return way_of(self._method).FACTS

    @property
    def pids(self) -> dict[str, int]:
        """Its processes."""
        return {name: process.pid for name, process in self._ends.items()}

    async def offer(self, image: bytes, patience_s: float = 60.0) -> Completion:
        """Sends one image, beside others under way; ends when it is complete, failed or late."""
        sha256 = hashlib.sha256(image).hexdigest()
        if sha256 in self._under_way:
            raise ValueError(f"image {sha256[:12]} is under way already")
        self._raise_if_ended()
        number, self._next_number = self._next_number, self._next_number + 1
        mine = _UnderWay(Completion(sha256, len(image), monotonic_ns()))
        self._under_way[sha256] = mine
        self._numbers[number] = sha256
        source = self._ends["sender"].stdin
        assert source is not None
        try:
            source.write(FRAME.pack(number, len(image)))
            source.write(image)
            async with asyncio.timeout(patience_s):
                await source.drain()
                await mine.done.wait()
        except TimeoutError:
            late = f"not complete in {patience_s:g} s"
            failure = mine.completion.failure or late
            return replace(mine.completion, failure=failure)
        finally:
            del self._under_way[sha256]
            del self._numbers[number]
        self._raise_if_ended()
        return mine.completion

    async def send(
        self, images: Iterable[bytes], patience_s: float = 60.0
    ) -> tuple[Completion, ...]:
        """Sends images one after another, each when the one before is complete."""
        return tuple([await self.offer(image, patience_s) for image in images])

    # --- life, for open_baseline --------------------------------------------------------------

    async def start(self) -> None:
        """Starts both ends and waits until they are ready."""
        site = self._site
        self._site.folder.mkdir(parents=True, exist_ok=True)
        settings = EndSettings(
            method=self._method,
            broker=_reached_by(site.worker, site.worker_link),
            site=site.site,
            device=site.device,
            folder=site.folder,
            listen_host=site.worker_link.inside_host,
            engine=site.engine,
            congestion=site.congestion or usual_congestion(self._method),
        )
        port = await self._start_end("receiver", "receive", site.worker_link, settings)
        sender: dict[str, object] = {"broker": _reached_by(site.edge, site.device_link)}
        sender["engine"] = None
        if port:
            exposed = site.worker_link.expose(port)
            found = site.device_link.forward(*exposed)
            sender |= {"server_host": found.host, "server_port": found.port}
        await self._start_end(
            "sender", "send", site.device_link, settings.model_copy(update=sender)
        )

    async def stop(self) -> None:
        """Ends both; the sender first, so that nothing is sent to nobody."""
        for name in ("sender", "receiver"):
            process = self._ends.get(name)
            if process is None:
                continue
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                async with asyncio.timeout(_END_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def follow(self, name: str) -> None:
        """Takes in what one end says, until it ends."""
        process = self._ends[name]
        assert process.stdout is not None
        while line := await process.stdout.readline():
            told = json.loads(line)
            if name == "sender":
                self._take_sent(told)
            else:
                self._take_kept(told)
        self._has_ended = f"{self._method}'s {name}"
        for mine in self._under_way.values():
            mine.done.set()

    async def _start_end(self, name: str, side: str, link: Link, settings: EndSettings) -> int:
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *link.command_prefix(),
                sys.executable, "-m", "benchmarks.baselines.end", side,
                stdin=PIPE, stdout=PIPE, stderr=log, limit=_LINE_BYTES,
            )  # fmt: skip
        self._ends[name] = process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(_told(settings))
        async with asyncio.timeout(_START_S):
            line = await process.stdout.readline()
        if not line:
            self._has_ended = f"{self._method}'s {name}"
            self._raise_if_ended()
        port: int = json.loads(line)["port"]
        return port

    def _take_sent(self, told: dict[str, object]) -> None:
        sha256 = self._numbers.get(int(str(told.pop("number"))))
        if sha256 is not None:
            self._note(sha256, told, sent=True)

    def _take_kept(self, told: dict[str, object]) -> None:
        told.pop("answer")
        self._note(str(told.pop("sha256")), told, sent=False)

    def _note(self, sha256: str, told: dict[str, object], *, sent: bool) -> None:
        mine = self._under_way.get(sha256)
        if mine is None:
            return  # given up as late
        known = mine.completion
        if not sent and known.stored_ns:
            return  # sent again though it had arrived: the first time counts
        mine.completion = replace(known, **told)  # type: ignore[arg-type]  # fields by their names
        mine.sent = mine.sent or sent
        stored = mine.completion.stored_ns
        if mine.sent and (stored or mine.completion.failure):
            # What arrived is complete, whatever its sender believes.
            if stored and mine.completion.failure:
                mine.completion = replace(mine.completion, failure="")
            mine.done.set()

    def _raise_if_ended(self) -> None:
        if self._has_ended:
            text = self._log.read_text(encoding="utf-8", errors="replace")
            raise BaselineEndedError(f"{self._has_ended} ended:\n{text[-4000:]}")


@contextlib.asynccontextmanager
async def open_baseline(method: Method | str, site: Site) -> AsyncIterator[Running]:
    """A way with both its programs ready; they end with the block. Raises BaselineEndedError."""
    running = Running(Method(method), site)
    followers: list[asyncio.Task[None]] = []
    try:
        await running.start()
        followers = [asyncio.create_task(running.follow(name)) for name in ("sender", "receiver")]
        yield running
    finally:
        await running.stop()
        await asyncio.gather(*followers, return_exceptions=True)


def stored_file(folder: Path, completion: Completion) -> Path:
    """Where a completed image lies."""
    return folder / completion.sha256


def _reached_by(account: BrokerSettings, link: Link) -> BrokerSettings:
    return account.model_copy(update={"host": link.host, "port": link.port})


def _told(settings: EndSettings) -> bytes:
    """One line. The password goes through the pipe: no other user can read it."""
    told = settings.model_dump(mode="json")
    told["broker"] |= {"password": settings.broker.read_password(), "password_file": None}
    return json.dumps(told).encode() + b"\n"
