"""Errors that are said to a person as they are."""

from __future__ import annotations


class OneLineError(Exception):
    """The message is one line for the person at a terminal: no raw user, no key, no traceback needed.

    The command line prints it and ends with 1.
    """
