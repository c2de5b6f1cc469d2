module openai-safety-otel.invalid/stack/prometheus

go 1.26.0

require github.com/prometheus/prometheus v0.315.0
require github.com/prometheus/alertmanager v0.34.1
