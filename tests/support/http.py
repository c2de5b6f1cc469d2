"""The HTTP library under the installed SDK."""

from __future__ import annotations

from typing import Any

from openai_safety_otel.instrumentation import suspended

http_library: Any = suspended.http_library()
