"""Every rule of the table of blocks, with the twin that must not match it beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from openai_safety_otel.contract import conventions as c
from openai_safety_otel.contract.blocks import BLOCK_CLASSES, BLOCK_TYPES
from openai_safety_otel.contract.record import Outcome
from openai_safety_otel.contract.vocabulary import APIS
from openai_safety_otel.instrumentation.blocks import RULES, reachable_blocks
from openai_safety_otel.instrumentation.extract.endpoints import ENDPOINTS
from openai_safety_otel.instrumentation.extract.error import read_error
from openai_safety_otel.instrumentation.extract.response import _READERS
from openai_safety_otel.instrumentation.outcome import classify
from openai_safety_otel.instrumentation.signals.event import call_event
from openai_safety_otel.ledger.suspensions.automatic import AutoRule
from support.outcomes import Json, record
from support.wire import raised

SENT = "The image at {} could not be read."
LITELLM = (
    "litellm.BadRequestError: OpenAIException - {}. Received Model Group=gpt-5\n"
    "Available Model Group Fallbacks=None"
)
GUARDRAIL = (
    "The guardrail checks defined in the config failed. "
    "You can find more information in the `hook_results` object."
)
CYBER = "This content was flagged for possible cybersecurity risk."


@dataclass(frozen=True)
class Twin:
    """A true error, what rule reads it, and an error that only looks like it."""

    rule: str
    name: str
    true: Json
    forged: Json
    api: str = "responses"
    host: str = "api.openai.com"
    status: int = 400
    facts: dict[str, Any] = field(default_factory=dict)


def said(message: str = "no", **members: Any) -> Json:
    """An error object of OpenAI's."""
    return {"message": message, "type": "invalid_request_error", "param": None, "code": None} | members


def _codes() -> list[Twin]:
    """Each block's codes in spellings of the field; the forged one names it in what the caller sent."""
    spellings = {
        "identifier_blocked": ["identifier_blocked", "identifier-blocked", "Safety Identifier Blocked"],
        "misalignment": ["misalignment_policy_violation", "MISALIGNMENT_POLICY_VIOLATION"],
        "cyber_policy": ["cyber_policy", "cyber.policy", "cyber_policy_violation", "cyberPolicyViolation"],
        "bio_policy": ["bio_policy", "bio-policy"],
        "input_image_policy": ["image_content_policy_violation"],
        "image_moderation": ["moderation_blocked", "Moderation-Blocked"],
        "content_filter": ["content_filter", "ResponsibleAIPolicyViolation", "content-filter"],
        "usage_policy": ["content_policy_violation", "usage_policy_violation"],
        "account_deactivated": ["account_deactivated", "AccountDeactivated", "organization_deactivated"],
        "access_terminated": ["access_terminated", "access-terminated"],
    }
    found = []
    for block, names in spellings.items():
        for name in names:
            link = said(SENT.format(f"https://evil.example/{name}"), code="invalid_image_url")
            model = said(f"No such model: {name}", code="model_not_found")
            found.append(Twin(f"{block}_code", f"code {name}", said(code=name), link))
            found.append(Twin(f"{block}_type", f"type {name}", said(type=name), model))
    return found


