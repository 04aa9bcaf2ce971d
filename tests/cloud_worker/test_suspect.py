"""A suspect image is opened in a child process, which may die without taking anything along."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cloud_worker.decode import DecodeLimits
from cloud_worker.models.bundle import Bundle
from cloud_worker.opening import OpenRequest, open_image
from cloud_worker.preprocess import Prepared
from cloud_worker.refusal import Refusal
from cloud_worker.suspect import ChildLimits, open_suspect
from tests.cloud_worker.bad_images import BAD_IMAGES
from tests.cloud_worker.images import a_field, jpeg
from wire_protocol.json_messages import Reason

IMAGE_ID = "0123456789abcdef" * 2
LIMITS = ChildLimits(time_s=30.0)

#: Writing the bundle, once per run, counts as part of the first test that needs it.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def request_(resnet34_bundle: Bundle) -> OpenRequest:
    return OpenRequest(IMAGE_ID, 0.2, resnet34_bundle.card.preprocessing, DecodeLimits())


def test_a_harmless_suspect_comes_out_as_if_opened_here(request_: OpenRequest) -> None:
    data = jpeg(a_field(1, 300, 200))
    alone, here = open_suspect(data, request_, LIMITS), open_image(data, request_)
    assert alone.thumbnail == here.thumbnail
    assert isinstance(alone.prepared, Prepared)
    assert isinstance(here.prepared, Prepared)
    np.testing.assert_array_equal(alone.prepared.tiles(), here.prepared.tiles())
    np.testing.assert_array_equal(alone.prepared.weights, here.prepared.weights)


def test_a_refusal_of_the_child_is_the_same_refusal(request_: OpenRequest) -> None:
    data = BAD_IMAGES["cut_short"][0]
    assert open_suspect(data, request_, LIMITS) == open_image(data, request_)


def test_a_child_that_runs_out_of_memory_is_a_refusal(request_: OpenRequest) -> None:
    tight = ChildLimits(time_s=30.0, memory_bytes=100 * 1024**2)
    refusal = open_suspect(jpeg(a_field(2, 3000, 3000)), request_, tight).prepared
    assert isinstance(refusal, Refusal)
    # OpenCV dies of it, or says that it cannot decode: which one is a matter of the moment.
    assert refusal.reason in (Reason.CRASHES_DECODER, Reason.DECODE)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("import ctypes; ctypes.string_at(0)", "signal 11"),
        ("while True: pass", "no end within 1 s"),
        ("import sys; sys.exit('out of luck')", "out of luck"),
        ("print('{}')", "makes no sense"),
        (
            'print(\'{"thumbnail_bytes": 0, "field": [9, 9], "reason": "", "text": ""}\')',
            "makes no sense",
        ),
    ],
)
def test_a_child_that_dies_or_lies_is_a_named_refusal(
    request_: OpenRequest, tmp_path: Path, body: str, words: str
) -> None:
    script = tmp_path / "child.py"
    script.write_text(body)
    opened = open_suspect(b"", request_, ChildLimits(time_s=1.0), (sys.executable, str(script)))
    assert opened.thumbnail is None
    assert words in _expect_crash(opened.prepared)


def _expect_crash(prepared: Prepared | Refusal) -> str:
    assert isinstance(prepared, Refusal)
    assert prepared.reason is Reason.CRASHES_DECODER
    return prepared.text
