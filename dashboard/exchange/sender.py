"""Sends each case that is signed, amended or withdrawn to the FHIR server of the settings; it signs nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from dashboard.accounts.roles import Actor
from dashboard.audit.book import AuditBook
from dashboard.blobs import BlobArchive
from dashboard.engine import open_engine
from dashboard.exchange.fhir_client import FhirClient
from dashboard.exchange.fhir_settings import FhirSettings
from dashboard.exchange.posting import Attempt, FhirPost
from dashboard.exchange.retrying import RetryRule
from dashboard.page.models import Models
from dashboard.page.watching import ChangeWatch
from service_runtime.log import get_log

_SENDER: Final = Actor("fhir-sender", None, address="here")
_AWAY_S: Final = 5.0


class FhirSender:
    """All methods belong to the event loop's thread."""

    def __init__(
        self,
        settings: FhirSettings,
        database_url: str,
        *,
        archive: BlobArchive,
        models: Models,
        book: AuditBook,
        watch: ChangeWatch,
    ) -> None:
        self._engine = open_engine(database_url)
        self._reader = open_engine(database_url, read_only=True)
        self._watch = watch
        self._is_stopping = False
        client = FhirClient(
            settings.url,
            timeout_s=settings.timeout_s,
            header_file=settings.header_file,
            ca_file=settings.ca_file,
        )
        self._post = FhirPost(
            client,
            engine=self._engine,
            reader=self._reader,
            archive=archive,
            models=models,
            book=book,
            rule=RetryRule(settings.attempts, settings.first_wait_s, settings.longest_wait_s),
            timeout_s=settings.timeout_s,
            version=settings.version,
        )
        self._log = get_log("dashboard")

    async def run(self) -> None:
        """Until cancelled. What was signed before the first start is not sent by itself."""
        while True:
            try:
                seen, wait_s = await self._whole(
                    asyncio.create_task(asyncio.to_thread(self._round))
                )
            except SQLAlchemyError as error:
                self._log.error("store_away", problem=type(error).__name__)
                await asyncio.sleep(_AWAY_S)
                continue
            except Exception:  # the outer edge of sending, whose mistakes must stop no page
                self._log.exception("sending_failed")
                await asyncio.sleep(_AWAY_S)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._watch.after(seen)

    async def _whole(
        self, round_: asyncio.Task[tuple[int, float | None]]
    ) -> tuple[int, float | None]:
        """Its end, also when we are told to stop: what was sent is written down."""
        try:
            return await asyncio.shield(round_)
        except asyncio.CancelledError:
            self._is_stopping = True
            await asyncio.gather(round_, return_exceptions=True)
            raise

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()
        self._reader.dispose()

    def _round(self) -> tuple[int, float | None]:
        """Sends what is due; up to which change it looked, and when something is due again."""
        seen = self._post.follow()
        for delivery in self._post.due():
            attempt = self._post.attempt(delivery.server_id, delivery.smear_case_id, _SENDER)
            if attempt is not None:
                self._tell(attempt)
            if self._is_stopping:
                break
        return seen, self._post.next_try_s()

    def _tell(self, attempt: Attempt) -> None:
        case, attempts = attempt.delivery.key.text, attempt.delivery.attempts
        if not attempt.problem:
            self._log.info("report_arrived", case=case, attempts=attempts)
        elif attempt.wait_s is not None:
            self._log.warning(
                "report_waits", case=case, problem=attempt.problem, wait_s=round(attempt.wait_s, 1)
            )
        else:
            self._log.error("report_given_up", case=case, problem=attempt.problem)
