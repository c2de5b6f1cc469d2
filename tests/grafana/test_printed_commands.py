"""The commands that alerts and dashboards print can be pasted, once what is in capitals is put in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from grafana.alert_rows import METRIC_ALERTS
from grafana.log_alert_rows import LOG_ALERTS
from openai_safety_otel.operations.cli.group import app
from support.panels import BOARDS, panels

_COMMAND = re.compile(r"`(openai-safety [^`]+)`")
_TEMPLATE = re.compile(r"{{[^}]*}}")


def printed() -> Iterator[str]:
    """Every command of an alert's text or a dashboard's note."""
    texts = [alert.description for alert in (*METRIC_ALERTS, *LOG_ALERTS)]
    texts += [
        panel["options"]["content"]
        for board in BOARDS.values()
        for panel in panels(board)
        if panel["type"] == "text"
    ]
    for text in texts:
        yield from (_TEMPLATE.sub("C-17", command) for command in _COMMAND.findall(text))


def test_alerts_and_notes_print_commands() -> None:
    """The pattern finds some of both: none at all would pass below."""
    assert {"openai-safety queue", "openai-safety notice close C-17 --by YOU --why TEXT"} <= set(printed())


@pytest.mark.parametrize("line", sorted(set(printed())))
def test_a_printed_command_lacks_nothing(line: str) -> None:
    """It names a command that exists, and gives what that command cannot do without."""
    words = shlex.split(line)[1:]
    context = click.Context(app, info_name="openai-safety")
    command: click.Command = app
    while isinstance(command, click.Group):
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command = found
    try:
        command.make_context(command.name, words)
    except click.MissingParameter:
        raise
    except click.BadParameter as error:
        assert "'FILE' does not exist" in error.message  # noqa: PT017 - what is put in is the reader's
