"""The anonymous sessions of a person: those that were theirs alone, and those that others used too."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.moments import DAY
from openai_safety_otel.operations.store.case_questions import SESSIONS
from openai_safety_otel.operations.store.files import open_files
from openai_safety_otel.operations.store.loki import EVERYTHING, LOOK_BACK_DAYS, Loki, any_of
from openai_safety_otel.operations.store.schema import column_name

_LINKED: Final = column_name(c.IDENTIFIER_LINKED)
_WHO: Final = column_name(c.USER_HASH)


def sessions_of(forms: list[str], paths: Iterable[Path], urls: Iterable[str]) -> tuple[list[str], list[str]]:
    """The sessions linked to these identifiers in files and in Loki: (theirs alone, shared), each sorted.

    Raises:
        NoEventFilesError: a path does not exist.
        LokiError: Loki cannot be reached or refuses the query.
    """
    users: dict[str, bool] = {}
    for found in (_in_files(forms, tuple(paths)), *(_in_loki(forms, url) for url in urls)):
        for session, alone in found.items():
            users[session] = users.get(session, True) and alone
    return sorted(one for one, alone in users.items() if alone), sorted(
        one for one, alone in users.items() if not alone
    )


def _in_files(forms: list[str], paths: tuple[Path, ...]) -> dict[str, bool]:
    if not paths:
        return {}
    with open_files(paths) as events:
        return {row["session"]: row["alone"] for row in events.rows(SESSIONS, forms=forms)}


def _in_loki(forms: list[str], url: str) -> dict[str, bool]:
    until = time.time_ns()
    since = until - int(LOOK_BACK_DAYS * DAY * 1e9)

    with Loki(url) as loki:

        def links(condition: str) -> Iterable[tuple[str, str]]:
            for _, _, labels in loki.entries(f"{EVERYTHING} | {condition}", since, until):
                if labels.get(_LINKED) and labels.get(_WHO):
                    yield labels[_LINKED], labels[_WHO]

        own = {session for session, _ in links(f'{_WHO}=~{any_of(forms)} | {_LINKED}!=""')} - set(forms)
        if not own:
            return {}
        shared = {session for session, who in links(f"{_LINKED}=~{any_of(own)}") if who not in forms}
    return {session: session not in shared for session in own}
