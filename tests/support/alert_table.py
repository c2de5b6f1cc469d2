"""The table of cases: every alert on metrics, by name."""

# ruff: noqa: E501 - whole texts are compared

from __future__ import annotations

from grafana import names
from openai_safety_otel.contract import instruments
from support.alert_cases import PLACE, Case, busy, calls, counted, level, of

HERE = "chat (prod)"
WARNED = {"openai_safety_notice_type": "warning", "openai_safety_notice_subject": "organization"}
BLOCK = {"api": "responses", "block_source": "request"}
blocked = of(instruments.BLOCKS, block_type="identifier_blocked", block_class="enforcement", **BLOCK)
policy = of(instruments.BLOCKS, block_type="usage_policy", block_class="enforcement", **BLOCK)
filtered = of(instruments.BLOCKS, block_type="content_filter", block_class="filter", **BLOCK)
misaligned = of(instruments.BLOCKS, block_type="misalignment", block_class="enforcement", **BLOCK)
closed = of(instruments.BLOCKS, block_type="account_deactivated", block_class="organization", **BLOCK)
opened = of(instruments.NOTICES_OPEN, notice_type="warning", notice_subject="organization")
dated = of(instruments.DEADLINE, notice_type="warning", notice_subject="organization")
warned = of(instruments.NOTICES, notice_type="warning", notice_subject="organization")
alerted = of(instruments.NOTICES, notice_type="alert", notice_subject="identifier")
receiver = of(instruments.WEBHOOKS, result="accepted")
receivers = (receiver, of(instruments.WEBHOOKS, instance="2", result="accepted"))
INFO = {"version": "0.1.0", "openai_version": "3.52.0"}
hook = of(instruments.INFO, identifier_key_id="k1", hook="installed", **INFO)
collectors = (of(names.UPTIME, instance="a"), of(names.UPTIME, instance="b"))
scraped = (of(names.UP, instance="a"), of(names.UP, instance="b"))
size = of(names.QUEUE_SIZE, instance="1", exporter="otlp_http/loki")
capacity = of(names.QUEUE_CAPACITY, instance="1", exporter="otlp_http/loki")
absent = calls(identifier_source="absent", identifier_delivery="none")
CHECK = {"api": "responses", "direction": "input"}
passed, errors, flagged = (
    of(instruments.CHECKS, result=result, **CHECK) for result in ("passed", "error", "flagged")
)
refused = calls(outcome="refused")
failing = of(
    instruments.ACCESS_ERRORS, api="responses", gen_ai_request_model="gpt-5", access_code="model_not_found"
)
past = of(instruments.UNSEEN, server_address="api.openai.com", api="responses")


def _unreal(series: str) -> str:
    return series.replace('"production"', '"redteam"')


