module openai-safety-otel.invalid/stack/schemas

go 1.26.0

require k8s.io/kubernetes v1.36.3

require github.com/prometheus-operator/prometheus-operator v0.85.0
