"""What stands between an end user's call and the network: a local suspension, a filter, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openai_safety_otel.contract.record import CallRecord
from openai_safety_otel.instrumentation.evidence import last_turn
from openai_safety_otel.instrumentation.extract.endpoints import Endpoint

if TYPE_CHECKING:
    from openai_safety_otel.instrumentation.filtering import Filter
    from openai_safety_otel.instrumentation.guard import Guard
    from openai_safety_otel.ledger.suspensions.entry import ListEntry


@dataclass(slots=True)
class Gate:
    """One call's way through: `hold` raises what was decided, before any network traffic.

    Args:
        record: is told which local rule stopped the call.
        entry: the decision about this end user.
        client: makes the call; the default filter asks through it.
        texts: the user's last turn, for a filter.
        ask: the filter.
    """

    record: CallRecord
    entry: ListEntry
    client: Any
    texts: tuple[str, ...]
    ask: Filter

    def hold(self) -> None:
        """Refuse, or ask the filter.

        Raises:
            EndUserSuspended: the call must not leave the process.
        """
        self.refuse()
        if not self.ask.passes(self.client, self.texts):
            self._stop(filtered=True)

    async def hold_async(self) -> None:
        """The same for an async client."""
        self.refuse()
        if not await self.ask.passes_async(self.client, self.texts):
            self._stop(filtered=True)

    def refuse(self) -> None:
        """Refuse a suspended end user; where nothing was said yet, there is nothing to ask a filter about.

        Raises:
            EndUserSuspended: nothing must leave the process.
        """
        if self.entry.refuses:
            self._stop(filtered=False)

    def _stop(self, *, filtered: bool) -> None:
        self.record.local_block = "filtered_locally" if filtered else "suspended_locally"
        self.record.delivery = "not_sent"
        from openai_safety_otel.instrumentation.guard import refusal  # noqa: PLC0415 - loaded by now: a guard made this gate

        base = str(getattr(self.client, "base_url", "https://api.openai.com/v1"))
        raise refusal(self.entry, filtered=filtered, url=base)


def gate_for(
    guard: Guard, ask: Filter, endpoint: Endpoint, record: CallRecord, client: Any, body: Any
) -> tuple[Gate | None, bool]:
    """The gate of a call (None where it is free to go), and whether its end user is under a `watch`."""
    entry = guard.check(record.identity)
    if entry is None:
        return None, False
    if entry.action == "watch":
        return None, True
    if endpoint.passes or (endpoint.unrecorded and not entry.refuses):
        return None, False  # a filter has nothing to look at in what is not recorded
    texts = last_turn(body) if entry.action == "filter" else ()
    return Gate(record, entry, client, texts, ask), False
