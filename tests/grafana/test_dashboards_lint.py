"""The dashboard-linter's rules, without exclusions, and the drill-down from overview to trace."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

import pytest
import yaml

from grafana.names import COLLECTOR_METRICS, every_series
from support.interpolate import interpolate, windows
from support.panels import BOARDS, ROOT, Query, panels, queries

ALL_PANELS = [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]
QUERIES = queries()
METRIC_QUERIES = [query for query in QUERIES if query.kind == "prometheus"]
LOG_QUERIES = [query for query in QUERIES if query.kind == "loki"]
UNITS = {
    "none",
    "short",
    "locale",
    "percentunit",
    "s",
    "bytes",
    "dtdurations",
    "dateTimeFromNow",
    "time:DD MMM HH:mm",
}
# Whether a receiver reports at all is read from the presence of its series, not from their values.
PRESENCE = {"Are we in danger?", "Webhook receivers"}
SERIES = every_series() | COLLECTOR_METRICS

each_board = pytest.mark.parametrize("name", sorted(BOARDS))
each_panel = pytest.mark.parametrize(
    ("name", "panel"), ALL_PANELS, ids=lambda x: x if isinstance(x, str) else x["title"]
)
each_metric_query = pytest.mark.parametrize("query", METRIC_QUERIES, ids=str)
each_log_query = pytest.mark.parametrize("query", LOG_QUERIES, ids=str)


def _variables(board: dict[str, Any], kind: str = "") -> dict[str, dict[str, Any]]:
    return {v["name"]: v for v in board["templating"]["list"] if not kind or v["type"] == kind}


def _selectors(expr: str) -> list[tuple[str, str]]:
    return re.findall(r"\b([a-z_][a-z0-9_]*)\{([^}]*)\}", expr)


# --- the linter's rules for dashboards ---------------------------------------------------------------------


@each_board
def test_template_datasource(name: str) -> None:
    """Each data source is a variable named and labelled after its kind."""
    found = {v["name"]: (v["query"], v["label"]) for v in _variables(BOARDS[name], "datasource").values()}
    assert found
    assert found == {
        f"{kind}_datasource": (kind, f"{kind.title()} data source") for kind, _ in found.values()
    }


@each_board
@pytest.mark.parametrize("variable", ["job", "instance"])
def test_template_job_and_instance(name: str, variable: str) -> None:
    """A dashboard on Prometheus has both, as multi-select queries whose choice of all is `.+`."""
    board = BOARDS[name]
    if "prometheus_datasource" not in _variables(board):
        assert [query for query in METRIC_QUERIES if query.board == name] == []
        return
    made = _variables(board)[variable]
    facts = (made["type"], made["label"], made["multi"], made["allValue"], made["datasource"]["uid"])
    assert facts == ("query", variable.title(), True, ".+", "${prometheus_datasource}")


@each_board
def test_template_label_query(name: str) -> None:
    """Variables ask for a label of a selector, nothing else."""
    wrong = [
        v["query"]
        for v in _variables(BOARDS[name], "query").values()
        if not re.fullmatch(r"label_values\(\{[^{}]+\}, [a-z_]+\)", v["query"])
    ]
    assert wrong == []


@each_board
def test_template_reloads_on_time_change(name: str) -> None:
    """Choices follow the time range."""
    assert {v["refresh"] for v in _variables(BOARDS[name], "query").values()} == {2}


@each_board
def test_uneditable(name: str) -> None:
    """Nobody edits a provisioned dashboard by hand."""
    assert BOARDS[name]["editable"] is False


@each_board
def test_title_uid_and_description(name: str) -> None:
    """Each dashboard has a title, a description and a UID after its file."""
    board = BOARDS[name]
    assert board["title"]
    assert board["description"]
    assert board["uid"] == f"openai-safety-{name}"


@each_board
def test_every_variable_is_used_and_every_use_is_a_variable(name: str) -> None:
    """No choice without effect, and no query that reads a variable the dashboard lacks."""
    board = BOARDS[name]
    text = json.dumps({key: value for key, value in board.items() if key != "templating"})
    chains = json.dumps(board["templating"])
    unused = [v for v in _variables(board) if not re.search(rf"\$\{{?{v}\b", unquote(text) + chains)]
    assert unused == []
    values = dict.fromkeys(_variables(board), "x") | windows(instant=False, span="1h", step="1m")
    for query in QUERIES:
        if query.board == name:
            assert "$" not in interpolate(query.target["expr"], values)


# --- for panels --------------------------------------------------------------------------------------------


@each_panel
def test_panel_title_and_description(name: str, panel: dict[str, Any]) -> None:
    """Each panel says what it shows."""
    assert panel["title"]
    assert panel["description"].endswith((".", "!"))


@each_panel
def test_panel_datasource_and_targets(name: str, panel: dict[str, Any]) -> None:
    """A panel with data has targets, all of one templated data source; none is empty."""
    if panel["type"] in {"text", "alertlist"}:
        assert not panel.get("targets")
        return
    assert panel["targets"]
    assert all(target["expr"].strip() for target in panel["targets"])
    uids = {target["datasource"]["uid"] for target in panel["targets"]} | {panel["datasource"]["uid"]}
    assert uids <= {"${prometheus_datasource}", "${loki_datasource}"}
    assert len(uids) == 1


@each_panel
def test_panel_units(name: str, panel: dict[str, Any]) -> None:
    """Every number has a unit that Grafana knows."""
    if panel["type"] not in {"text", "alertlist"}:
        used = [panel["fieldConfig"]["defaults"]["unit"]]
        for override in panel["fieldConfig"].get("overrides", []):
            used += [p["value"] for p in override["properties"] if p["id"] == "unit"]
        assert set(used) <= UNITS


@each_board
def test_titles_are_unique(name: str) -> None:
    """Two panels of one dashboard never share a title."""
    titles = [panel["title"] for panel in panels(BOARDS[name])]
    assert len(titles) == len(set(titles))


@each_board
def test_panels_do_not_overlap(name: str) -> None:
    """Each cell of the grid belongs to one panel, and none is outside it."""
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARDS[name]["panels"]:
        at = panel["gridPos"]
        x, y = at.get("x", 0), at.get("y", 0)
        assert x + at["w"] <= 24
        for cell in ((a, b) for a in range(x, x + at["w"]) for b in range(y, y + at["h"])):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


def test_missing_data_is_never_called_0() -> None:
    """A number without data says so in words."""
    said = {
        panel["title"]: panel["fieldConfig"]["defaults"]["noValue"]
        for _, panel in ALL_PANELS
        if panel["type"] == "stat"
    }
    assert said
    assert [title for title, words in said.items() if not words or "0" in words] == []


# --- for targets -------------------------------------------------------------------------------------------


@each_metric_query
def test_target_job_and_instance(query: Query) -> None:
    """Every selector is narrowed by job and instance, and every metric has a selector."""
    expr = query.target["expr"]
    for name, matchers in _selectors(expr):
        assert ('job=~"$job"' in matchers, 'instance=~"$instance"' in matchers) == (True, True), name
    naked = [name for name in re.findall(r"\b[a-z_][a-z0-9_]*\b(?!\{)", expr) if name in SERIES]
    assert naked == []


@each_metric_query
def test_target_rate_interval(query: Query) -> None:
    """Rates use `$__rate_interval`; no other window is fixed."""
    assert set(re.findall(r"\[([^\]]+)\]", query.target["expr"])) <= {"$__rate_interval", "$__range"}
    assert re.findall(r"\birate\b", query.target["expr"]) == []
    assert re.findall(r"\brate\([^\[]+\[(?!\$__rate_interval\])", query.target["expr"]) == []


@each_metric_query
def test_target_counter_aggregation(query: Query) -> None:
    """Counters are read through rate or increase only."""
    expr = query.target["expr"]
    counters = re.findall(r"(\w*\(?)((?:openai_safety|gen_ai)_\w+_total)\{", expr)
    raw = [name for before, name in counters if before not in {"rate(", "increase("}]
    assert raw == (["openai_safety_webhooks_total"] if query.panel in PRESENCE else [])


@each_log_query
def test_target_logql_auto(query: Query) -> None:
    """Windows over log lines are `$__auto`."""
    assert set(re.findall(r"\[([^\]]+)\]", query.target["expr"])) <= {"$__auto"}


@each_log_query
def test_target_logql_selects_streams(query: Query) -> None:
    """Each query names the streams it reads, and the fewest that hold its answer where that is cheap."""
    assert re.search(r'openai_safety_stream=~?"', query.target["expr"])


# --- the drill-down ----------------------------------------------------------------------------------------


def _links(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for panel in panels(BOARDS[name]):
        for override in panel.get("fieldConfig", {}).get("overrides", []):
            for one in override["properties"]:
                if one["id"] == "links":
                    found.setdefault(panel["title"], []).extend(link["url"] for link in one["value"])
    return found


def test_overview_leads_to_the_identifier() -> None:
    """Each list of identifiers opens the Identifier dashboard for the one that was clicked."""
    links = _links("overview")
    lists = {
        "Because of whom?",
        "Most enforcement blocks",
        "Most flagged inputs",
        "Possible holds",
    }
    assert {
        title for title, urls in links.items() if any("/d/openai-safety-identifier?" in u for u in urls)
    } == lists
    assert all(any("var-identifier=${__value.raw}" in url for url in links[title]) for title in lists)


def test_a_notice_leads_to_the_page_of_whom_it_concerns() -> None:
    """The row says which: a person's notice opens theirs, any other the overview, never an empty page."""
    links = _links("overview")["Notices"]
    assert [url.partition("?")[0] for url in links if "/d/" in url] == ["/d/${__data.fields.Page}"]
    (panel,) = (one for one in panels(BOARDS["overview"]) if one["title"] == "Notices")
    hidden = [
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if {"id": "custom.hideFrom.viz", "value": True} in override["properties"]
    ]
    assert hidden == ["Page"]


