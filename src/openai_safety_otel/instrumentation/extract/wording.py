"""What the provider itself says in an error's message, and the error that a gateway wrapped into it.

A message quotes what strangers wrote: addresses, file names, model names, values. These are cut away before any
rule hears it. Every pattern here is bounded, so that a hostile message costs linear time.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from openai_safety_otel.instrumentation.extract.codes import block_of, folded, words
from openai_safety_otel.instrumentation.extract.shape import is_mapping

# --- what strangers wrote ---------------------------------------------------------------------------------

# What may close a quotation that begins so.
_CLOSING: Final = {
    '"': '"', "'": "'", "`": "`", "«": "»", "»": "«", "\u2039": "\u203a", "「": "」", "『": "』",
    "\u201c": "\u201d", "\u2018": "\u2019", "\u201e": "\u201c\u201d", "\u201a": "\u2018\u2019",
}  # fmt: skip
_APOSTROPHES: Final = ("'", "\u2019")
_MARKS: Final = re.compile("[\"'`«»\u2039\u203a「」『』\u201a\u201c-\u201e\u2018\u2019]")
_EDGES: Final = ".,;:!?()[]{}<>*"
_STOPS: Final = ".;!?\n"
# Inside a word, these make it an address, a path, a file, a setting or a model's name.
_FOREIGN: Final = re.compile(r"[/\\@=%&#~]|\w[.:]\w|\d[-_]|[-_]\d")
_NAMED: Final = re.compile(r"[-_.:\d]")
# What stands after these is a name that somebody chose.
_NAMERS: Final = words("""
    model models deployment file files filename image url uri path folder name named called titled
    value values field column key tool function label tag engine call event events type types
    endpoint webhook webhooks schema expression option setting
""")
_SPELLED: Final = frozenset({"safety_identifier"})


def heard(message: str) -> str:
    """The provider's own words of a message, in lower case, known codes spelled out as words."""
    return " ".join(_own_words(_unquoted(message))).lower()


def _unquoted(text: str) -> str:
    """The text without its quoted parts; one that is itself a known code stays."""
    kept: list[str] = []
    at, begin, closing = 0, 0, ""
    for mark in _MARKS.finditer(text):
        sign, place = mark.group(), mark.start()
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        if not closing and sign in _CLOSING and not before.isalnum():
            kept.append(text[at:place])
            begin, closing = place, _CLOSING[sign]
        elif sign in closing and not (sign in _APOSTROPHES and after.isalnum()):
            inside = text[begin + 1 : place]
            kept.append(f" {inside} " if block_of(inside) or folded(inside) in _SPELLED else " ")
            at, closing = place + 1, ""
    # A quotation that nobody closes runs to the end, but for an apostrophe at a word's beginning.
    return "".join(kept) + (text[begin:] if closing in _APOSTROPHES else "" if closing else text[at:])


def _own_words(text: str) -> Iterator[str]:
    before = ""
    for word in text.split():
        core = word.strip(_EDGES)
        named = before in _NAMERS and _NAMED.search(core) is not None
        before = word.lower()
        end = "." if word[-1] in _STOPS else ":" if word[-1] == ":" else ""
        if named:
            yield end
        elif block_of(core) or folded(core) in _SPELLED:
            yield folded(core).replace("_", " ") + end
        else:
            yield end if _FOREIGN.search(core) else core + end


# --- what the provider says of an identifier --------------------------------------------------------------

_WHO: Final = r"(?:safety )?identifiers?"
_VERB: Final = r"(?:blocked|banned|barred|suspended|disabled|deactivated|revoked|terminated)"
_BEEN: Final = r"(?:is|are|was|were|has been|have been|had been|been)"
_GAP: Final = r"(?: [^\s.]{1,40}){0,8}?"
_ADVERBS: Final = r"(?: (?:now|\w{1,20}ly)){0,2}"
_SUBJECT: Final = re.compile(rf"\b{_WHO}:?(?:{_GAP} {_BEEN})?{_ADVERBS} {_VERB}\b")
_OBJECT: Final = re.compile(rf"\b(?:blocked|banned|barred|suspended|revoked):?{_GAP} {_WHO}\b")
# Where the error's param names the identifier, the sentence need not.
_STATE: Final = re.compile(
    rf"(?:^|\. |: )(?:access |requests? |end user |user |account )?{_VERB}\b|\b{_BEEN}{_ADVERBS} {_VERB}\b"
)
_LEAD: Final = re.compile(r"^invalid (?:prompt|request)[:.] ?")
# A sentence about the field, what is in it, or where it may be used: "safety_identifier is disabled for this model".
_ABOUT_FIELD: Final = re.compile(
    r"\bin (?:(?:a|the|this|your) )?(?:safety )?identifiers?\b"
    r"|\b(?:disabled|deactivated)(?: \S{1,40}){0,2} (?:for|in|on|at)(?: \S{1,40}){0,2}"
    r" (?:models?|organi[sz]ations?|orgs?|projects?|endpoints?|apis?|plans?|regions?|deployments?|workspaces?)\b"
)
# Conditions, denials and complaints about the field itself: such a sentence tells of no block.
_HEDGES: Final = words("""
    no not never without missing if unless until whether when once may might could would will can
    cannot should must shall be being avoid invalid unknown unsupported unexpected expected required
    malformed empty too contains contain parameter feature option setting field value values property header argument
    characters character words terms list format pattern isn't aren't wasn't hasn't haven't don't
    doesn't
""")
# What may stand before "identifier" where it is an end user's; after any other word it is that of a model, a file,
# a session, or whatever the next API has.
_OWN: Final = words("""
    the this that these those your an its their our same given provided supplied specified submitted
    associated linked corresponding sent and for with of from end user user's users end-user end-users
    caller customer blocked banned barred suspended revoked permanently temporarily
""")
_AROUND: Final = 4


