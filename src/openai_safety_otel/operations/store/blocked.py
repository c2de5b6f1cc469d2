"""When stored calls say that the provider blocked an identifier: one condition, for every question."""

from __future__ import annotations

from typing import Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.settings import OPENAI_HOSTS
from openai_safety_otel.operations.store.schema import column_name, quoted

# So many requests of one identifier say it by their wording before it is believed.
SEVERAL: Final = 3
# A gateway may answer so for an identifier of its own: the provider was not given this one.
_KNOWN: Final = (
    f"(coalesce(nullif({column_name(c.IDENTIFIER_DELIVERY)}, ''), 'sent') = 'sent' "
    f"OR {column_name(c.OPERATION_NAME)} = 'fetch_response')"
)
_IS_BLOCK: Final = f"({column_name(c.BLOCK_TYPE)} = 'identifier_blocked' AND {_KNOWN})"
_WORDED: Final = f"coalesce({column_name(c.BLOCK_CERTAINTY)}, '') = 'text'"
_OWN_HOST: Final = f"{column_name(c.SERVER_ADDRESS)} IN ({', '.join(map(quoted, OPENAI_HOSTS))})"
# Of a group of calls: a code, type, shape or param says it once, or the provider's own hosts say it in words often.
BLOCKED: Final = (
    f"(count(*) FILTER (WHERE {_IS_BLOCK} AND NOT {_WORDED}) > 0 "
    f"OR count(*) FILTER (WHERE {_IS_BLOCK} AND {_WORDED} AND {_OWN_HOST}) >= {SEVERAL})"
)


def is_certain(row: dict[str, object]) -> bool:
    """Whether one stored call says it with more than its wording."""
    return row[column_name(c.BLOCK_TYPE)] == "identifier_blocked" and (
        row[column_name(c.BLOCK_CERTAINTY)] != "text"
    )