@each_panel
def test_identifiers_are_short_and_whole_in_links(name: str, panel: dict[str, Any]) -> None:
    """Whatever column holds an identifier shows its first 12 characters, and leads on with all of it."""
    for override in panel.get("fieldConfig", {}).get("overrides", []):
        properties = {one["id"]: one["value"] for one in override["properties"]}
        if override["matcher"]["options"] in {"Identifier", "Session"} and "links" in properties:
            shown = [one["options"] for one in properties["mappings"]]
            assert shown == [{"pattern": r"^(\S{12})\S{4,}$", "result": {"text": "$1…"}}]
            assert all("${__value.raw}" in link["url"] for link in properties["links"])


@each_panel
def test_counts_have_an_interval_that_can_be_seen(name: str, panel: dict[str, Any]) -> None:
    """What is drawn over time asks for a bounded number of points, never for less than its source renews."""
    if panel["type"] in {"timeseries", "heatmap"}:
        assert (panel["maxDataPoints"], panel["interval"]) in {(60, "1m"), (60, "5m")}


@each_board
def test_each_board_marks_what_happened_beside_the_numbers(name: str) -> None:
    """Notices and decisions, and releases of this package where metrics are read."""
    marked = [one["name"] for one in BOARDS[name]["annotations"]["list"]]
    assert marked == ["Notices", "Decisions"] + ["Releases"] * (name != "identifier")


