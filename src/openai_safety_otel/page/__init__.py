from openai_safety_otel.report.activity import Report
def render_page(report: Report) -> str:
    return ""
