"""The program of either end of a way: `python -m benchmarks.baselines.end send|receive`, for `running` only.

Its first line of input are its settings. To the sender images follow, each after its number and
length; either end answers with lines of JSON. It ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from dataclasses import asdict

from benchmarks.baselines.storing import Keeper, Kept
from benchmarks.baselines.way import EndSettings, Sending, way_of
from service_runtime.boot import monotonic_ns
from service_runtime.log import configure_logging

#: Number and length of the image that follows.
FRAME = struct.Struct("<II")
_BUFFER_BYTES = 8 * 1024 * 1024


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_BUFFER_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


async def _receive(settings: EndSettings, source: asyncio.StreamReader) -> None:
    def kept(image: Kept) -> None:
        _say(**asdict(image))

    keeper = Keeper(settings.folder, settings.engine, kept)
    try:
        async with way_of(settings.method).receiving(settings, keeper).running() as port:
            _say(ready=True, port=port)
            await source.read()
    finally:
        keeper.close()


async def _send(settings: EndSettings, source: asyncio.StreamReader) -> None:
    end = way_of(settings.method).sending(settings)
    async with end.running():
        _say(ready=True, port=0)
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                number, size = FRAME.unpack(await source.readexactly(FRAME.size))
                image = await source.readexactly(size)
                task = asyncio.create_task(_one(end, number, image))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        except asyncio.IncompleteReadError:
            for task in list(under_way):
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)


async def _one(end: Sending, number: int, image: bytes) -> None:
    started_ns = monotonic_ns()
    sent = await end.send(image)
    _say(number=number, started_ns=started_ns, **asdict(sent))


async def main(side: str) -> None:
    """Runs one end until its input ends."""
    source = await _input()
    settings = EndSettings.model_validate_json(await source.readline())
    await (_send if side == "send" else _receive)(settings, source)


if __name__ == "__main__":
    configure_logging("error")
    asyncio.run(main(sys.argv[1]))
