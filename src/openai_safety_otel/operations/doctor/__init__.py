"""The doctor: a table of examinations, each one line or a few, that says what would silently not work."""

from __future__ import annotations

from openai_safety_otel.operations.doctor.examine import EXAMINATIONS, examine
from openai_safety_otel.operations.doctor.finding import Finding, FindingState

__all__ = ["EXAMINATIONS", "Finding", "FindingState", "examine"]
