"""Every number that the two machines obey, with its default; docs/protocol.md shows the same table."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from wire_protocol.manifest import MAX_IMAGE_BYTES, MAX_SIDE_PX
from wire_protocol.messages import (
    MAX_CHUNK_BYTES,
    MAX_INQUIRY_IDS,
    MAX_PREVIEW_BYTES,
    MIN_CHUNK_BYTES,
)


class SenderSettings(BaseModel):
    """Timers, window and bounds of one device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    offer_wait_s: float = Field(0.3, gt=0, description="least wait for the answer to an offer")
    offer_wait_rtts: float = Field(4.0, ge=1, description="the same, in round trips")
    offer_wait_max_s: float = Field(5.0, gt=0, description="the wait doubles up to this")
    busy_max_s: float = Field(
        2.0, gt=0, description="the pause after Busy doubles up to this, or what Busy asks for"
    )
    probe_after_s: float = Field(0.2, gt=0, description="least silence before a Probe")
    probe_after_rtts: float = Field(3.0, ge=1, description="the same, in round trips")
    stored_probe_s: float = Field(1.0, gt=0, description="first Probe after the last byte arrived")
    resume_wait_s: float = Field(2.0, gt=0, description="least wait for the old worker after a cut")
    resume_wait_rtts: float = Field(8.0, ge=1, description="the same, in round trips")
    stored_wait_s: float = Field(30.0, gt=0, description="complete without Stored: inquire")
    reoffer_after_s: float = Field(
        30.0, gt=0, description="only an unknown this long after Stored makes a re-offer"
    )
    inquire_after_s: float = Field(
        5.0, ge=0, description="a stored image is not asked about before this age, but on connect"
    )
    inquiry_first_s: float = Field(5.0, gt=0, description="first pause between inquiries")
    inquiry_max_s: float = Field(300.0, gt=0, description="the pause doubles up to this")
    inquiry_ids: int = Field(MAX_INQUIRY_IDS, ge=1, le=MAX_INQUIRY_IDS)
    answer_wait_s: float = Field(5.0, gt=0, description="an inquiry without answer is over")
    retry_first_s: float = Field(0.25, gt=0, description="pause after the third failed attempt")
    retry_max_s: float = Field(30.0, gt=0, description="that pause doubles up to this")
    backoff_first_s: float = Field(5.0, gt=0, description="pause after a re-offer or Mismatch")
    backoff_max_s: float = Field(300.0, gt=0, description="that pause doubles up to this")
    window_s: float = Field(
        0.2, gt=0, description="in flight: rate x least RTT, and rate x this or two chunks"
    )
    window_first_bytes: int = Field(32 * 1024, ge=MIN_CHUNK_BYTES, description="before a rate")
    chunk_s: float = Field(0.1, gt=0, description="a chunk is about this much of the link")
    chunk_first_bytes: int = Field(16 * 1024, ge=MIN_CHUNK_BYTES, le=MAX_CHUNK_BYTES)
    chunk_least_bytes: int = Field(
        8 * 1024,
        ge=MIN_CHUNK_BYTES,
        le=MAX_CHUNK_BYTES,
        description="on slow links too: each costs some 130 bytes of headers and answers",
    )
    chunk_max_bytes: int = Field(64 * 1024, ge=MIN_CHUNK_BYTES, le=MAX_CHUNK_BYTES)
    inline_bytes: int = Field(
        24 * 1024, ge=0, le=MAX_CHUNK_BYTES, description="rides in the offer on any link"
    )
    preview_after_s: float = Field(
        2.0, gt=0, description="an image that needs longer is offered with a preview"
    )
    preview_bytes: int = Field(
        MAX_PREVIEW_BYTES, ge=0, le=MAX_PREVIEW_BYTES, description="of a preview; 0: none are sent"
    )
    preview_first_bytes: int = Field(
        12 * 1024, ge=0, description="the same, before a rate: what TCP sends in its first flight"
    )
    preview_share: int = Field(8, ge=1, description="a preview is at most this part of its image")
    preview_tries: int = Field(2, ge=1, description="offers of one image that carry its preview")
    control_slots: int = Field(2, ge=1, description="of the Receive Maximum, kept from chunks")
    claimed_transfers: int = Field(2, ge=1, description="offered or claimed, bytes left to send")
    inline_offers: int = Field(2, ge=1, description="unanswered offers that hold their bytes")
    stored_offers: int = Field(2, ge=1, description="unfinished offers without bytes")
    unfinished_attempts: int = Field(12, ge=4, description="all attempts, complete ones included")
    suspect_after: int = Field(2, ge=1, description="vanished workers that make an image suspect")


class ReceiverSettings(BaseModel):
    """Bounds and timers of one worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool_bytes: int = Field(256 * 1024 * 1024, ge=64 * 1024, description="all images in memory")
    device_pool_bytes: int = Field(128 * 1024 * 1024, ge=64 * 1024, description="of one device")
    transfers: int = Field(512, ge=1, description="images in memory, whatever their state")
    device_transfers: int = Field(64, ge=1, description="of one device")
    max_image_bytes: int = Field(MAX_IMAGE_BYTES, ge=1, le=MAX_IMAGE_BYTES)
    max_side_px: int = Field(MAX_SIDE_PX, ge=1, le=MAX_SIDE_PX)
    max_chunk_bytes: int = Field(MAX_CHUNK_BYTES, ge=MIN_CHUNK_BYTES, le=MAX_CHUNK_BYTES)
    grant_bytes: int = Field(
        1024 * 1024, ge=MIN_CHUNK_BYTES, description="how far a limit runs ahead of the bytes"
    )
    lease_s: float = Field(7.5, gt=0, le=3600, description="without Chunk or Probe: no more grants")
    partial_s: float = Field(600.0, gt=0, description="then the partial bytes are kept this long")
    age_s: float = Field(3600.0, gt=0, description="no transfer lasts longer")
    progress_s: float = Field(0.02, ge=0, description="a Progress waits at most this long")
    progress_chunks: int = Field(2, ge=1, description="or for this many chunks")
    busy_retry_s: float = Field(0.2, ge=0, le=3600, description="Busy: the pool is full")
    unready_retry_s: float = Field(5.0, ge=0, le=3600, description="Busy: archive or model ill")
    draining_retry_s: float = Field(0.1, ge=0, le=3600, description="Busy: another worker will")
    answers_s: float = Field(20.0, gt=0, description="last words are repeated this long")
    answers: int = Field(1024, ge=1, description="and at most this many are remembered")
