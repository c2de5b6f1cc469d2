"""LogQL, one function per question: everything about single identifiers, keys and first occurrences.

Events are structured metadata in Loki, so they are filtered with ``| name="value"``. Windows are ``$__auto``
on dashboards (the range of an instant query, the step of a graph) and fixed in rules.
"""

from __future__ import annotations

from dataclasses import replace

from grafana import names
from grafana.colours import LEFT, RANKED
from grafana.names import BY, COMPLETED, DECISION, NOTABLE
from grafana.scope import Match, Scope, equal, none_of, one_of, present
from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract import vocabulary

AUTO = "$__auto"
USER = names.field(c.USER_HASH)
MODEL = names.field(c.REQUEST_MODEL)
API_KEY = names.field(c.API_KEY_ID)
BLOCKED = equal(c.OUTCOME, "blocked")
ENFORCED = equal(c.BLOCK_CLASS, "enforcement")
IDENTIFIED = present(c.USER_HASH)
CATEGORY = names.field(c.CATEGORY)
SAFETY = (NOTABLE,)
TOP = 10


def by_kind() -> str:
    """What a call is shown as: a block by its class, a flagged call that completed as flagged, others by outcome."""
    block, outcome = f".{names.field(c.BLOCK_CLASS)}", f".{names.field(c.OUTCOME)}"
    either = " ".join(f'(eq .{names.field(c.FLAGGED[direction])} "true")' for direction in c.DIRECTIONS)
    said = (
        f"{{{{ if {block} }}}}{{{{ {block} }}}}"
        f'{{{{ else if and (eq {outcome} "completed") (or {either}) }}}}flagged'
        f'{{{{ else if or (eq {outcome} "abandoned") (eq {outcome} "cancelled") }}}}{LEFT}'
        f"{{{{ else }}}}{{{{ {outcome} }}}}{{{{ end }}}}"
    )
    ranks = "{{ else ".join(f'if eq .kind "{key}" }}}}{ranked}' for key, ranked in RANKED.items())
    return f"| label_format kind=`{said}` | label_format kind=`{{{{ {ranks}{{{{ end }}}}`"


def before(ago: str) -> str:
    """The same span, this long ago."""
    return f"{AUTO} offset {ago}"


def count(lines: str, window: str, by: str) -> str:
    """How many lines, by fields; ``window`` may end in an offset, as in ``75s offset 30s``."""
    length, _, offset = window.partition(" ")
    return f"sum by ({by}) (count_over_time({lines} [{length}]{' ' if offset else ''}{offset}))"


def whole(lines: str, window: str = AUTO) -> str:
    """How many lines."""
    length, _, offset = window.partition(" ")
    return f"sum(count_over_time({lines} [{length}]{' ' if offset else ''}{offset}))"


def calls(at: Scope, *matches: Match, streams: tuple[str, ...] = (NOTABLE, COMPLETED)) -> str:
    """Calls; the fewer streams, the faster."""
    return at.events(c.CALL_EVENT, *matches, streams=streams)


def _flagged(direction: vocabulary.Direction) -> Match:
    return Match(c.FLAGGED[direction], "=", "true")


# --- the organisation --------------------------------------------------------------------------------------


def notices(at: Scope) -> str:
    """The provider's notices, as lines."""
    return at.events(c.NOTICE_EVENT, streams=SAFETY)


def notices_and_whose(at: Scope, person: str, everybody: str) -> str:
    """Notices as lines, with whose each is, and the page that shows more: the person's, or everybody's."""
    subject = f'eq .{names.field(c.NOTICE_SUBJECT)} "organization"'
    whose = (
        f"{{{{ if .{USER} }}}}{{{{ .{USER} }}}}{{{{ else if {subject} }}}}the organisation"
        "{{ else }}possibly ours{{ end }}"
    )
    page = f"{{{{ if .{USER} }}}}{person}{{{{ else }}}}{everybody}{{{{ end }}}}"
    return f"{notices(at)} | label_format {WHOSE}=`{whose}`, {WHOSE_PAGE}=`{page}`"


WHOSE = "whose"
WHOSE_PAGE = "whose_page"


def notices_by_type(at: Scope) -> str:
    """Notices over time, by type."""
    return count(notices(at), AUTO, names.field(c.NOTICE_TYPE))


def troubled_by_kind(at: Scope) -> str:
    """Calls that were not simply completed, over time, by kind."""
    return count(f"{calls(at, streams=SAFETY)} {by_kind()}", AUTO, "kind")


def blocks_by_type_and_api(at: Scope) -> str:
    """Blocked calls by rule and API."""
    by = ", ".join(names.field(name) for name in (c.BLOCK_CLASS, c.BLOCK_TYPE, c.API))
    return count(calls(at, BLOCKED, streams=SAFETY), AUTO, by)


