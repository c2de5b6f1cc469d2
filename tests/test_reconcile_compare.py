"""The comparison with the provider's count: rows of counts in, verdicts out."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from openai_safety_otel.contract.vocabulary import Verdict
from openai_safety_otel.operations.reconcile.compare import Comparison, Counted, Names, Recorded, compare

NAMES = Names({"proj_1": "Shop"}, {"key_web": "web", "key_jobs": "jobs", "key_lab": "lab"})
HELD = {"key_web": {"hash-web", "hash-web-unkeyed"}, "key_jobs": {"hash-jobs"}}


def theirs(requests: int, key: str = "key_web", model: str = "gpt-5-2025-08-07", **more: bool) -> Counted:
    return Counted("completions", "proj_1", key, model, requests, **more)


def mine(
    sure: int, doubtful: int = 0, key: str = "hash-web", model: str = "gpt-5-2025-08-07", **more: bool
) -> Recorded:
    return Recorded("completions", key, model, sure, sure + doubtful, **more)


def compared(
    counted: list[Counted], recorded: list[Recorded], *, hours: float = 24, batched: Collection[str] = ()
) -> Comparison:
    return compare(counted, recorded, since=0, until=hours * 3600, held=HELD, names=NAMES, batched=batched)


def rows(found: Comparison) -> list[tuple[str, str, int, int, int]]:
    return [(one.verdict, one.key, one.provider, one.ours, one.dark) for one in found.sources]


@pytest.mark.parametrize(
    ("provider", "sure", "doubtful", "verdict"),
    [
        (1000, 1000, 0, "matched"),
        (1000, 980, 0, "matched"),
        (1000, 979, 0, "dark"),
        (1000, 0, 0, "dark"),
        (5, 0, 0, "cannot_tell"),
        (6, 0, 0, "dark"),
        (3, 3, 0, "matched"),
        (1000, 1020, 0, "matched"),
        (1000, 1021, 0, "ours_only"),
        (0, 6, 0, "ours_only"),
        (0, 5, 0, "cannot_tell"),
        (0, 0, 50, "cannot_tell"),
        # as many as are missing were blocked or failed: the provider may count them, or others' in their place
        (1000, 500, 500, "cannot_tell"),
        (1000, 500, 479, "dark"),
        (500, 500, 500, "matched"),
    ],
)
def test_what_a_pair_of_counts_says(provider: int, sure: int, doubtful: int, verdict: Verdict) -> None:
    """Dark only where even every doubtful call of ours leaves more missing than the tolerance."""
    found = compared([theirs(provider)] if provider else [], [mine(sure, doubtful)])
    assert verdict == found.sources[0].verdict


def test_less_than_an_hour_tells_nothing() -> None:
    """However much is missing: the books are late, and a few minutes of lateness look like darkness."""
    found = compared([theirs(1000)], [], hours=0.9)
    assert [("cannot_tell", "web", 1000, 0, 0)] == rows(found)
    assert "less than an hour" == found.sources[0].why


def test_a_held_key_is_matched_by_its_hashes_and_each_row_has_its_names() -> None:
    """Calls under any of a key's hashes are that key's; the one without calls is dark, and comes first."""
    found = compared(
        [theirs(100), theirs(80, "key_jobs")],
        [mine(60), mine(40, key="hash-web-unkeyed")],
    )
    assert [("dark", "jobs", 80, 0, 80), ("matched", "web", 100, 100, 0)] == rows(found)
    assert ("Shop", "gpt-5") == (found.sources[0].project, found.sources[0].model)
    assert (180, 100, 80, 100 / 180) == (found.provider, found.ours, found.dark, found.share)


def test_a_key_that_nobody_holds_is_dark_by_name_where_no_call_can_be_its() -> None:
    """All calls of that model were made with held keys: what another key made was seen by nobody."""
    found = compared([theirs(100), theirs(70, "key_lab")], [mine(100)])
    assert [("dark", "lab", 70, 0, 70), ("matched", "web", 100, 100, 0)] == rows(found)


def test_keys_that_nobody_holds_share_what_is_recorded_under_unknown_hashes() -> None:
    """How much is dark is known, whose it is not: both names stand in one row."""
    found = compared(
        [theirs(100, "key_lab"), theirs(50, "key_old")],
        [mine(90, key="hash-x")],
    )
    assert [("dark", "key_old or lab", 150, 90, 60)] == rows(found)


def test_one_key_and_one_hash_need_no_file() -> None:
    """Where a model has one key on either side, they are the same."""
    assert [("matched", "lab", 100, 99, 0)] == rows(
        compared([theirs(100, "key_lab")], [mine(99, key="hash-x")])
    )


def test_calls_that_the_provider_does_not_know_are_named_by_their_hash() -> None:
    """Another organisation's key, or another model's calls."""
    found = compared([], [mine(50, key="hash-x", model="o3"), mine(40, key="hash-jobs")])
    assert [("ours_only", "recorded as hash-x", 0, 50, 0), ("ours_only", "jobs", 0, 40, 0)] == rows(found)


def test_a_failed_call_knows_the_alias_of_the_snapshot_that_is_counted() -> None:
    """Calls without an answer belong to the same row as those that name the snapshot."""
    found = compared([theirs(100)], [mine(90), mine(0, doubtful=10, model="gpt-5")])
    assert [("cannot_tell", "web", 100, 100, 0)] == rows(found)


def test_lines_of_a_batch_are_dark_where_nobody_here_made_one() -> None:
    """They run at the provider, apart from calls: one that was seen being made may be what is counted there."""
    counted, recorded = [theirs(100), theirs(400, batch=True)], [mine(100)]
    assert [("dark", "web", 400, 0, 400), ("matched", "web", 100, 100, 0)] == rows(
        compared(counted, recorded)
    )
    made = compared(counted, recorded, batched={"hash-web"})
    assert [("cannot_tell", "web", 400, 0, 0), ("matched", "web", 100, 100, 0)] == rows(made)
    others = compared(counted, recorded, batched={"hash-jobs"})
    assert "dark" == others.sources[0].verdict


def test_results_of_a_batch_are_compared_with_its_lines() -> None:
    """Which were read name no key, and may have run at another time."""
    read = [mine(400, key="", batch=True)]
    assert [("matched", "web", 400, 400, 0)] == rows(compared([theirs(400, batch=True)], read))
    assert [("cannot_tell", "web", 500, 400, 0)] == rows(compared([theirs(500, batch=True)], read))
    assert [("cannot_tell", "recorded as (no key)", 0, 400, 0)] == rows(compared([], read))


def test_a_ledger_that_mixes_batches_with_calls_is_dark_only_without_a_batch() -> None:
    """The provider does not say which embeddings a batch made."""
    counted = [Counted("embeddings", "proj_1", "key_web", "embed", 400)]
    assert [("dark", "web", 400, 0, 400)] == rows(compared(counted, []))
    assert [("cannot_tell", "web", 400, 0, 0)] == rows(compared(counted, [], batched={"hash-web"}))
    read = [Recorded("embeddings", "", "embed", 400, 400, batch=True)]
    assert [("cannot_tell", "web", 400, 0, 0)] == rows(compared(counted, read))
