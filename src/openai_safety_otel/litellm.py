"""LiteLLM: who a call is for, and the calls that it makes past the `openai` package.

In the proxy's configuration ``callbacks: ["openai_safety_otel.litellm.callback"]``, in code
``litellm.callbacks.append(openai_safety_otel.litellm.callback)``.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import litellm
import openai
from litellm.integrations.custom_logger import CustomLogger
from litellm.litellm_core_utils.realtime_streaming import DefaultLoggedRealTimeEventTypes

from openai_safety_otel.contract.own_errors import own_errors
from openai_safety_otel.instrumentation import gateway
from openai_safety_otel.instrumentation.call import Call
from openai_safety_otel.instrumentation.instrumentor import SafetyInstrumentor
from openai_safety_otel.instrumentation.observer import Observer
from openai_safety_otel.instrumentation.sockets.session import Session
from openai_safety_otel.who.current import current_end_user, set_end_user
from openai_safety_otel.who.user import EndUser

__all__ = ["SafetyLogger", "callback"]

# Calls that LiteLLM makes with its own HTTP client, by its name of them; all others pass the hook on `openai`.
_OWN_ROUTES = {"responses": "/responses", "aresponses": "/responses", "aimage_edit": "/images/edits"}
# Of the others, those that are refused here: behind the SDK LiteLLM would take a refusal for a fault, and try again.
_SDK_ROUTES = {
    "acompletion": "/chat/completions",
    "atext_completion": "/completions",
    "aembedding": "/embeddings",
    "aimage_generation": "/images/generations",
    "aspeech": "/audio/speech",
    "atranscription": "/audio/transcriptions",
}
_NOBODY = frozenset({"", "default_user_id"})  # LiteLLM's own name for whoever holds the master key
_SOCKETS = frozenset({"_arealtime", "arealtime", "realtime"})
_SOCKET_SCHEMES = frozenset({"ws", "wss"})
_ERROR = "error"
_HELD = "openai_safety_call"
_HEADER = "llm_provider-"


class _Client:
    """Where a call goes, for what looks at a client."""

    def __init__(self, url: str, key: Any) -> None:
        self.base_url = url
        self.api_key = key

    def with_options(self, **options: Any) -> openai.AsyncOpenAI:
        """A client that a filter may ask through."""
        return openai.AsyncOpenAI(base_url=self.base_url or None, api_key=self.api_key, **options)


class _Held:
    """A call or session that LiteLLM will tell the end of; where it lets go without a word, nobody reads on."""

    def __init__(self, call: Call | None = None, session: Session | None = None) -> None:
        self.call = call
        self.session = session

    def __deepcopy__(self, memo: Any) -> _Held:
        return self

    def __del__(self) -> None:
        if self.call is not None:
            self.call.dropped()
        if self.session is not None:
            self.session.collected()


class SafetyLogger(CustomLogger):  # type: ignore[misc]
    """One safety record for each call of LiteLLM's that reaches a provider or is stopped here."""

    @property
    def observer(self) -> Observer | None:
        """The active observer; instrumenting is done once, by whoever comes first."""
        return SafetyInstrumentor().observer

    # -- in the proxy -------------------------------------------------------------------------------------

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: str
    ) -> None:
        """Say who the request is for; refuse whoever is suspended before a deployment is chosen."""
        with own_errors("litellm"):
            if current_end_user() is None and (person := person_of(user_api_key_dict, data)):
                set_end_user(person)
        if self.observer is not None and call_type in _SOCKETS:
            gateway.refuse_socket(self.observer, _Client("", None), _path_of(data), data.get("model"))
        elif self.observer is not None:
            with gateway.opened(self.observer, _Client("", None), _path_of(data), data) as gate:
                if gate is not None:
                    gate.refuse()

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        traceback_str: str | None = None,
    ) -> None:
        """Record what one of LiteLLM's guardrails stopped."""
        with own_errors("litellm"):
            found = guardrail_of(request_data, original_exception)
            if found is not None and self.observer is not None:
                name, after = found
                gateway.stopped(
                    self.observer,
                    _Client("", None),
                    _path_of(request_data),
                    request_data,
                    by=name,
                    answered=after,
                )

    # -- each attempt at a deployment ---------------------------------------------------------------------

    async def async_pre_call_deployment_hook(self, kwargs: dict[str, Any], call_type: Any) -> None:
        """Refuse whoever is suspended; ask the filter, where the hook on `openai` will not."""
        kind = str(getattr(call_type, "value", call_type))
        path = _OWN_ROUTES.get(kind) or _SDK_ROUTES.get(kind)
        if path is None or self.observer is None:
            return
        base = str(kwargs.get("api_base") or "").rstrip("/")
        client = _Client(base, kwargs.get("api_key"))
        with gateway.opened(self.observer, client, base + path, kwargs) as gate:
            if gate is not None and kind in _OWN_ROUTES:
                await gate.hold_async()
            elif gate is not None:
                gate.refuse()

    def log_pre_api_call(self, model: str, messages: Any, kwargs: dict[str, Any]) -> None:
        """Begin the call: LiteLLM shows the request, just before it sends it, only to its own client.

        For calls through the SDK it names the base of the API here, for its own the whole address.
        """
        with own_errors("litellm"):
            shown = kwargs.get("additional_args") or {}
            url, headers = str(shown.get("api_base")), shown.get("headers") or {}
            body = shown.get("complete_input_dict")
            if self.observer is None or not urlsplit(url).hostname:
                return
            if urlsplit(url).scheme in _SOCKET_SCHEMES:
                self._connect(url, headers, model, kwargs)
                return
            # Of an image edit in a thread it shows the files of the form alone: the form is what can be added to.
            asked: Any = {"model": model} if isinstance(body, list) else body
            call, sent = gateway.begin(self.observer, _Client(url, _key_of(headers)), url, headers, asked)
            if call is None:
                return
            if isinstance(body, dict):
                body.update(sent.json_data)
            elif isinstance(body, list):
                body += [(name, (None, value)) for name, value in sent.json_data.items() if name not in asked]
            headers.update(sent.headers)
            kwargs[_HELD] = _Held(call)

    def _connect(self, url: str, headers: Any, model: str, kwargs: dict[str, Any]) -> None:
        """A Realtime session begins; LiteLLM shows its events when it has ended, but for errors: ask for those."""
        shown = litellm.logged_real_time_event_types
        if shown != "*" and _ERROR not in (shown or ()):
            litellm.logged_real_time_event_types = [*(shown or DefaultLoggedRealTimeEventTypes), _ERROR]
        assert self.observer is not None
        session, sent = gateway.connect(
            self.observer, _Client(url, _key_of(headers)), url, dict(headers), model
        )
        session.begin(free=True)  # who is suspended was refused before
        headers.update(sent.headers)
        kwargs[_HELD] = _Held(session=session)

    def log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The answer of a call in a thread, or the end of its stream."""
        with own_errors("litellm"):
            if (session := _ending_session(kwargs)) is not None:
                gateway.said(session, getattr(response_obj, "results", response_obj) or ())
                return
            call = _ending(kwargs, end_time)
            if call is not None:
                hidden = getattr(response_obj, "_hidden_params", None) or {}
                headers = hidden.get("additional_headers") or {}
                _time_first(call, kwargs)
                gateway.answered(
                    call,
                    _as_sent(kwargs, response_obj),
                    {name.removeprefix(_HEADER): value for name, value in headers.items()},
                )

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The same on the event loop."""
        self.log_success_event(kwargs, response_obj, start_time, end_time)

    def log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The error of a call in a thread."""
        with own_errors("litellm"):
            if (session := _ending_session(kwargs)) is not None:
                session.refused(kwargs["exception"])
                return
            call = _ending(kwargs, end_time)
            if call is None:
                return
            error = kwargs["exception"]
            answer = None if isinstance(error, openai.OpenAIError) else _as_sent(kwargs, None)
            if isinstance(answer, dict):
                gateway.answered(call, answer, {})  # a guardrail has stopped an answer that was there
            else:
                gateway.failed(call, error)

    async def async_log_failure_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        """The same on the event loop."""
        self.log_failure_event(kwargs, response_obj, start_time, end_time)


def person_of(key: Any, data: Mapping[str, Any]) -> EndUser | None:
    """Who the proxy says a request is for: the customer it names, else the user its key belongs to."""
    customer = str(getattr(key, "end_user_id", None) or "")
    if customer and customer == data.get("safety_identifier"):
        return None  # LiteLLM took it from there: an identifier is already in its place
    found = next(
        (who for who in (customer, str(getattr(key, "user_id", None) or "")) if who not in _NOBODY), None
    )
    return EndUser(found) if found else None


def guardrail_of(data: Mapping[str, Any], error: BaseException) -> tuple[str, bool] | None:
    """The guardrail that raised this, and whether it had an answer before it; None for any other error."""
    name = getattr(error, "guardrail_name", None)
    if name is None and isinstance(error, openai.OpenAIError):
        return None  # a provider's error, or ours
    for part in ("metadata", "litellm_metadata"):
        for told in reversed((data.get(part) or {}).get("standard_logging_guardrail_information") or ()):
            if told.get("guardrail_status") == "guardrail_intervened":
                mode = told.get("guardrail_mode")
                return str(told.get("guardrail_name")), str(getattr(mode, "value", mode)) == "post_call"
    return (str(name), False) if name else None


def _path_of(data: Mapping[str, Any]) -> str:
    return urlsplit(str((data.get("proxy_server_request") or {}).get("url") or "")).path


def _key_of(headers: Any) -> str | None:
    given = {str(name).lower(): value for name, value in (headers or {}).items()}
    return given.get("api-key") or str(given.get("authorization") or "").removeprefix("Bearer ") or None


def _ending(kwargs: Mapping[str, Any], ended: Any) -> Call | None:
    """The call that LiteLLM tells the end of, some time after it."""
    held = kwargs.get(_HELD)
    if not isinstance(held, _Held) or held.call is None:
        return None
    if isinstance(ended, dt.datetime):
        held.call.late((dt.datetime.now(ended.tzinfo) - ended).total_seconds())
    return held.call


def _ending_session(kwargs: Mapping[str, Any]) -> Session | None:
    """The Realtime session that LiteLLM tells the end of, the first time it does."""
    held = kwargs.get(_HELD)
    if not isinstance(held, _Held):
        return None
    session, held.session = held.session, None
    return session


def _time_first(call: Call, kwargs: Mapping[str, Any]) -> None:
    """When a stream's first output came."""
    begun, first = kwargs.get("api_call_start_time"), kwargs.get("completion_start_time")
    if call.record.streaming and begun and first:
        call.record.time_to_first_output = max(0.0, (first - begun).total_seconds())


def _as_sent(kwargs: Mapping[str, Any], answer: Any) -> Any:
    """The answer in the provider's own words: LiteLLM puts another id into its own, and drops what it does not know."""
    try:
        said = json.loads(kwargs.get("original_response") or "")
    except (TypeError, ValueError):
        said = answer.model_dump() if hasattr(answer, "model_dump") else answer
    if isinstance(said, dict) and isinstance(said.get("id"), str):
        said["id"] = _provider_id(said["id"])
    return said


def _provider_id(shown: str) -> str:
    """The id inside the one that LiteLLM shows: ``resp_`` and, in base64, deployment and the provider's own."""
    try:
        inside = base64.b64decode(shown.partition("_")[2], validate=True).decode()
    except ValueError:
        return shown
    return inside.rpartition("response_id:")[2] if inside.startswith("litellm:") else shown


if SafetyInstrumentor().observer is None:
    SafetyInstrumentor().instrument()
callback = SafetyLogger()