def enforcement_blocks(at: Scope, window: str = AUTO) -> str:
    """Calls the provider's enforcement stopped."""
    return whole(calls(at, BLOCKED, ENFORCED, streams=SAFETY), window)


def filtered(at: Scope, window: str = AUTO) -> str:
    """Calls that a content filter stopped."""
    return whole(calls(at, BLOCKED, equal(c.BLOCK_CLASS, "filter"), streams=SAFETY), window)


def refused(at: Scope, window: str = AUTO) -> str:
    """Calls a model refused."""
    return whole(calls(at, equal(c.OUTCOME, "refused"), streams=SAFETY), window)


def either_flagged(at: Scope, *matches: Match) -> str:
    """Calls whose input or output was flagged."""
    either = " or ".join(str(_flagged(direction)) for direction in c.DIRECTIONS)
    return f"{calls(at, *matches, streams=SAFETY)} | {either}"


def flagged(at: Scope, window: str = AUTO) -> str:
    """Flagged calls, either direction."""
    return whole(either_flagged(at), window)


def newest(at: Scope) -> str:
    """When the newest stored call was, in Unix milliseconds."""
    clock = '| label_format at="{{ __timestamp__ | unixEpoch }}" | unwrap at'
    return f'max(max_over_time({calls(at)} {clock} | __error__="" [{AUTO}])) * 1000'


def refusals_by_api(at: Scope) -> str:
    """Calls a model refused, by API."""
    return count(calls(at, equal(c.OUTCOME, "refused"), streams=SAFETY), AUTO, names.field(c.API))


def flagged_categories(at: Scope, *matches: Match) -> str:
    """Flagged calls by category, each category by itself: a call flagged for two counts in both."""
    either = [
        "("
        + " or ".join(f'{names.field(name)}=~`.*"{category}".*`' for name in c.FLAGGED_CATEGORIES.values())
        + ")"
        for category in vocabulary.CATEGORIES
    ]
    lines = calls(at, *matches, streams=SAFETY)
    each = [
        f'label_replace({whole(f"{lines} | {condition}")}, "{CATEGORY}", "{category}", "", "")'
        for category, condition in zip(vocabulary.CATEGORIES, either, strict=True)
    ]
    every = "\nor ".join(each)
    return f"sort_desc(\n{every}\n)"


def flagged_by_api(at: Scope, direction: vocabulary.Direction) -> str:
    """Flagged calls over time, by API."""
    return count(calls(at, _flagged(direction), streams=SAFETY), AUTO, names.field(c.API))


def user_reports(at: Scope) -> str:
    """Reports of the product's users, by reason."""
    lines = at.events(c.USER_REPORT_EVENT, streams=SAFETY)
    return count(lines, AUTO, names.field(c.REPORT_REASON))


def events_by_stream(at: Scope) -> str:
    """Safety events that reached the store, by stream."""
    lines = ", ".join([*at.lines, f'{names.STREAM}=~".+"'])
    return f"sum by ({names.STREAM}) (count_over_time({{{lines}}} [{AUTO}]))"


def output_limit_missing(at: Scope) -> str:
    """Share of text calls that set no output limit (0 to 1)."""
    talking = one_of(c.API, "responses", "chat", "completions")
    unlimited = calls(at, talking, Match(c.MAX_TOKENS, "=", ""))
    return f"{whole(unlimited)} / {whole(calls(at, talking))}"


def decisions(at: Scope) -> str:
    """Decisions and read-backs of identities: the audit trail, of whatever traffic."""
    selector = ", ".join([*at.lines, f'{names.STREAM}="{DECISION}"'])
    return f"{{{selector}}} | {Match(c.EVENT_NAME, '=', c.DECISION_EVENT)}"


def dark_sources(at: Scope, most: int = TOP) -> str:
    """Projects, keys and models with the most requests that the provider counts and nobody here saw."""
    by = ", ".join(map(names.field, (c.RECONCILE_PROJECT, c.RECONCILE_KEY, c.REQUEST_MODEL)))
    lines = at.events(c.DARK_EVENT, streams=SAFETY)
    unseen = f'{lines} | unwrap {names.field(c.RECONCILE_DARK)} | __error__=""'
    return f"topk({most}, max by ({by}) (last_over_time({unseen} [{AUTO}])))"


# --- identifiers -------------------------------------------------------------------------------------------


def _blocks_by_identifier(at: Scope) -> str:
    return count(calls(at, BLOCKED, ENFORCED, IDENTIFIED, streams=SAFETY), AUTO, USER)


