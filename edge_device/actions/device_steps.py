"""What actions on the device itself do: report, calibration, flat field, restart; they answer nobody."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_device.actions import arguments
from edge_device.actions.instruments import ActionFailedError, Instruments
from edge_device.calibration import (
    MeasuredScale,
    effective_scale,
    load_calibration,
    save_calibration,
    undo_calibration,
)
from edge_device.calibration.making import (
    Material,
    next_calibration,
    red_cells_of,
    scale_of_fields,
    scale_to_score_at,
)
from edge_device.calibration.micrometer import scale_of_micrometer
from edge_device.flat_field import FlatField
from edge_device.gate import Scores, measure
from edge_device.outbox import DamagedError
from edge_device.outbox.rows import OutboxRow
from service_runtime.boot import wall_time


async def report(on: Instruments, _none: arguments.Nothing, _operator: str) -> dict[str, Any]:
    """The device's health, now."""
    return await on.reporter.report()


async def calibrate(on: Instruments, wanted: arguments.Calibrate, operator: str) -> dict[str, Any]:
    """Learns the gate's limits from pictures of this outbox that a person calls good or bad, and
    the scale from its red cells or a micrometer; takes the last calibration back; or, without
    arguments, reads the file again."""
    folder = on.settings.data_dir
    scale = await _measured_scale(on, wanted)
    if wanted.undo:
        calibration = await on.disk.call(lambda _outbox: undo_calibration(folder))
    elif wanted.good or wanted.bad or scale is not None:
        before, setting = on.pipeline.calibration, on.settings.um_per_px
        at = scale_to_score_at(before, scale, setting)
        made = next_calibration(
            before,
            Material(
                good={image_id: await _scores_of(on, image_id, at) for image_id in wanted.good},
                bad={image_id: await _scores_of(on, image_id, at) for image_id in wanted.bad},
                scale=scale,
                um_per_px_setting=setting,
            ),
            on.settings.gate,
            operator=operator,
            made_at=wall_time(),
        )
        await on.disk.call(lambda _outbox: save_calibration(folder, made))
        calibration = made
    else:
        calibration = await on.disk.call(lambda _outbox: load_calibration(folder))
    on.pipeline.recalibrate(calibration)
    version = 0 if calibration is None else calibration.version
    await on.audit("calibrate", operator, version=version, good=wanted.good, bad=wanted.bad)
    learned = {} if calibration is None else calibration.limits
    measured = None if calibration is None else calibration.scale
    return {
        "version": version,
        "limits": {name: limit.model_dump(mode="json") for name, limit in learned.items()},
        "gate": on.pipeline.gate.model_dump(mode="json"),
        "scale": {} if measured is None else measured.model_dump(mode="json"),
        # What holds: edge.toml wins.
        "um_per_px": effective_scale(on.settings.um_per_px, calibration),
    }


async def _measured_scale(on: Instruments, wanted: arguments.Calibrate) -> MeasuredScale | None:
    """Of the pictures that were named for it; None where none were."""
    if wanted.micrometer is not None:
        bgr, _row = await _picture(on, wanted.micrometer)
        return await asyncio.to_thread(scale_of_micrometer, bgr, wanted.division_um)
    fields = []
    for image_id in wanted.red_cells:
        bgr, _row = await _picture(on, image_id)
        fields.append(await asyncio.to_thread(red_cells_of, bgr))
    return scale_of_fields(fields) if fields else None


async def _scores_of(on: Instruments, image_id: str, um_per_px: float | None) -> Scores:
    """The scores of a picture as the gate sees it from now on; of a camera that says its own scale
    at that."""
    bgr, row = await _picture(on, image_id)
    return await asyncio.to_thread(measure, bgr, um_per_px or row.um_per_px)


async def _picture(on: Instruments, image_id: str) -> tuple[npt.NDArray[np.uint8], OutboxRow]:
    """A picture whose bytes are still here, and its row."""
    try:
        row, data = await on.disk.call(lambda outbox: (outbox.row(image_id), outbox.read(image_id)))
    except KeyError:
        raise ActionFailedError(f"image {image_id} is not in this outbox") from None
    except (OSError, DamagedError) as error:
        raise ActionFailedError(f"image {image_id}: its bytes are gone or damaged") from error
    bgr = await asyncio.to_thread(cv2.imdecode, np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ActionFailedError(f"image {image_id} cannot be read as an image")
    return np.asarray(bgr, np.uint8), row


async def flat_field_undo(
    on: Instruments, _none: arguments.Nothing, operator: str
) -> dict[str, Any]:
    """Back to the version before; learning is held."""
    flat = _flat_field(on)
    version = await on.microscope.on_thread(flat.undo)
    await on.audit("flat_field_undo", operator, version=version)
    return _flat_result(on, flat)


async def flat_field_resume(
    on: Instruments, _none: arguments.Nothing, operator: str
) -> dict[str, Any]:
    """Learns again after an undo."""
    flat = _flat_field(on)
    await on.microscope.on_thread(flat.resume)
    await on.audit("flat_field_resume", operator)
    return _flat_result(on, flat)


async def flat_field_reset(
    on: Instruments, _none: arguments.Nothing, operator: str
) -> dict[str, Any]:
    """Forgets all and learns afresh."""
    flat = _flat_field(on)
    await on.microscope.on_thread(flat.reset)
    await on.audit("flat_field_reset", operator)
    return _flat_result(on, flat)


async def restart(on: Instruments, _none: arguments.Nothing, operator: str) -> dict[str, Any]:
    """Ends the agent cleanly, a moment after this answer; it starts again."""
    await on.audit("restart", operator)
    asyncio.get_running_loop().call_later(0.2, on.restart)
    return {"restarting": True}


def _flat_field(on: Instruments) -> FlatField:
    if on.pipeline.flat_field is None:
        raise ActionFailedError("flat_field is off for this camera (flat_field.enabled)")
    return on.pipeline.flat_field


def _flat_result(on: Instruments, flat: FlatField) -> dict[str, Any]:
    on.changed()
    return asdict(flat.state)