TWINS = [
    *_codes(),
    Twin(
        "older_image_code",
        "DALL-E",
        said(code="content_policy_violation"),
        said("content_policy_violation.png is no image", code="unsupported_file"),
        api="images",
    ),
    Twin(
        "image_details",
        "details without a code",
        said(type="image_generation_user_error", moderation_details={"moderation_stage": "input"}),
        said(type="image_generation_user_error", moderation_details=None),
        api="images",
    ),
    Twin(
        "azure_verdicts",
        "verdicts without codes",
        said(innererror={"content_filter_result": {"hate": {"filtered": True, "severity": "high"}}}),
        said(innererror={"content_filter_result": {"hate": {"filtered": False, "severity": "low"}}}),
        api="chat",
    ),
    Twin(
        "misalignment_member",
        "a code of later days",
        said(code="request_stopped", misalignment={"error_type": "other"}),
        said(code="request_stopped", misalignment=None),
    ),
    Twin(
        "gateway_moderation",
        "OpenRouter",
        said(metadata={"flagged_input": "words", "reasons": ["hate"]}),
        said(metadata={"flagged_input": "", "reasons": [], "provider_name": "x"}),
        api="chat",
        host="openrouter.ai",
        status=403,
    ),
    Twin(
        "portkey_guardrail",
        "Portkey",
        said(GUARDRAIL, type="hooks_failed"),
        said(GUARDRAIL, type="gateway_error"),
        api="chat",
        host="api.portkey.ai",
        status=446,
    ),
    *(
        Twin(
            "cloudflare_guardrail",
            f"Cloudflare {code}",
            {"error": [{"code": code, "message": message}], "name": "AiGatewayError", "internalCode": code},
            {"error": [{"code": code, "message": forged}], "name": "AiGatewayError", "internalCode": code},
            api="chat",
            host="gateway.ai.cloudflare.com",
            status=424,
        )
        for code, message, forged in [
            (2016, "Prompt blocked due to security configurations", "Could not find point 0"),
            (2017, "Response blocked due to security configurations", "Spend limit exceeded"),
        ]
    ),
    *(
        Twin(
            "identifier_param", f"param: {true}", said(true, param="safety_identifier"), said(forged, **more)
        )
        for true, forged, more in [
            ("safety_identifier blocked", "safety_identifier too long", {"param": "safety_identifier"}),
            (
                "safety_identifier_blocked",
                "'safety_identifier' must not be blank",
                {"param": "safety_identifier"},
            ),
            (
                "The safety identifier has been permanently blocked.",
                "The safety identifier contains blocked characters.",
                {"param": "safety_identifier"},
            ),
            (
                "The identifier associated with this request has been blocked.",
                "The identifier has been blocked.",
                {"param": "safety_identifier", "code": "string_above_max_length"},
            ),
            (
                "This user has been suspended.",
                "Requests may be blocked if the safety identifier is missing.",
                {"param": "safety_identifier"},
            ),
            (
                "Access was revoked.",
                "Invalid 'safety_identifier': 'has been blocked' is not allowed.",
                {"param": "safety_identifier"},
            ),
            (
                "Your access has been blocked.",
                "Rate limit reached, access has been blocked.",
                {"param": "safety_identifier", "type": "rate_limit_error"},
            ),
            (
                "Requests from this end user have been blocked.",
                "safety_identifier is disabled for this model",
                {"param": "safety_identifier"},
            ),
            (
                "This safety identifier has been blocked from using gpt-5.",
                "The safety_identifier feature is disabled for this organization.",
                {"param": "safety_identifier"},
            ),
            (
                "This safety_identifier was disabled because of repeated violations.",
                "Personal data in safety_identifier is blocked",
                {"param": "safety_identifier"},
            ),
            (
                "Access blocked for this safety_identifier.",
                "E-mail addresses are blocked in safety_identifier",
                {"param": "safety_identifier"},
            ),
        ]
    ),
    *(
        Twin("later_code", f"code {true}", said(code=true), said(code=forged))
        for true, forged in [
            ("weapons_policy_violation", "billing_blocked"),
            ("conversation_blocked", "rate_limit_policy"),
            ("election_policy", "quota_policy_violation"),
            ("minor_safety_violation", "api_key_blocked"),
            ("persuasion-policy", "authentication_policy"),
            ("request_blocked", "permission_policy"),
            ("chem_policy", "invalid_moderation_policy"),
            ("violence.policy", "unsupported_policy"),
            ("hate_blocked", "ip_blocked"),
            ("persona_blocked", "url_blocked"),
            ("fraud_policy", "egress_policy"),
            ("weapons_blocked", "firewall_blocked"),
            ("harm_policy", "routing_policy"),
        ]
    ),
    Twin(
        "later_type",
        "a type",
        said(type="policy_violation"),
        said(type="policy_violation", code="insufficient_quota"),
    ),
    *(
        Twin(
            rule,
            rule,
            {
                "code": "permission-denied",
                "error": f"Content violates usage guidelines. Failed check: {check}",
            },
            {"code": "permission-denied", "error": "The team has no access to the model grok-5."},
            api="chat",
            host="api.x.ai",
            status=403,
        )
        for rule, check in [
            ("xai_bio", "SAFETY_CHECK_TYPE_BIO"),
            ("xai_cyber", "SAFETY_CHECK_TYPE_CYBER"),
            ("xai_usage", "SAFETY_CHECK_TYPE_DATA"),
        ]
    ),
    Twin("cyber_text", "cyber", said(CYBER, code="invalid_prompt"), said(CYBER, code="invalid_value")),
    Twin(
        "bio_text",
        "bio",
        said("This content was flagged for possible biological risk.", code="invalid_prompt"),
        said("Invalid value: 'flagged for possible biological risk'."),
    ),
    Twin(
        "usage_text",
        "usage",
        said(
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
            code="invalid_prompt",
        ),
        said("Invalid prompt: no prompt has the id pmpt_1.", code="invalid_prompt"),
    ),
    Twin(
        "usage_text",
        "usage of older days",
        said("Invalid prompt: we've limited access to this content for safety reasons."),
        said('No file is called "we\'ve limited access to this content for safety reasons".'),
    ),
    Twin(
        "access_text",
        "access",
        said("Your access was terminated due to violation of our policies, please check your email."),
        said("The connection was terminated."),
        status=403,
    ),
    Twin(
        "account_text",
        "account",
        said("The OpenAI account associated with this API key has been deactivated."),
        said("The tool has been deactivated."),
        status=401,
    ),
    *(
        Twin("identifier_text", f"text: {true}", said(true), said(forged, **more))
        for true, forged, more in [
            (
                "Identifier blocked.",
                "Error while downloading https://evil.example/identifier_blocked/x.png.",
                {"code": "invalid_image_url"},
            ),
            (
                "safety_identifier blocked",
                "Error while downloading https://evil.example/identifier_blocked/x.png.",
                {},
            ),
            (
                "The safety identifier has been permanently blocked.",
                "The model identifier_blocked does not exist.",
                {},
            ),
            (
                "The identifier associated with this request has been blocked.",
                "Invalid value: 'the identifier has been blocked'.",
                {"code": "invalid_value"},
            ),
            ("We have blocked this safety identifier.", "Blocked because no safety identifier was sent.", {}),
            (
                'Request rejected: "identifier_blocked".',
                'Request rejected: "my identifier blocked notes".',
                {},
            ),
            (
                "The identifier you sent is now permanently blocked, and we can't unblock it.",
                "Requests whose identifier is missing will be blocked.",
                {},
            ),
            ("identifier-blocked", "identifier_blocked.pdf is not a supported file", {}),
            (
                "Access to this model has been revoked for this safety identifier.",
                "The safety_identifier parameter is disabled for this model.",
                {},
            ),
            (
                "Invalid prompt: this safety identifier is blocked.",
                "Invalid prompt: unknown placeholder identifier blocked.",
                {"code": "invalid_prompt"},
            ),
            (
                "This safety identifier was suspended.",
                "We could not find out whether the safety identifier is blocked.",
                {},
            ),
            ("The safety identifier is banned.", "The model identifier is blocked.", {}),
            ("Safety identifier blocked", "C:\\notes\\identifier_blocked\\a.txt cannot be read", {}),
            (
                "Requests from this safety identifier have been blocked.",
                "The vector store identifier has been disabled.",
                {},
            ),
            ("This identifier has been blocked from using gpt-5.", "Session identifier terminated", {}),
            ("The user's identifier is blocked.", "Unrecognized identifier blocked in expression", {}),
            (
                "Access for the given identifier has been revoked.",
                "No tool output found for function call identifier_blocked.",
                {},
            ),
            (
                "The safety identifier sent with this request has been blocked.",
                "Error retrieving tool list from MCP server. Http status code: 403. Identifier blocked.",
                {"param": "tools"},
            ),
            ("Your identifier was suspended.", "The event safety_identifier.blocked is deprecated", {}),
        ]
    ),
    Twin(
        "perplexity",
        "a status of Perplexity's",
        {"detail": "Forbidden"},
        said(code="insufficient_permissions"),
        api="chat",
        host="api.perplexity.ai",
        status=403,
        facts={"delivery": "sent"},
    ),
    Twin(
        "azure_text",
        "Azure behind a proxy",
        said(
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
        ),
        said("The file 'content management policy' is too large."),
        api="chat",
    ),
    Twin(
        "image_text",
        "images behind a proxy",
        said("Your request was rejected as a result of our safety system."),
        said("`rejected by the safety system` is no size."),
        api="images",
    ),
]


