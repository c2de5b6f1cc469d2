"""A report as one HTML file that needs no network: readable, filterable, printable."""

from openai_safety_otel.operations.page.render import render_page

__all__ = ["render_page"]
