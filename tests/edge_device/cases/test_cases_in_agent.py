"""Cases through the whole agent: labels and folders file the fields after them; no pixel of a label is kept or sent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2

from broker_config.local import LocalBroker
from edge_device.agent import run_edge
from edge_device.outbox import read_snapshot
from edge_device.settings import EdgeSettings
from tests.edge_device.cases.labels import View, photograph, qr_code
from tests.edge_device.conftest import MakeImages
from tests.edge_device.far_side import FarSide
from tests.edge_device.in_loop import in_loop
from wire_protocol.json_messages import Reason

MakeSettings = Callable[..., EdgeSettings]


def put_label(path: Path, text: str) -> bytes:
    """The photograph of a label among the files of a folder camera."""
    done, data = cv2.imencode(".png", photograph(qr_code(text), View(480, 360)))
    assert done
    path.write_bytes(data.tobytes())
    return data.tobytes()


async def run_to_the_end(settings: EdgeSettings) -> None:
    async with asyncio.timeout(50):
        await run_edge(settings, asyncio.Event(), exit_when_done=True)


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@in_loop
async def test_a_label_opens_the_case_of_the_fields_after_it_and_is_never_kept_or_sent(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    fields = make_images(tmp_path / "in", 6)
    labels = {
        tmp_path / "in" / "image-0000z.png": "C7F3K2",
        tmp_path / "in" / "image-0002z.png": "ANNA MEIER",
        tmp_path / "in" / "image-0004z.png": "S-0002",
    }
    shown = [put_label(path, text) for path, text in labels.items()]
    settings = edge_settings(broker, tmp_path / "in", cases={"read_codes": True})
    async with FarSide(broker).running() as far:
        await run_to_the_end(settings)
        rejections = {r.seq: r for r in far.rejections}
    rows = read_snapshot(settings.data_dir / "outbox").rows
    assert [row.seq for row in rows] == list(range(1, 10)), "a label takes its number, too"
    by_seq = {row.seq: far.manifests.get(row.image_id) for row in rows}
    assert {seq: m.case_id for seq, m in by_seq.items() if m is not None} == {
        1: "unfiled",
        3: "C7F3K2",
        4: "C7F3K2",
        6: "unfiled",
        7: "unfiled",
        9: "S-0002",
    }
    assert sorted(rejections) == [2, 5, 8]
    assert {r.reason for r in rejections.values()} == {Reason.SLIDE_LABEL}
    assert rejections[2].text == "Slide label: case opened."
    assert rejections[5].text.startswith("Slide label not usable as a case id")
    digests = {hashlib.sha256(label).hexdigest() for label in shown}
    assert {r.image_sha256 for r in rejections.values()} == digests
    assert not digests & {hashlib.sha256(sent).hexdigest() for sent in far.archive.values()}
    stored = contents(settings.data_dir)
    assert not any(label in kept for label in shown for kept in stored)
    assert not any(b"MEIER" in kept or b"image-0002z" in kept for kept in stored)
    assert len(fields) == 6


@in_loop
async def test_folders_file_their_fields(
    broker: LocalBroker, tmp_path: Path, make_images: MakeImages, edge_settings: MakeSettings
) -> None:
    paths = make_images(tmp_path / "all", 4)
    for path, folder in zip(paths, ("", "C7F3K2", "day/S-0002", "Anna Meier"), strict=True):
        (tmp_path / "in" / folder).mkdir(parents=True, exist_ok=True)
        path.rename(tmp_path / "in" / folder / path.name)
    settings = edge_settings(broker, tmp_path / "in", cases={"from_folder": True})
    async with FarSide(broker).running() as far:
        await run_to_the_end(settings)
    rows = read_snapshot(settings.data_dir / "outbox").rows
    found = {Path(row.source).name: far.manifests[row.image_id].case_id for row in rows}
    assert [found[path.name] for path in paths] == ["unfiled", "C7F3K2", "S-0002", "unfiled"]