def outcome_of(twin: Twin, body: Json) -> Outcome:
    call = record(twin.api, host=twin.host, end="raised", **twin.facts)
    read_error(call, raised(twin.status, body if "error" in body else {"error": body}))
    return classify(call)


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin.rule}: {twin.name}"[:80])
def test_each_rule_reads_its_true_error_and_never_the_forged_one(twin: Twin) -> None:
    """The true one gives the rule's block with its certainty; its twin blocks nobody."""
    rule = next(rule for rule in RULES if rule.name == twin.rule)
    true, forged = outcome_of(twin, twin.true), outcome_of(twin, twin.forged)
    assert (true.block_type, true.certainty, forged.name) == (rule.block, rule.certainty, "failed")


def test_every_rule_has_a_twin() -> None:
    """A new row without a forged twin fails here."""
    assert {rule.name for rule in RULES} == {twin.rule for twin in TWINS}


WRAPPED = '{"error": {"message": "no", "type": "invalid_request", "param": null, "code": "cyber_policy"}}'


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (said(WRAPPED), ("cyber_policy", "code")),
        (said(LITELLM.format(WRAPPED), code="400", type=None), ("cyber_policy", "code")),
        (
            said("Error code: 403 - {'error': {'message': 'x', 'type': 'identifier_blocked', 'code': None}}"),
            ("identifier_blocked", "type"),
        ),
        (
            {
                "message": "Provider returned error",
                "code": 403,
                "metadata": {"raw": WRAPPED, "provider_name": "OpenAI"},
            },
            ("cyber_policy", "code"),
        ),
        (
            said(
                'Upstream error 400: {"message": "Safety identifier blocked.", "type": "x", "code": "slow_down"}'
            ),
            (None, None),
        ),
        (said(f"Invalid value: {WRAPPED}"), (None, None)),
        (said(f"Error while downloading https://x.example/{WRAPPED}"), (None, None)),
        (said(f"'{WRAPPED}' is no JSON schema"), (None, None)),
        (said(WRAPPED, code="invalid_value"), (None, None)),
        (said("Error: {" * 400), (None, None)),
        (said("Error: " + "[{" * 2000), (None, None)),
    ],
)
def test_what_a_gateway_wrapped_is_read_first_and_what_it_quotes_never(error: Json, outcome: Any) -> None:
    """JSON or Python's print of it, after a gateway's own words only."""
    call = record("chat", host="gateway.example", end="raised")
    read_error(call, raised(400, {"error": error}))
    found = classify(call)
    assert (found.block_type, found.certainty) == outcome