def test_identifier_leads_to_traces() -> None:
    """A call's trace id opens that trace in the trace store that was chosen."""
    *lines, url = _links("identifier")["Calls that were not simply completed"]
    assert len(lines) == 2
    pane = json.loads(unquote(url.partition("panes=")[2]))["safety"]
    assert pane["datasource"] == "${tempo_datasource}"
    assert pane["queries"] == [{"refId": "A", "queryType": "traceql", "query": "${__value.raw}"}]


def test_provisioned_sources_link_lines_to_traces_and_back() -> None:
    """A log line opens its trace, a span its log lines; evidence is a source of its own tenant."""
    text = (ROOT / "grafana" / "provisioning" / "datasources" / "openai-safety.yaml").read_text()
    sources = {one["uid"]: one for one in yaml.safe_load(text)["datasources"]}
    (derived,) = sources["openai-safety-loki"]["jsonData"]["derivedFields"]
    assert (derived["matcherRegex"], derived["datasourceUid"]) == ("trace_id", "openai-safety-tempo")
    back = sources["openai-safety-tempo"]["jsonData"]["tracesToLogsV2"]
    assert back["datasourceUid"] == "openai-safety-loki"
    tenants = {
        uid: sources[uid]["secureJsonData"]["httpHeaderValue1"]
        for uid in sources
        if "secureJsonData" in sources[uid]
    }
    assert tenants == {"openai-safety-loki": "safety", "openai-safety-evidence": "safety-evidence"}


def test_provisioning_uses_no_form_grafana_does_not_know() -> None:
    """Grafana replaces `${NAME}` but knows no default in it: such a form would end as an empty address."""
    files = list((ROOT / "grafana" / "provisioning").rglob("*.yaml"))
    assert len(files) == 2
    assert [path.name for path in files if re.search(r"(?<!\$)\$\{?\w*:-", path.read_text())] == []


@each_board
def test_each_board_leads_back_and_to_the_runbook(name: str) -> None:
    """From everywhere to the other dashboards, back to the overview, and to the runbook."""
    links = {link["title"]: link for link in BOARDS[name]["links"]}
    assert {"Safety dashboards", "Runbook"} <= set(links)
    assert name == "overview" or links["Safety overview"]["url"] == "/d/openai-safety-overview"