def top_by_blocks(at: Scope) -> str:
    """Identifiers with the most enforcement blocks."""
    return f"topk({TOP}, {_blocks_by_identifier(at)})"


def share_of_blocks(at: Scope, most: int) -> str:
    """Identifiers with the most enforcement blocks, as a share of all of them (0 to 1)."""
    return f"topk({most}, {_blocks_by_identifier(at)} / on () group_left () {enforcement_blocks(at)})"


def top_by_flags(at: Scope, direction: vocabulary.Direction) -> str:
    """Identifiers with the most flagged calls."""
    return f"topk({TOP}, {count(calls(at, _flagged(direction), IDENTIFIED, streams=SAFETY), AUTO, USER)})"


def first_output(at: Scope, window: str, by: str, *matches: Match) -> str:
    """Median seconds to first output."""
    lines = calls(at, present(c.TIME_TO_FIRST_OUTPUT), *matches)
    value = names.field(c.TIME_TO_FIRST_OUTPUT)
    return f'quantile_over_time(0.5, {lines} | unwrap {value} | __error__="" [{window}]) by ({by})'


def possible_holds(at: Scope, window: str) -> str:
    """Median seconds to first output of identifiers that wait far longer than their model makes others wait.

    Over 5 s and over three times the model's median, of at least 5 streams.
    """
    group = f"{BY}, {MODEL}"
    streams = calls(at, present(c.TIME_TO_FIRST_OUTPUT), IDENTIFIED)
    waits = first_output(at, window, f"{group}, {USER}", IDENTIFIED)
    # No parenthesis may follow group_left: Loki's ruler prints the expression anew and drops the empty one.
    return (
        f"({waits} > 5)\n"
        f"and ({count(streams, window, f'{group}, {USER}')} >= 5)\n"
        f"and (({waits} / 3) > on ({group}) group_left () {first_output(at, window, group)})"
    )


def api_key_block_share(at: Scope, window: str) -> str:
    """Share of each API key's calls that enforcement blocked (0 to 1)."""
    by = f"{BY}, {API_KEY}"
    blocked = count(calls(at, BLOCKED, ENFORCED, present(c.API_KEY_ID), streams=SAFETY), window, by)
    return f"{blocked} / {count(calls(at, present(c.API_KEY_ID)), window, by)}"


def unusual_api_keys(at: Scope, window: str, at_least: int) -> str:
    """API keys whose share of blocked calls is over three times that of the service's other keys."""
    key, keyed = f"{BY}, {API_KEY}", present(c.API_KEY_ID)
    blocked = calls(at, BLOCKED, ENFORCED, keyed, streams=SAFETY)
    others = [
        f"({count(lines, window, BY)} - on ({BY}) group_right () {count(lines, window, key)})"
        for lines in (blocked, calls(at, keyed))
    ]
    return (
        f"(\n"
        f"  {api_key_block_share(at, window)}\n"
        f"  > 3 * {others[0]} / ({others[1]} > 0)\n"
        f")\n"
        f"and ({count(blocked, window, key)} >= {at_least})"
    )


def sessions_seen_once(at: Scope, window: str, at_least: int) -> str:
    """Share of session identifiers with a single call (0 to 1), where there are enough of them."""
    lines = calls(at, equal(c.IDENTIFIER_SOURCE, "session"), IDENTIFIED)
    each = count(lines, window, f"{BY}, {USER}")
    return f"count by ({BY}) ({each} == 1) / (count by ({BY}) ({each}) >= {at_least})"


# Five cuts of time into pieces of 75 s, 15 s apart: every minute lies whole in one piece of one cut. The window is
# long, so that a burst counts however late its events arrive.
_PIECE, _CUTS = 75, range(0, 75, 15)


def retried_blocks(at: Scope, window: str, at_least: int) -> str:
    """Enforcement blocks of one code for one identifier: a retry turns one prompt into several strikes."""
    lines = calls(at, BLOCKED, ENFORCED, IDENTIFIED, streams=SAFETY)
    by = f"{BY}, {USER}, {names.field(c.BLOCK_CODE)}"
    pieces = [
        f"| label_format piece=`{{{{ div (add (__timestamp__ | unixEpoch) {cut}) {_PIECE} }}}}`"
        for cut in _CUTS
    ]
    bursts = [
        f"max by ({by}) ({count(f'{lines} {piece}', window, f'{by}, piece')} >= {at_least})"
        for piece in pieces
    ]
    return "\nor ".join(f"({burst})" for burst in bursts)