def test_what_openais_own_message_quotes_is_no_surer_than_a_wording() -> None:
    """Nothing stands between its host and the app: an error in its message is one that a stranger sent it."""
    quoted = said(
        f"Error: upstream server returned status 403: {WRAPPED.replace('cyber_policy', 'identifier_blocked')}"
    )
    found = []
    for host in ("api.openai.com", "eu.api.openai.com", "gateway.example", "openrouter.ai"):
        call = record("chat", host=host, end="raised")
        read_error(call, raised(400, {"error": quoted}))
        found.append((classify(call).block_type, classify(call).certainty))
    own, other = ("identifier_blocked", "text"), ("identifier_blocked", "code")
    assert found == [own, own, other, other]


def test_the_class_of_each_block_is_pinned() -> None:
    """A type added anywhere changes no other's class."""
    assert BLOCK_CLASSES == {
        "identifier_blocked": "enforcement",
        "usage_policy": "enforcement",
        "cyber_policy": "enforcement",
        "bio_policy": "enforcement",
        "misalignment": "enforcement",
        "other_policy": "enforcement",
        "content_filter": "filter",
        "image_moderation": "filter",
        "input_image_policy": "filter",
        "moderation_policy": "filter",
        "suspended_locally": "local",
        "filtered_locally": "local",
        "account_deactivated": "organization",
        "access_terminated": "organization",
    }
    assert tuple(BLOCK_CLASSES) == BLOCK_TYPES


def test_every_api_has_a_reader_and_a_row_of_reachable_blocks() -> None:
    """An API that is observed is also read, and its series begin at zero."""
    observed = {endpoint.api for _, _, endpoint in ENDPOINTS}
    assert set(_READERS) == set(APIS) >= observed
    assert {api for api in APIS if reachable_blocks(api)} == set(APIS)


COUNTED = [
    (Outcome("blocked", "identifier_blocked", "request", "x", "x", "code"), True, True),
    (Outcome("blocked", "identifier_blocked", "request", "x", "x", "type"), True, True),
    (Outcome("blocked", "identifier_blocked", "request", "x", "x", "param"), True, True),
    (Outcome("blocked", "identifier_blocked", "request", "x", "x", "text"), False, False),
    (Outcome("blocked", "usage_policy", "input", "x", "x", "text"), False, False),
    (Outcome("blocked", "cyber_policy", "request", "x", "x", "code"), False, True),
    (Outcome("blocked", "other_policy", "request", "x", "x", "code"), False, False),
    (Outcome("blocked", "content_filter", "input", "x", "x", "shape"), False, False),
    (Outcome("blocked", "account_deactivated", "request", "x", "x", "code"), False, False),
    (Outcome("blocked", "suspended_locally", "request", "x", "x", "code"), False, False),
]


