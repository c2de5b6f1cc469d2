import structlog

from openai_safety_otel.logs import add_safety_context

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        add_safety_context,
        structlog.processors.JSONRenderer(),
    ]
)