def blocked_identifiers(at: Scope, window: str, *certainties: vocabulary.BlockCertainty) -> str:
    """Calls answered with `identifier_blocked`, by identifier, known in one of these ways."""
    how = one_of(c.BLOCK_CERTAINTY, *certainties)
    lines = calls(at, equal(c.BLOCK_TYPE, "identifier_blocked"), how, streams=SAFETY)
    return count(lines, window, f"{BY}, {USER}")


REMEMBERED = "15d"  # a notice that nobody closed is open for so long: its week, and a week over
_CASE_BY = ", ".join(
    names.field(name)
    for name in (c.NOTICE_TYPE, c.NOTICE_SUBJECT, c.NOTICE_ID, c.NOTICE_DEADLINE, c.USER_HASH)
)


_ONE = ", ".join(names.field(name) for name in (c.NOTICE_ID, c.NOTICE_TYPE))  # what makes it one notice
_CLOCK = '| label_format at="{{ __timestamp__ | unixEpochMillis }}" | unwrap at | __error__=""'


def _newest(lines: str, by: str, ago: str = "") -> str:
    before = f" offset {ago}" if ago else ""
    return f"max by ({by}) (max_over_time({lines} {_CLOCK} [{REMEMBERED}]{before}))"


def _told(at: Scope, *types: vocabulary.NoticeType) -> str:
    still = equal(c.NOTICE_STATUS, "open")
    return at.events(c.NOTICE_EVENT, one_of(c.NOTICE_TYPE, *types), still, streams=SAFETY)


def _unless_closed(at: Scope, open_ones: str, *types: vocabulary.NoticeType, kept: str = "") -> str:
    # One that was closed by mistake is told again when it is reopened: what was said last is true.
    closings = replace(at, traffic=equal(c.NOTICE_STATUS, "closed")).events(
        c.DECISION_EVENT, streams=(DECISION,)
    )
    after = f"{_newest(closings, _ONE, kept)} > on ({_ONE}) {_newest(_told(at, *types), _ONE)}"
    return f"{open_ones}\nunless on ({_ONE}) ({after})"


def _latest(at: Scope, *types: vocabulary.NoticeType) -> str:
    # A notice is told again when its subject is known: what was said last is true.
    lines = _told(at, *types)
    last = f"== on ({_ONE}) group_left () {_newest(lines, _ONE)}"
    return f"({_newest(lines, f'{BY}, {_CASE_BY}')} {last})"


def open_notices(at: Scope, *types: vocabulary.NoticeType, kept: str = "") -> str:
    """Notices of these types that nobody closed, by case; ``kept``: a closed one stays for so long."""
    return _unless_closed(at, _latest(at, *types), *types, kept=kept)


def notices_due(at: Scope, seconds: int, *types: vocabulary.NoticeType, kept: str = "") -> str:
    """Seconds to the deadline of open notices that have fewer; a deactivation has none."""
    dated = (one_of(c.NOTICE_TYPE, *types), present(c.NOTICE_DEADLINE))
    left = f"{{{{ sub .{names.field(c.NOTICE_DEADLINE)} (now | unixEpoch) }}}}"
    lines = f"{at.events(c.NOTICE_EVENT, *dated, streams=SAFETY)} | label_format left=`{left}` | unwrap left"
    due = f'min by ({BY}, {_CASE_BY}) (min_over_time({lines} | __error__="" [{REMEMBERED}])) < {seconds}'
    return _unless_closed(at, f"({due})\nand {_latest(at, *types)}", *types, kept=kept)


def input_changed(at: Scope, window: str, reason: str) -> str:
    """Calls whose input the provider changed for this reason, by identifier."""
    lines = calls(at, Match(c.INPUT_TRANSFORMATIONS, "=~", f".*{reason}.*"), streams=SAFETY)
    return count(lines, window, f"{BY}, {USER}")


def dominant_identifiers(at: Scope, window: str, share: float, at_least: int) -> str:
    """Identifiers that carry more than this share of a service's calls with an identifier."""
    lines = calls(at, IDENTIFIED, none_of(c.IDENTIFIER_SOURCE, "system"))
    each, every = count(lines, window, f"{BY}, {USER}"), count(lines, window, BY)
    # No parenthesis may follow group_left, as above.
    return f"(({each} / on ({BY}) group_left () {every}) > {share})\nand on ({BY}) ({every} >= {at_least})"


def truncated_streams(at: Scope, at_least: int) -> str:
    """Streams of the last hour that ended without their last event, where they are over 3 times the week's usual."""
    lines = calls(at, equal(c.ERROR_TYPE, "stream_truncated"), streams=SAFETY)
    hour = f"({count(lines, '1h', BY)} >= {at_least})"
    usual = f"{count(lines, '7d offset 1h', BY)} / {7 * 24}"
    return f"{hour}\nunless ({count(lines, '1h', BY)} <= 3 * ({usual}))"