@pytest.mark.parametrize(("outcome", "on_provider", "counted"), COUNTED)
def test_what_suspends_is_known_for_sure_and_about_the_person(
    outcome: Outcome, on_provider: bool, counted: bool
) -> None:
    """Neither a wording, nor a code's pattern, nor the organization's loss of access suspends anybody."""
    by_block = AutoRule.parse("provider")
    by_count = AutoRule.parse("3/60")
    assert by_block is not None
    assert by_count is not None
    assert (by_block.concerns(outcome), by_count.concerns(outcome)) == (on_provider, counted)


@pytest.mark.parametrize(("certainty", "severity"), [("code", "ERROR"), ("param", "ERROR"), ("text", "WARN")])
def test_an_identifier_block_by_wording_alone_is_a_warning(certainty: Any, severity: str) -> None:
    """It asks somebody to look; it does not say that it is so."""
    outcome = Outcome("blocked", "identifier_blocked", "request", "x", "x", certainty)
    event = call_event(record(), outcome, (0, 0, 0))
    assert (event.severity, event.attributes[c.BLOCK_CERTAINTY]) == (severity, certainty)


@pytest.mark.parametrize(
    ("status", "error", "api", "access"),
    [
        (404, said(code="model_not_found"), "chat", "model_not_found"),
        (400, said(code="model_not_found"), "chat", "model_not_found"),
        (404, said(code="DeploymentNotFound"), "chat", "model_not_found"),
        (403, said(type="permission_error"), "chat", "permission_denied"),
        (403, said(), "chat", "forbidden"),
        (403, said(code="unsupported_country_region_territory"), "chat", "forbidden"),
        (404, said(), "chat", "not_found"),
        (404, said(param="previous_response_id"), "responses", None),
        (401, said(code="invalid_api_key"), "chat", "unauthorized"),
        (401, said(code="account_deactivated"), "chat", "account_deactivated"),
        (403, said(type="access_terminated", code=None), "chat", "access_terminated"),
        (429, said(code="insufficient_quota"), "chat", None),
        (400, said(code="cyber_policy"), "chat", None),
        (400, said(code="invalid_value"), "chat", None),
    ],
)
def test_what_was_out_of_reach_is_one_of_a_closed_set(
    status: int, error: Json, api: str, access: Any
) -> None:
    """The organization's own loss of access shows where every user meets the same."""
    call = record(api, end="raised")
    read_error(call, raised(status, {"error": error}))
    assert classify(call).access == access


@pytest.mark.parametrize(
    ("error", "categories"),
    [
        (
            said(
                code="moderation_blocked", moderation_details={"categories": ["sexual/minors", "Self-Harm"]}
            ),
            ("sexual/minors", "self-harm"),
        ),
        (
            said("rejected. safety_violations=[sexual, violence/graphic].", code="moderation_blocked"),
            ("sexual", "violence/graphic"),
        ),
        (
            said(
                code="content_filter",
                innererror={
                    "content_filter_result": {
                        "self_harm": {"filtered": True, "severity": "medium"},
                        "jailbreak": {"filtered": True, "detected": True},
                        "hate": {"filtered": False, "severity": "low"},
                    }
                },
            ),
            ("self-harm:medium", "jailbreak"),
        ),
        (
            said(
                code="misalignment_policy_violation",
                misalignment={"error_type": "potentially_unintended_data_transfer"},
            ),
            ("potentially_unintended_data_transfer",),
        ),
        (
            said(code="moderation_blocked", moderation_details={"categories": ["bob@example.com", "bob"]}),
            ("_other",),
        ),
        (
            said(
                code="content_filter",
                innererror={"content_filter_result": {"hate": {"filtered": True, "severity": "bob"}}},
            ),
            ("hate",),
        ),
        (said(code="cyber_policy"), ()),
    ],
)
def test_what_it_was_blocked_for_is_told_in_known_words(error: Json, categories: tuple[str, ...]) -> None:
    """Each provider's words in one spelling; a stranger's word is only counted."""
    call = record("images", end="raised")
    read_error(call, raised(400, {"error": error}))
    event = call_event(call, classify(call), (0, 0, 0))
    assert event.attributes.get(c.BLOCK_CATEGORIES, ()) == categories
