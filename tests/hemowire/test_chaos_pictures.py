"""The chaos run's pictures are what they are called: only those that are to be refused are refused."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_device.gate import GateSettings, judge, measure
from hemowire.chaos.pictures import UM_PER_PX, Look, Picture, draw_pictures
from wire_protocol.json_messages import Reason
from wire_protocol.machine_settings import SenderSettings


def pixels_of(picture: Picture) -> npt.NDArray[np.uint8]:
    """Decoded, which is all that a device keeps of it."""
    pixels = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return np.asarray(pixels, np.uint8)


def refusal_of(picture: Picture) -> Reason | None:
    """What the shipped gate says of it."""
    scores = measure(pixels_of(picture), UM_PER_PX)
    refusal = judge(scores, GateSettings(duplicates="off")).refusal
    return None if refusal is None else refusal.reason


@pytest.mark.parametrize("seed", [1, 3, 21])
def test_the_gate_refuses_blurred_pictures_and_no_others(seed: int) -> None:
    pictures = list(draw_pictures(seed, 40))
    for picture in pictures:
        if picture.look not in (Look.BROKEN, Look.DEADLY):
            refusal = refusal_of(picture)
            assert (refusal is not None) == (picture.look is Look.BLURRED), (picture.name, refusal)
    assert {picture.look for picture in pictures} == set(Look) - {Look.DEADLY}


def test_no_two_pictures_have_the_same_pixels() -> None:
    pictures = [p for p in draw_pictures(4, 200) if p.look is not Look.BROKEN]
    pixels = {pixels_of(picture).tobytes() for picture in pictures}
    assert len(pixels) == len(pictures)


def test_small_pictures_ride_in_the_offer_and_large_ones_do_not() -> None:
    most = SenderSettings().inline_bytes
    for picture in draw_pictures(2, 40):
        if picture.look is Look.SMALL:
            assert len(picture.content) <= most
        elif picture.look is Look.LARGE:
            assert len(picture.content) > most
