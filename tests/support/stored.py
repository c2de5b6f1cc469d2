"""What Loki holds of a load, against the ledger of what was sent."""

from __future__ import annotations

from collections import Counter

from stack import query, traffic
from stack.programs import Running


def difference(loki: Running, service: str, ledger: traffic.Ledger) -> tuple[Counter[tuple[str, str]], ...]:
    """Calls of the ledger that are not stored, and stored ones that are not in the ledger, once that settles."""

    def stored() -> Counter[tuple[str, str]]:
        return query.distinct_calls(loki.url, service)[0]

    query.until(lambda: stored() == ledger.calls, timeout=90)
    found = stored()
    return ledger.calls - found, found - ledger.calls


EQUAL: tuple[Counter[tuple[str, str]], ...] = (Counter(), Counter())


def said(agent: Running) -> str:
    """The end of a collector's log, without its complaints about the store of traces, which no test here runs."""
    return "\n".join(line for line in agent.log.splitlines() if '"grpc_log"' not in line)[-3000:]