def tells_of_identifier(said: str) -> bool:
    """Whether a `heard` message says that an identifier is blocked."""
    return _tells(_SUBJECT, said) or _tells(_OBJECT, said)


def tells_of_block(said: str) -> bool:
    """Whether a `heard` message says that somebody is blocked, the param having said who.

    "safety_identifier disabled" may also tell of the param itself; of a person it says "this safety_identifier".
    """
    found = tells_of_identifier(said) or _tells(_STATE, said)
    return found and _FIELD_OFF.search(said) is None


_FIELD_OFF: Final = re.compile(
    rf"(?:^|\. |: )safety identifiers?:?(?: {_BEEN})?{_ADVERBS} (?:disabled|deactivated)\b"
)


def _tells(pattern: re.Pattern[str], said: str) -> bool:
    text = _LEAD.sub("", said)
    return any(_plainly_said(text, found) for found in pattern.finditer(text))


def _plainly_said(text: str, found: re.Match[str]) -> bool:
    """Whether the sentence neither denies the match nor makes it a condition, and is about an end user."""
    lead = text[max(0, found.start() - 160) : found.start()].rpartition(".")[2]
    tail = text[found.end() : found.end() + 160].partition(".")[0]
    if _ABOUT_FIELD.search(lead + found.group() + tail):
        return False
    before = lead.split()[-_AROUND:]
    after = tail.split()[: _AROUND if found.re is _OBJECT else 1]
    if found.re is not _STATE and not _is_a_persons(before, found.group().split()):
        return False
    inside = [] if found.re is _STATE else found.group().split()
    return _HEDGES.isdisjoint(word.strip(",:") for word in (*before, *inside, *after))


def _is_a_persons(before: list[str], inside: list[str]) -> bool:
    """Whether the identifier is an end user's: a safety identifier, or one that a word of `_OWN` introduces."""
    at = next(place for place, word in enumerate(inside) if word.startswith("identifier"))
    word = inside[at - 1] if at else before[-1] if before else ""
    return word in ("", "safety") or word.endswith(":") or word.strip(",") in _OWN


# --- what a gateway wrapped -------------------------------------------------------------------------------

# A gateway's own words before the error it passes on; anything else may be a stranger's.
_GATEWAY: Final = words("""
    a an and answer answered api azure body by call client code completion error errors exception
    failed forbidden from gateway http https litellm message model of openai openrouter provider
    proxy received request rejected response responded returned server status the upstream with bad
""")
_ERROR_NAME: Final = re.compile(r"[A-Za-z.]{0,60}(?:Error|Exception)|\d{3}")
_ENVELOPE: Final = ("code", "type", "param", "message")
_LONGEST_PREFIX: Final = 200


def wrapped(message: str) -> dict[str, Any] | None:
    """The provider's error that a gateway put into its own message, as JSON or as Python prints it."""
    begin = message.find("{")
    if not 0 <= begin <= _LONGEST_PREFIX or not _is_gateway(message[:begin]):
        return None
    found = _parsed(message[begin:])
    if not is_mapping(found):
        return None
    inner = found.get("error")
    error = inner if is_mapping(inner) else found
    return error if sum(name in error for name in _ENVELOPE) > 1 or error is inner else None


def _is_gateway(prefix: str) -> bool:
    said = [word.strip("-.,;:()[]") for word in prefix.split()]
    return all(not word or word.lower() in _GATEWAY or _ERROR_NAME.fullmatch(word) for word in said)


def _parsed(text: str) -> object:
    try:
        found: object = json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(text[: text.rfind("}") + 1])
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return None
    return found
