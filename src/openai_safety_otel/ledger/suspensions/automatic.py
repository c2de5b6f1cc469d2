"""The automatic entry: the provider blocked this identifier, or blocked too many of its calls in a while."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from openai_safety_otel.contract.counted import counted
from openai_safety_otel.contract.record import Outcome
from openai_safety_otel.ledger.journal.entries import Decision
from openai_safety_otel.ledger.suspensions.store import SuspensionStore

SUSPEND_SECONDS = 72 * 3600.0
BY = "openai-safety (automatic)"
_COUNT = re.compile(r"([1-9][0-9]*)/([1-9][0-9]*)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AutoRule:
    """When a block suspends its end user. ``blocks`` 0 counts none; ``window`` is in seconds."""

    on_provider: bool = False
    blocks: int = 0
    window: float = 0.0

    @classmethod
    def parse(cls, text: str) -> AutoRule | None:
        """Read the setting; a wrong value is one log line and means ``off``: no mistake keeps an app from starting."""
        try:
            return cls.read(text)
        except ValueError as error:
            _log.warning("OPENAI_SAFETY_AUTO_SUSPEND is ignored: %s", error)
            return None

    @classmethod
    def read(cls, text: str) -> AutoRule | None:
        """Read ``off``, ``provider``, ``N/SECONDS``, or both joined by a comma.

        Raises:
            ValueError: it is none of these.
        """
        rule = cls()
        for part in (word.strip().lower() for word in text.split(",")):
            if part == "provider":
                rule = cls(True, rule.blocks, rule.window)
            elif found := _COUNT.fullmatch(part):
                rule = cls(rule.on_provider, int(found[1]), float(found[2]))
            elif part != "off":
                raise ValueError("expected off, provider or N/SECONDS")
        return rule if rule.on_provider or rule.blocks else None

    def concerns(self, outcome: Outcome) -> bool:
        """Whether this outcome counts at all: enforcement only, by its code, its shape or its param.

        Never a filter, our own refusal or the organization's loss of access, and nothing that is known by its
        wording alone, or by the pattern of a code that nobody knows yet.
        """
        if outcome.certainty == "text" or outcome.block_type == "other_policy":
            return False
        if outcome.block_type == "identifier_blocked":
            return True
        return self.blocks > 0 and outcome.block_class == "enforcement"


@dataclass(frozen=True, slots=True)
class AutoEntry:
    """One block, judged away from the call path. ``at`` is when it happened, in Unix seconds.

    ``decide`` carries a decision out; ``made`` keeps it for another try where the list could not be written.
    """

    rule: AutoRule
    identifier: str
    outcome: Outcome
    at: float
    decide: Callable[[Decision, SuspensionStore], object]
    made: list[Decision] = field(default_factory=list)

    def __call__(self, source: SuspensionStore) -> None:
        """Suspend the end user if the rule says so and nothing stronger is decided already."""
        if not self.made:
            self.made.extend(self._decisions(source))
        if not self.made:
            return
        current = source.look_up([self.identifier]).get(self.identifier)
        if current is None or not current.refuses:
            self.decide(self.made[0], source)

    def _decisions(self, source: SuspensionStore) -> Iterator[Decision]:
        rule, now = self.rule, time.time()
        if rule.on_provider and self.outcome.block_type == "identifier_blocked":
            # The provider's block has no end, so ours has none.
            yield self._suspended("the provider answered identifier_blocked", now, None)
        elif rule.blocks:
            count = source.count_block(self.identifier, now=self.at, window=rule.window)
            if count >= rule.blocks:
                why = f"{counted(count, 'enforcement block')} in {rule.window:.0f} s"
                yield self._suspended(why, now, now + SUSPEND_SECONDS)

    def _suspended(self, why: str, at: float, until: float | None) -> Decision:
        return Decision(
            identifier=self.identifier,
            action="suspend",
            by=BY,
            why=why,
            at=at,
            until=until,
            details={"automatic": True},
        )
