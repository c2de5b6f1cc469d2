"""The HTTP library under the installed SDK: httpx2 from 3.0 on, httpx before."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

http_library: Any = importlib.import_module("httpx2" if importlib.util.find_spec("httpx2") else "httpx")