WEEK = 1008  # of 10 minutes
CASES: tuple[Case, ...] = (
    *counted(
        "IdentifierBlocked",
        blocked,
        hold=3,
        labels={**PLACE, "openai_safety_api": "responses"},
        says=f"{HERE} had 1 calls to responses answered with identifier_blocked in the last 4 hours. The log alert "
        "and `openai-safety queue` name the identifier.",
    ),
    Case(
        "IdentifierBlocked",
        "silent",
        "other blocks, the red team and drills are silent",
        {
            policy: "0x10 1x30",
            _unreal(blocked): "0x10 1x30",
            blocked.replace("production", "drill"): "0x10 1x30",
        },
        silent=("15m",),
    ),
    *counted(
        "SafetyNoticeReceived",
        warned,
        hold=3,
        labels={**PLACE, **WARNED},
        says=f"{HERE} received 1 warning notices in the last 4 hours, to the organization.",
    ),
    Case(
        "SafetyNoticeReceived",
        "silent",
        "once all of its type are closed",
        {warned: "0x10 1x60", opened: "0x10 1x20 0x60"},
        ("20m",),
        ("32m",),
    ),
    *level(
        "SafetyNoticeOpen",
        {opened: "2", dated: "1000000"},
        {opened: "0"},
        hold=3,
        ends="0",
        labels={**PLACE, **WARNED},
        says=f"2 notice(s) of type warning, received by {HERE}, to the organization, are open, to be answered by "
        "1970-01-12 13:46:40 +0000 UTC. `openai-safety notice list` names them; each stays open until "
        "`openai-safety notice close CASE --by YOU --why TEXT`.",
    ),
    Case(
        "SafetyNoticeOpen",
        "gap",
        "the receiver dies",
        {opened: "1x10", receiver: "0x10"},
        ("5m", "1h", "200h"),
    ),
    Case(
        "SafetyNoticeOpen",
        "restart",
        "the receiver dies, the notice is closed, another takes over",
        {
            opened: "1x10",
            receiver: "0x10",
            opened.replace('"1"', '"2"'): "_x60 0x60",
            receivers[1]: "_x60 0x60",
        },
        ("50m",),
        ("65m",),
    ),
    Case(
        "SafetyNoticeOpen", "silent", "drills", {opened.replace("production", "drill"): "1x60"}, (), ("30m",)
    ),
    Case(
        "SafetyNoticeOpen", "fires", "a receiver that tells deadlines only", {dated: "_x5 999999x60"}, ("9m",)
    ),
    *level(
        "SafetyNoticeDueSoon",
        {dated: "86700", opened: "1"},
        {dated: "999999", opened: "1"},
        hold=16,
        labels={**PLACE, **WARNED},
        says=f"OpenAI's warning notice, received by {HERE}, to the organization, has 24 hours left to its deadline. It stays open until "
        "`openai-safety notice close CASE --by YOU --why TEXT`.",
    ),
    Case(
        "SafetyNoticeDueSoon",
        "fires",
        "with minutes left it does not say 0 hours",
        {dated: "1500x20", opened: "1x20"},
        ("12m",),
        labels={**PLACE, **WARNED},
        says=f"OpenAI's warning notice, received by {HERE}, to the organization, has under an hour left to its "
        "deadline. It stays open until `openai-safety notice close CASE --by YOU --why TEXT`.",
    ),
    Case(
        "SafetyNoticeDueSoon",
        "silent",
        "a deactivation has no hours left",
        {dated.replace("warning", "deactivation"): "60x60"},
        silent=("30m",),
    ),
    Case(
        "SafetyNoticeDueSoon",
        "fires",
        "past its deadline, with the receiver dead",
        {dated: "3600x10"},
        ("71m", "20h"),
    ),
    *counted(
        "MisalignmentAlert",
        alerted,
        hold=3,
        labels=PLACE,
        says=f"{HERE} had 1 misalignment alerts or blocks in the last 4 hours.",
    ),
    *counted("MisalignmentAlert", misaligned, hold=3),
    *counted(
        "OrganizationBlocked",
        closed,
        beside={opened: "1x700", receiver: "0x700"},
        labels={**PLACE, "openai_safety_block_type": "account_deactivated"},
        says=f"{HERE} had 1 calls answered with account_deactivated in the last 4 hours. Open notice: warning, "
        f"received by chat.",
    ),
    *busy(
        "ModelAccessLost",
        {failing: 2, calls(): 0},
        {failing: 2, calls(): 5},
        before={calls(): 5},
        minutes=20,
        labels={**PLACE, "gen_ai_request_model": "gpt-5"},
        says=f"{HERE} had 30 calls to gpt-5 fail for lack of access in the last 15 minutes, and none that succeeded.",
    ),
    Case(
        "ModelAccessLost", "silent", "a model that never worked", {failing: "0+2x60"}, silent=("20m", "50m")
    ),
    Case("WebhookReceiverDown", "silent", "none ever", {calls(): "0+1x60"}, silent=("30m",)),
    Case(
        "WebhookReceiverDown",
        "fires",
        "it stops reporting",
        {receiver: "0x10"},
        ("22m", "20h"),
        ("9m",),
        labels=PLACE,
        says=f"{HERE} reported webhook counts within the last day, or died with a notice open, and does not now.",
    ),
    Case(
        "WebhookReceiverDown",
        "gap",
        "short gaps",
        {receiver: "0x10 _x4 0x30 _x8 0x60"},
        (),
        ("14m", "52m", "70m"),
    ),
    Case(
        "WebhookReceiverDown",
        "restart",
        "another takes over",
        {receiver: "0x10", receivers[1]: "_x12 0x60"},
        (),
        ("30m",),
    ),
    Case("WebhookReceiverDown", "birth", "one that begins", {receiver: "_x10 0x60"}, (), ("11m", "40m")),
    Case(
        "WebhookReceiverDown",
        "fires",
        "for two weeks while a notice is open",
        {receiver: "0x10", opened: "1x10"},
        ("25h", "300h"),
    ),
    Case(
        "WebhookReceiverInstanceDown",
        "fires",
        "one of two stops",
        {receivers[0]: "0x400", receivers[1]: "0x200"},
        ("211m", "6h"),
        ("3h",),
        labels={**PLACE, "instance": "2"},
        says=f"Receiver 2 of {HERE} reported within the last day and does not now; others of the service do.",
    ),
    Case(
        "WebhookReceiverInstanceDown",
        "restart",
        "one is replaced by another",
        {
            receivers[0]: "0x900",
            receivers[1]: "0x600",
            of(instruments.WEBHOOKS, instance="3", result="accepted"): "_x599 0x300",
        },
        (),
        ("10h5m", "10h20m", "14h"),
    ),
    Case(
        "WebhookReceiverInstanceDown",
        "gap",
        "a short gap",
        {receivers[0]: "0x90", receivers[1]: "0x30 _x8 0x60"},
        (),
        ("36m", "60m"),
    ),
    Case(
        "WebhookReceiverInstanceDown",
        "silent",
        "all of them are another alert's",
        {receivers[0]: "0x60", receivers[1]: "0x60"},
        (),
        ("2h",),
    ),
    Case(
        "WebhookReceiverInstanceDown",
        "birth",
        "a second one begins",
        {receivers[0]: "0x90", receivers[1]: "_x30 0x60"},
        (),
        ("31m", "60m"),
    ),
    Case(
        "SafetyPipelineDown",
        "birth",
        "no collector ever reported",
        {calls(): "_x5 0+1x60"},
        ("3m",),
        says="Every collector stopped reporting its own metrics; what it carried waits in the queues of the hosts, or is lost when they fill.",
    ),
    Case(
        "SafetyPipelineDown",
        "fires",
        "all of a job stop",
        {
            collectors[0]: "0+60x60",
            collectors[1]: "0+60x60",
            of(names.UPTIME, job="gateway", instance="c"): "0+60x600",
        },
        ("1h10m",),
        ("1h",),
    ),
    Case(
        "SafetyPipelineDown",
        "silent",
        "one of two stops",
        {collectors[0]: "0+60x60", collectors[1]: "0+60x600"},
        (),
        ("2h",),
    ),
    Case(
        "SafetyPipelineDown",
        "gap",
        "a short gap",
        {collectors[0]: "0+60x60 _x4 0+60x60"},
        (),
        ("1h4m", "1h10m"),
    ),
    Case(
        "SafetyPipelineDown",
        "gap",
        "goes on while those behind a collector that is back report again, so that nobody is told of them",
        {collectors[0]: "0+60x60 _x10 0+60x60"},
        ("1h8m", "1h11m", "1h15m"),
        ("1h17m",),
    ),
    Case(
        "SafetyPipelineDown", "restart", "a restart", {collectors[0]: "0+60x60 0+60x60"}, (), ("1h1m", "90m")
    ),
    Case(
        "SafetyCollectorDown",
        "fires",
        "one of two stops",
        {collectors[0]: "0+60x60", collectors[1]: "0+60x600", scraped[0]: "1x60 0x600", scraped[1]: "1x600"},
        ("70m",),
        ("1h",),
        labels={"job": "otelcol", "instance": "a"},
        says="Collector a of otelcol stopped reporting its own metrics; what its hosts send waits in their queues, or is lost when they fill.",
    ),
    Case(
        "SafetyCollectorDown",
        "fires",
        "one that is not scraped",
        {collectors[0]: "0+60x60", collectors[1]: "0+60x600"},
        ("70m",),
    ),
    Case(
        "SafetyCollectorDown",
        "silent",
        "taken out of service",
        {collectors[0]: "0+60x60", collectors[1]: "0+60x600", scraped[0]: "1x60", scraped[1]: "1x600"},
        (),
        ("70m", "3h"),
    ),
    Case(
        "SafetyCollectorDown",
        "gap",
        "goes on while those behind a collector that is back report again, so that nobody is told of them",
        {collectors[0]: "0+60x60 _x10 0+60x60", scraped[0]: "1x60 0x10 1x60"},
        ("1h8m", "1h11m", "1h15m"),
        ("1h17m",),
    ),
    Case(
        "SafetyCollectorDown",
        "gap",
        "a short gap",
        {collectors[0]: "0+60x60 _x4 0+60x60"},
        (),
        ("1h4m", "1h10m"),
    ),
    Case(
        "SafetyCollectorDown", "restart", "a restart", {collectors[0]: "0+60x60 0+60x60"}, (), ("1h1m", "90m")
    ),
    Case("SafetyCollectorDown", "birth", "a new one", {collectors[0]: "_x30 0+60x60"}, (), ("31m", "90m")),
    *level(
        "SafetyLogStoreDown",
        {of(names.UP, job="loki"): "0"},
        {of(names.UP, job="loki"): "1"},
        hold=5,
        ends="1",
        labels={"job": "loki", "instance": "1"},
        says="Loki at 1 does not answer. Events wait in the collectors' queues; alerts from metrics go on.",
    ),
    *counted(
        "EnforcementBlocksUnderWarning",
        policy,
        beside={opened: "1x700", receiver: "0x700"},
        labels=PLACE,
        says=f"{HERE} had 1 enforcement blocks in the last 4 hours, and a warning is open.",
    ),
    Case(
        "EnforcementBlocksUnderWarning", "silent", "without a warning", {policy: "0x5 1x30"}, silent=("10m",)
    ),
    Case(
        "EnforcementBlocksUnderWarning",
        "silent",
        "filters never count",
        {filtered: "0x5 1x30", opened: "1x40"},
        silent=("10m",),
    ),
    Case(
        "EnforcementBlockSpike",
        "birth",
        "from no series, once there are 20",
        {policy: f"_x{WEEK} 1+6x12"},
        ("169h",),
        ("168h",),
        "10m",
        PLACE,
        f"{HERE} had 36 enforcement blocks in the last hour, over three times its 7-day median.",
    ),
    Case(
        "EnforcementBlockSpike",
        "gap",
        "a spike after a gap",
        {policy: f"0+1x{WEEK} _x3 {WEEK}+10x20"},
        ("170h",),
        ("168h30m",),
        "10m",
    ),
    Case(
        "EnforcementBlockSpike",
        "gap",
        "the usual after a gap",
        {policy: f"0+5x{WEEK} _x3 {5 * WEEK}+5x20"},
        (),
        ("169h", "170h"),
        "10m",
    ),
    Case(
        "EnforcementBlockSpike",
        "restart",
        "the usual after a restart",
        {policy: f"0+5x{WEEK} 0+5x20"},
        (),
        ("168h30m", "170h"),
        "10m",
    ),
    Case(
        "EnforcementBlockSpike",
        "fires",
        "ten times the usual",
        {policy: f"0+1x{WEEK} {WEEK + 10}+10x12"},
        ("169h",),
        ("167h",),
        "10m",
    ),
    Case(
        "EnforcementBlockSpike",
        "silent",
        "filters and the red team",
        {filtered: "0+5x90", _unreal(policy): "0+5x90"},
        (),
        ("80m",),
    ),
    Case(
        "FlaggedShareUp",
        "birth",
        "from no flagged series",
        {passed: f"0+10x{WEEK + 20}", flagged: f"_x{WEEK} 1+10x12"},
        ("169h",),
        ("167h",),
        "10m",
        PLACE,
        f"{HERE} has 50% of its moderation checks flagged in the last hour, over three times its 7-day median.",
    ),
    Case(
        "FlaggedShareUp",
        "fires",
        "ten times the usual",
        {passed: f"0+10x{WEEK + 20}", flagged: f"0+0.1x{WEEK} 111+10x12"},
        ("169h",),
        ("167h",),
        "10m",
    ),
    Case(
        "FlaggedShareUp",
        "silent",
        "a steady share, however high",
        {passed: f"0+10x{WEEK + 20}", flagged: f"0+10x{WEEK + 20}"},
        (),
        ("169h",),
        "10m",
    ),
    Case(
        "FlaggedShareUp",
        "silent",
        "fewer than 20",
        {passed: f"0+1x{WEEK + 20}", flagged: f"_x{WEEK} 1+2x12"},
        (),
        ("169h",),
        "10m",
    ),
    Case(
        "FlaggedShareUp",
        "gap",
        "a steady share after a gap",
        {passed: f"0+10x{WEEK} _x3 {10 * WEEK}+10x20", flagged: f"0+5x{WEEK} _x3 {5 * WEEK}+5x20"},
        (),
        ("168h40m", "170h"),
        "10m",
    ),
    Case(
        "FlaggedShareUp",
        "restart",
        "a steady share after a restart",
        {passed: f"0+10x{WEEK} 0+10x20", flagged: f"0+5x{WEEK} 0+5x20"},
        (),
        ("168h10m", "170h"),
        "10m",
    ),
    Case(
        "RefusalShareUp",
        "birth",
        "from no refused series",
        {calls(): f"0+30x{WEEK + 20}", refused: f"_x{WEEK} 1+10x12"},
        ("169h",),
        ("167h",),
        "10m",
        PLACE,
        f"{HERE} has 25% of its calls refused in the last hour, over three times its 7-day median.",
    ),
    Case(
        "RefusalShareUp",
        "fires",
        "ten times the usual",
        {calls(): f"0+30x{WEEK + 20}", refused: f"0+0.1x{WEEK} 111+10x12"},
        ("169h",),
        ("167h",),
        "10m",
    ),
    Case(
        "RefusalShareUp",
        "silent",
        "a steady share",
        {calls(): f"0+30x{WEEK + 20}", refused: f"0+10x{WEEK + 20}"},
        (),
        ("169h",),
        "10m",
    ),
    Case(
        "RefusalShareUp",
        "gap",
        "a steady share after a gap",
        {calls(): f"0+10x{WEEK} _x3 {10 * WEEK}+10x20", refused: f"0+5x{WEEK} _x3 {5 * WEEK}+5x20"},
        (),
        ("168h40m", "170h"),
        "10m",
    ),
    Case(
        "RefusalShareUp",
        "restart",
        "a steady share after a restart",
        {calls(): f"0+10x{WEEK} 0+10x20", refused: f"0+5x{WEEK} 0+5x20"},
        (),
        ("168h10m", "170h"),
        "10m",
    ),
    *busy(
        "ModerationErrorShare",
        {errors: 1, passed: 4},
        {errors: 0.2, passed: 40},
        labels=PLACE,
        says=f"{HERE} had 20% of its moderation checks fail in the last hour: those calls carry no score.",
    ),
    *counted(
        "UnknownNoticeType",
        of(instruments.NOTICES, notice_type="unknown", notice_subject="unknown"),
        labels=PLACE,
        says=f"{HERE} received 1 notices of an unknown type in the last 4 hours.",
    ),
    *busy(
        "CoverageLow",
        {calls(): 8, absent: 2},
        {calls(): 20},
        labels=PLACE,
        says=f"{HERE} sent an identifier with 80% of the calls that needed one in the last hour. Largest cause: responses: identifier absent, delivery none (120 calls).",
    ),
    Case(
        "CoverageLow",
        "silent",
        "system calls, switched off, not accepted, a library's constant",
        {
            calls(): "0+20x60",
            **{
                calls(identifier_source=source, identifier_delivery=delivery): "0+9x60"
                for source, delivery in (
                    ("system", "none"),
                    ("not_used", "none"),
                    ("library", "sent"),
                    ("end_user", "not_accepted"),
                )
            },
        },
        (),
        ("1h",),
    ),
    *counted(
        "RawIdentifierSuspected",
        of(instruments.PROBLEMS, reason="raw_suspected"),
        labels=PLACE,
        says=f"{HERE} had 1 calls in the last 4 hours whose identifier looks like personal data. Telemetry carries only its hash; OpenAI received the value.",
    ),
    Case(
        "RawIdentifierSuspected",
        "silent",
        "the red team, also after it has ended",
        {of(instruments.PROBLEMS, reason="raw_suspected"): "0x10 1x10", _unreal(calls()): "0+1x20"},
        silent=("15m", "1h"),
    ),
    *counted(
        "IdentifierConflict",
        of(instruments.PROBLEMS, reason="conflict"),
        labels=PLACE,
        says=f"{HERE} had 1 calls in the last 4 hours whose own identifier differs from the end user's: one of the two is the wrong person.",
    ),
    *level(
        "TwoKeyIdsActive",
        {hook: "1", hook.replace("k1", "k2"): "1"},
        {hook: "1"},
        hold=15,
        labels=PLACE,
        says=f"{HERE} used 2 keys within a day: the same user has as many identifiers, which OpenAI cannot tell from evasion.",
    ),
    *level(
        "SuspensionListStale",
        {of(instruments.SUSPENSIONS_AGE): "90"},
        {of(instruments.SUSPENSIONS_AGE): "2"},
        hold=2,
        ends="1",
        labels=PLACE,
        says=f"{HERE} last read its suspension list 90 seconds ago: a suspension made since is not in force there.",
    ),
    *level(
        "TrafficInTheDark",
        {
            of(instruments.RECONCILED, reconcile_ledger="completions", reconcile_verdict="dark"): "70",
            of(instruments.RECONCILED, reconcile_ledger="embeddings", reconcile_verdict="dark"): "10",
        },
        {
            of(instruments.RECONCILED, reconcile_ledger="completions", reconcile_verdict="dark"): "0",
            of(instruments.RECONCILED, reconcile_ledger="completions", reconcile_verdict="matched"): "900",
            of(instruments.RECONCILED, reconcile_ledger="completions", reconcile_verdict="cannot_tell"): "70",
        },
        ends="0",
        labels=PLACE,
        says="80 requests of the last comparison with the provider's count were not seen here (chat (prod)). "
        "The `openai_safety.dark` events name project, API key and model.",
    ),
    Case(
        "TrafficInTheDark",
        "fires",
        "from a comparison that runs once a day and ends",
        {
            of(
                instruments.RECONCILED, reconcile_ledger="completions", reconcile_verdict="dark"
            ): "70x2 _x1437 70x2"
        },
        ("10h", "24h30m"),
    ),
    *counted(
        "RequestsPastTheSdk",
        past,
        labels={**PLACE, "server_address": "api.openai.com", "openai_safety_api": "responses"},
        says=f"{HERE} made 1 requests to api.openai.com (responses) in the last 4 hours that no record tells of: they carry no identifier, and nobody is refused.",
    ),
    Case(
        "RequestsPastTheSdk",
        "silent",
        "the red team, also after it has ended",
        {past: "0x10 1x10", _unreal(calls()): "0+1x20"},
        silent=("15m", "1h"),
    ),
    *level(
        "SuspensionListUnreadable",
        {of(instruments.SUSPENSIONS_STATE, suspensions_found="missing"): "1"},
        {
            of(instruments.SUSPENSIONS_STATE, suspensions_found="missing"): "0",
            of(instruments.SUSPENSIONS_STATE, suspensions_found="read"): "1",
        },
        hold=2,
        ends="0",
        labels={**PLACE, "openai_safety_suspensions_found": "missing"},
        says=f"A process of {HERE} finds its suspension list missing: what it last read is in force, nothing newer.",
    ),
    *counted(
        "SafetyEventsDropped",
        of(instruments.DROPPED, signal="event", reason="queue_full"),
        labels={**PLACE, "openai_safety_signal": "event", "openai_safety_reason": "queue_full"},
        says=f"{HERE} dropped 1 items (event, queue_full) in the last 4 hours.",
    ),
    *level(
        "InstrumentationSilent",
        {hook.replace("installed", "failed"): "1"},
        {hook: "1", calls(): "1"},
        hold=15,
        labels={**PLACE, "cause": "hook failed or removed"},
        says=f"{HERE}: hook failed or removed.",
    ),
    Case(
        "InstrumentationSilent",
        "fires",
        "a service that ran most of the day is gone",
        {hook: "1x160", calls(): "0+1x160"},
        ("14h20m",),
        ("12h",),
        "5m",
        {**PLACE, "cause": "reports no more"},
        f"{HERE}: reports no more.",
    ),
    Case(
        "InstrumentationSilent",
        "fires",
        "calls stop, unlike the day before",
        {hook: "1x320", calls(): "0+5x288 1440x32"},
        ("26h",),
        ("24h",),
        "5m",
        {**PLACE, "cause": "no calls, unlike a week or a day ago"},
        f"{HERE}: no calls, unlike a week or a day ago.",
    ),
    # Ten days, the first a Friday: calls on weekdays only.
    Case(
        "InstrumentationSilent",
        "silent",
        "a weekend like the last one",
        {hook: "1x1440", calls(): "0+5x143 720x287 720+5x719 4320x300"},
        (),
        ("198h", "210h", "230h"),
        "10m",
    ),
    Case(
        "InstrumentationSilent",
        "fires",
        "a Monday without calls, unlike the last one",
        {hook: "1x1800", calls(): "0+5x143 720x287 720+5x719 4320x600"},
        ("250h",),
        ("230h",),
        "10m",
    ),
    *level(
        "CollectorQueueFilling",
        {size: "80", capacity: "100"},
        {size: "50", capacity: "100"},
        hold=5,
        labels={"job": "otelcol", "instance": "1", "exporter": "otlp_http/loki"},
        says="Queue of otlp_http/loki in otelcol is 80% full.",
    ),
    *counted(
        "CollectorRefusing",
        of(names.REFUSED["log_records"], receiver="otlp"),
        labels={"job": "otelcol", "instance": "1", "receiver": "otlp", "item": "log_records"},
        says="otelcol refused 1 log_records on otlp in the last 4 hours.",
    ),
    *counted(
        "CollectorExportFailing",
        of(names.SEND_FAILED["spans"], exporter="otlp_grpc/tempo"),
        labels={"job": "otelcol", "instance": "1", "exporter": "otlp_grpc/tempo", "item": "spans"},
        says="otelcol lost 1 spans for otlp_grpc/tempo in the last 4 hours.",
    ),
    *counted("CollectorExportFailing", of(names.ENQUEUE_FAILED["log_records"], exporter="otlp_http/safety")),
    *counted(
        "WebhookSignatureFailures",
        of(instruments.WEBHOOKS, result="bad_signature"),
        labels=PLACE,
        says=f"{HERE} refused 1 webhooks with a bad signature in the last 4 hours.",
    ),
    Case("WebhookSignatureFailures", "silent", "accepted ones", {receiver: "0+1x60"}, silent=("20m",)),
    *level(
        "SafetyDrillReceived",
        {opened.replace("production", "drill"): "1"},
        {opened.replace("production", "drill"): "0"},
        hold=3,
        ends="0",
        labels={**PLACE, **WARNED},
        says=f"The drill notice (warning) sent to {HERE} reached this rule.",
    ),
    Case("SafetyDrillReceived", "silent", "real notices", {opened: "1x60"}, silent=("30m",)),
)
