module openai-safety-otel.invalid/stack/helm

go 1.26.0

require helm.sh/helm/v3 v3.22.0

require github.com/yannh/kubeconform v0.8.0
