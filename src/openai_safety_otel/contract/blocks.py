"""The kinds of block, one row each: its class, its names on the wire, and where such a call was stopped.

A new kind is a line of `BlockType` and a row of `BLOCKS`; ladders, alerts, automatic suspension, metrics and the rules
for errors follow from the row. What else tells of a block (shapes, params, wording) is in `instrumentation/blocks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

BlockType = Literal[
    "identifier_blocked",
    "usage_policy",
    "cyber_policy",
    "bio_policy",
    "misalignment",
    "other_policy",
    "content_filter",
    "image_moderation",
    "input_image_policy",
    "moderation_policy",
    "suspended_locally",
    "filtered_locally",
    "account_deactivated",
    "access_terminated",
]
# Counted against the end user; a filter's; our own; the organization's.
BlockClass = Literal["enforcement", "filter", "local", "organization"]
# Where it was stopped: at the request, at its input; or as the error's stage, Azure's param or the stream so far says.
StoppedAt = Literal["request", "input", "stage", "azure_param", "stream"]


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of block. Each name stands for all its spellings: `identifier-blocked`, `identifierBlocked`."""

    of_class: BlockClass
    names: tuple[str, ...] = ()
    stopped_at: StoppedAt = "stream"


# Where an error's code and inner code name two kinds, the upper row counts.
BLOCKS: Final[dict[BlockType, Block]] = {
    # Safety checks guide: "identifier blocked". No official code; these are in use.
    "identifier_blocked": Block(
        "enforcement",
        (
            "identifier_blocked",
            "safety_identifier_blocked",
            "identifier_is_blocked",
            "safety_identifier_is_blocked",
            "identifier_permanently_blocked",
            "safety_identifier_permanently_blocked",
            "blocked_identifier",
            "blocked_safety_identifier",
            "identifier_blocked_error",
            "safety_identifier_blocked_error",
        ),
        "request",
    ),
    # Misalignment monitoring guide: 403 before streaming, an error frame, response.failed or turn after it.
    "misalignment": Block("enforcement", ("misalignment_policy_violation", "misalignment_policy")),
    # Cybersecurity guide: 400 of type invalid_request, an error frame with null status, response.failed.
    # The longer one is met with param safety_identifier and access "temporarily limited".
    "cyber_policy": Block("enforcement", ("cyber_policy", "cyber_policy_violation")),
    # ResponseError.code of the API specification.
    "bio_policy": Block("enforcement", ("bio_policy", "bio_policy_violation")),
    # ResponseError.code of the API specification: an image of the prompt was rejected.
    "input_image_policy": Block(
        "filter", ("image_content_policy_violation", "image_content_policy"), "input"
    ),
    # Images guide, and the image tool's failed item in a completed response.
    "image_moderation": Block("filter", ("moderation_blocked",), "stage"),
    # Azure content filtering: 400 content_filter, innererror present or absent, param "prompt".
    "content_filter": Block(
        "filter", ("content_filter", "content_filtered", "ResponsibleAIPolicyViolation"), "azure_param"
    ),
    # The older code of a rejected prompt; gateways reuse it on every API.
    "usage_policy": Block(
        "enforcement", ("content_policy_violation", "usage_policy", "usage_policy_violation"), "input"
    ),
    # The organization's own loss of access: 401 with the code, or a type with a null code.
    "account_deactivated": Block(
        "organization",
        (
            "account_deactivated",
            "account_terminated",
            "account_suspended",
            "account_disabled",
            "organization_deactivated",
            "organization_terminated",
            "organization_suspended",
            "organization_disabled",
        ),
        "request",
    ),
    "access_terminated": Block("organization", ("access_terminated", "access_revoked"), "request"),
    # Known by a pattern, a shape, or by our own doing: no names of the wire.
    "other_policy": Block("enforcement"),
    "moderation_policy": Block("filter"),
    "suspended_locally": Block("local"),
    "filtered_locally": Block("local"),
}
BLOCK_TYPES: Final[tuple[BlockType, ...]] = get_args(BlockType)
BLOCK_CLASSES: Final[dict[BlockType, BlockClass]] = {kind: BLOCKS[kind].of_class for kind in BLOCK_TYPES}
