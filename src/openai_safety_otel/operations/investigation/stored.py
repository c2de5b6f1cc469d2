"""What the provider still stores: Responses and Chat objects by their ids, for the case file only."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.one_line import OneLineError
from openai_safety_otel.operations.investigation.context import STORED_DAYS, ContextSource, gone_or_never

_TIMEOUT_SECONDS: Final = 30.0
MOST: Final = 200  # objects fetched for one case
APIS: Final = ("responses", "chat")  # whose objects can be fetched
NOT_ASKED: Final = ContextSource(
    "stored", "not asked", "--fetch-stored N asks the provider, with --by and --why"
)


class StoredError(OneLineError, RuntimeError):
    """The provider cannot be asked at all; the message is one line."""


def fetch(
    wanted: list[dict[str, Any]],
    last_signal_ns: int | None,
    now_ns: int,
    progress: Callable[[int, int], None],
) -> ContextSource:
    """Ask the provider for the stored objects of these calls.

    Raises:
        StoredError: no client can be made, or the API key is refused.
    """
    if not wanted:
        return ContextSource(
            "stored", "absent", "no Responses or Chat call with an id lies near a block or flag"
        )
    client, items = _client(), []
    for number, row in enumerate(wanted):
        items.append(_fetch_one(client, row))
        progress(number + 1, len(wanted))
    found = [item for item in items if "object" in item]
    if not found:
        state = gone_or_never(last_signal_ns, now_ns, STORED_DAYS)
        why = f"none of {counted(len(wanted), 'id')} is stored: " + (
            f"they are older than {STORED_DAYS} days"
            if state == "expired"
            else "store was off, or it was deleted"
        )
        return ContextSource("stored", state, why, items)
    return ContextSource(
        "stored", "present", f"{len(found)} of {counted(len(wanted), 'object')} fetched", items
    )


def _client() -> Any:
    try:
        openai = importlib.import_module("openai")
        return openai.OpenAI(timeout=_TIMEOUT_SECONDS)
    except ModuleNotFoundError:
        raise StoredError("--fetch-stored needs the openai package") from None
    except openai.OpenAIError as error:
        raise StoredError(f"--fetch-stored: {_first_line(error)}") from None


def _fetch_one(client: Any, row: dict[str, Any]) -> dict[str, Any]:
    identity = {"id": row["gen_ai_response_id"], "api": row["openai_safety_api"], "time_ns": row["time_ns"]}
    openai = importlib.import_module("openai")
    try:
        return {**identity, **_read(client, identity["api"], identity["id"])}
    except openai.NotFoundError:
        return {**identity, "missing": "the provider does not store it (any more)"}
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise StoredError(f"the provider refuses the API key: {_first_line(error)}") from None
    except openai.OpenAIError as error:
        return {**identity, "missing": f"{type(error).__name__}: {_first_line(error)}"}


def _read(client: Any, api: str, identity: str) -> dict[str, Any]:
    if api == "chat":
        kept, given = client.chat.completions, client.chat.completions.messages
    else:
        kept, given = client.responses, client.responses.input_items
    found = kept.retrieve(identity)
    return {"object": _plain(found), "input": [_plain(item) for item in given.list(identity)]}


def _plain(value: Any) -> Any:
    # Not checked against the SDK's types: an object of a newer API version is kept as it is.
    return value.model_dump(mode="json", warnings=False)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
