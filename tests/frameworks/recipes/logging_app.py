import logging

from openai_safety_otel.logs import SafetyFilter

handler = logging.StreamHandler()
handler.addFilter(SafetyFilter())
handler.setFormatter(
    logging.Formatter(
        "%(message)s user=%(safety_identifier)s trace=%(trace_id)s answer=%(openai_response_id)s"
    )
)
logger = logging.getLogger("product")
logger.setLevel(logging.INFO)
logger.addHandler(handler)
