"""Reading the case or alert behind a notice, by shape: no SDK class is relied on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

import openai

from openai_safety_otel.ledger.journal import Notice
from openai_safety_otel.operations.webhooks.notice import KINDS, identity

# What an operator has to mend: waiting a second does not help.
_LASTING = {400: "http_400", 401: "http_401", 403: "http_403", 404: "http_404"}


class StepFailedError(Exception):
    """One try of a step failed. ``reason`` is a short label; ``lasting`` means that a quick retry is vain."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting


class CaseReader:
    """Reads cases and alerts with a client of the SDK.

    Args:
        client: its key needs Safety = Read (cases) or ``api.safety.alerts.read`` (alerts).
        seconds: limit of one try, whatever the other side does.
    """

    def __init__(self, client: openai.AsyncOpenAI, *, seconds: float = 10.0) -> None:
        self._client = client.with_options(max_retries=0, timeout=seconds)
        self._seconds = seconds

    async def read(self, notice: Notice) -> Mapping[str, Any]:
        """The case or alert of a notice.

        Raises:
            StepFailedError: it could not be read this time.
        """
        path = KINDS[notice.type].path
        if path is None or identity(notice.id) is None:
            raise StepFailedError("no_such_id", lasting=True)
        try:
            answer = await asyncio.wait_for(
                self._client.get(path + quote(notice.id, safe=""), cast_to=object), self._seconds
            )
        except openai.APIStatusError as error:
            raise _status(error.status_code) from error
        except (asyncio.TimeoutError, openai.APITimeoutError) as error:
            raise StepFailedError("timeout") from error
        except openai.APIConnectionError as error:
            raise StepFailedError("connection") from error
        except (openai.OpenAIError, ValueError) as error:
            raise StepFailedError("bad_answer") from error
        if not isinstance(answer, dict):
            raise StepFailedError("bad_answer")
        return cast("Mapping[str, Any]", answer)

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()


def _status(status: int) -> StepFailedError:
    if reason := _LASTING.get(status):
        return StepFailedError(reason, lasting=True)
    return StepFailedError("http_429" if status == 429 else "http_5xx" if status >= 500 else "http_other")  # noqa: PLR2004 - well-known codes
