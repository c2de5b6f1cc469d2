{{/* Files in the order in which they are laid over each other, a line each. */}}
{{- define "openai-safety.collector.files" -}}
{{- $own := .Values.collector -}}
agent.yaml
{{- if $own.evidence }}
evidence.yaml
{{- end }}
{{- if $own.secure.enabled }}
gateway.yaml
{{- end }}
{{- if $own.toGateway.endpoint }}
to-gateway.yaml
{{- else if and $own.kafka.broker (eq $own.kafka.role "write") }}
to-kafka.yaml
{{- else if not $own.stores.tempo }}
no-traces.yaml
{{- end }}
{{- if and $own.kafka.broker (eq $own.kafka.role "read") }}
from-kafka.yaml
{{- end }}
{{- end -}}

{{/* Lists are replaced where files are laid over each other: the extensions of all that are used. */}}
{{- define "openai-safety.collector.extensions" -}}
{{- $own := .Values.collector -}}
service:
  extensions:
    - healthcheckv2
    - file_storage/safety
    - file_storage/bulk
    {{- if $own.evidence }}
    - file_storage/evidence
    {{- end }}
    {{- if $own.secure.enabled }}
    - bearertokenauth/in
    {{- end }}
    {{- if $own.toGateway.endpoint }}
    - bearertokenauth/out
    {{- end }}
{{- end -}}

{{/* Whether scores are scraped here: only at the last collector of the way, or they would count twice. */}}
{{- define "openai-safety.collector.scores" -}}
{{- $own := .Values.collector -}}
{{- if not (or $own.toGateway.endpoint (and $own.kafka.broker (eq $own.kafka.role "write"))) -}}yes{{- end -}}
{{- end -}}

{{/* ConfigMaps of the generated files, by their suffixes: each stays under what `kubectl apply` can take. */}}
{{- define "openai-safety.collector.parts" -}}
events:
  - before-events.yaml
  - filter-metrics.yaml
  - filter-with-outcome.yaml
  - filter-without-outcome.yaml
  - keep-trace.yaml
  - redact-events.yaml
  - redact-metrics.yaml
  - redact-spans.yaml
  - scores.yaml
  - shape-events.yaml
  - shape-metrics.yaml
  - shape-scores.yaml
spans:
  - shape-spans.yaml
{{- if .Values.collector.evidence }}
evidence:
  - before-evidence.yaml
  - redact-evidence.yaml
  - shape-evidence.yaml
{{- end }}
{{- end -}}

{{/* What the collector's files read, by variable. */}}
{{- define "openai-safety.collector.settings" -}}
{{- $own := .Values.collector -}}
CONFIG_DIR: /etc/otelcol
QUEUE_DIR: /var/lib/otelcol
OTLP_LISTEN: 0.0.0.0
METRICS_LISTEN: 0.0.0.0
HEALTH_LISTEN: 0.0.0.0
MEMORY_LIMIT_MIB: {{ $own.memoryLimitMiB | int | quote }}
{{- with $own.stores.loki }}
LOKI_URL: {{ trimSuffix "/" . }}
{{- end }}
{{- if $own.evidence }}
{{- with default $own.stores.loki $own.stores.evidenceLoki }}
EVIDENCE_LOKI_URL: {{ trimSuffix "/" . }}
{{- end }}
{{- end }}
{{- with $own.stores.prometheus }}
PROMETHEUS_URL: {{ trimSuffix "/" . }}
{{- end }}
{{- with $own.stores.tempo }}
TEMPO_ENDPOINT: {{ . }}
{{- end }}
{{- with $own.kafka.broker }}
KAFKA_BROKER: {{ . }}
{{- end }}
{{- if $own.secure.enabled }}
GATEWAY_CERT_FILE: /etc/otelcol-secrets/tls/tls.crt
GATEWAY_KEY_FILE: /etc/otelcol-secrets/tls/tls.key
GATEWAY_TOKEN_FILE: /etc/otelcol-secrets/in/{{ $own.secure.tokenKey }}
{{- end }}
{{- with $own.toGateway }}
{{- if .endpoint }}
GATEWAY_ENDPOINT: {{ .endpoint }}
GATEWAY_CA_FILE: /etc/otelcol-secrets/ca/{{ .caKey }}
GATEWAY_TOKEN_FILE: /etc/otelcol-secrets/out/{{ .tokenKey }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Secrets that are mounted as files: name of the volume, of the Secret, and its keys. */}}
{{- define "openai-safety.collector.secrets" -}}
{{- $own := .Values.collector -}}
{{- if $own.secure.enabled }}
tls: {secret: {{ $own.secure.tlsSecretName }}, keys: [tls.crt, tls.key]}
in: {secret: {{ $own.secure.tokenSecretName }}, keys: [{{ $own.secure.tokenKey }}]}
{{- end }}
{{- if $own.toGateway.endpoint }}
ca: {secret: {{ $own.toGateway.caSecretName }}, keys: [{{ $own.toGateway.caKey }}]}
out: {secret: {{ $own.toGateway.tokenSecretName }}, keys: [{{ $own.toGateway.tokenKey }}]}
{{- end }}
{{- end -}}

{{/* TCP ports that the collector reaches. */}}
{{- define "openai-safety.collector.reaches" -}}
{{- $own := .Values.collector -}}
{{- $found := list -}}
{{- if $own.toGateway.endpoint -}}
{{- $found = append $found $own.toGateway.endpoint -}}
{{- else -}}
{{- $writes := and $own.kafka.broker (eq $own.kafka.role "write") -}}
{{- $found = append $found $own.stores.prometheus -}}
{{- if not $writes -}}
{{- $found = concat $found (list $own.stores.loki $own.stores.tempo) -}}
{{- end -}}
{{- if $own.kafka.broker }}{{ $found = append $found $own.kafka.broker }}{{ end -}}
{{- end -}}
{{- if $own.evidence }}{{ $found = append $found (default $own.stores.loki $own.stores.evidenceLoki) }}{{ end -}}
{{- $ports := list -}}
{{- range compact $found }}{{ $ports = append $ports (include "openai-safety.port" .) }}{{ end -}}
{{- concat $ports .Values.networkPolicy.egressPorts | toJson -}}
{{- end -}}
