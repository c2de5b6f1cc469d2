{{/* OTLP over HTTP for the receiver and the reconciliation; empty where there is nowhere to send. */}}
{{- define "openai-safety.ours.otlp" -}}
{{- if .Values.collector.enabled -}}
{{- $scheme := ternary "https" "http" .Values.collector.secure.enabled -}}
{{- printf "%s://%s-collector.%s.svc:4318" $scheme (include "openai-safety.fullname" .) .Release.Namespace -}}
{{- else -}}
{{- .Values.otlpEndpoint -}}
{{- end -}}
{{- end -}}

{{- define "openai-safety.ours.secure" -}}
{{- if and .Values.collector.enabled .Values.collector.secure.enabled -}}yes{{- end -}}
{{- end -}}

{{- define "openai-safety.ours.claim" -}}
{{- default (printf "%s-store" (include "openai-safety.fullname" .)) .Values.store.sqlite.existingClaim -}}
{{- end -}}

{{/* Variables of both. */}}
{{- define "openai-safety.ours.env" -}}
- {name: HOME, value: /tmp}
{{- if eq .Values.store.type "redis" }}
{{ include "openai-safety.fromSecret" (list "OPENAI_SAFETY_STORE" .Values.store.redis.secretName .Values.store.redis.key) }}
{{ include "openai-safety.fromSecret" (list "OPENAI_SAFETY_SUSPENSIONS" .Values.store.redis.secretName .Values.store.redis.key) }}
{{- else }}
- {name: OPENAI_SAFETY_STORE, value: /var/lib/openai-safety/journal.db}
{{- end }}
{{- with .Values.hmacKey }}
{{- if .secretName }}
{{ include "openai-safety.fromSecret" (list "OPENAI_SAFETY_HMAC_KEY" .secretName .key) }}
{{- end }}
{{- end }}
{{- with include "openai-safety.ours.otlp" . }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
- {name: OTEL_EXPORTER_OTLP_PROTOCOL, value: http/protobuf}
{{- end }}
{{- if include "openai-safety.ours.secure" . }}
{{- with .Values.collector.secure }}
- {name: OTEL_EXPORTER_OTLP_CERTIFICATE, value: /etc/openai-safety/ca/ca.crt}
{{ include "openai-safety.fromSecret" (list "OTLP_TOKEN" .tokenSecretName .clientTokenKey) }}
- {name: OTEL_EXPORTER_OTLP_HEADERS, value: "Authorization=Bearer%20$(OTLP_TOKEN)"}
{{- end }}
{{- end }}
{{- with .Values.environment }}
- {name: OTEL_RESOURCE_ATTRIBUTES, value: "deployment.environment.name={{ . }}"}
{{- end }}
{{- end -}}

{{- define "openai-safety.ours.mounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if eq .Values.store.type "sqlite" }}
- {name: store, mountPath: /var/lib/openai-safety}
{{- end }}
{{- if include "openai-safety.ours.secure" . }}
- {name: ca, mountPath: /etc/openai-safety/ca, readOnly: true}
{{- end }}
{{- end -}}

{{- define "openai-safety.ours.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
{{- if eq .Values.store.type "sqlite" }}
- name: store
  persistentVolumeClaim:
    claimName: {{ include "openai-safety.ours.claim" . }}
{{- end }}
{{- if include "openai-safety.ours.secure" . }}
- name: ca
  secret:
    secretName: {{ .Values.collector.secure.tlsSecretName }}
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.crt}
{{- end }}
{{- end -}}

{{/* TCP ports that both reach: the provider, the collector, Redis. */}}
{{- define "openai-safety.ours.reaches" -}}
{{- $ports := list "443" -}}
{{- with include "openai-safety.ours.otlp" . }}{{ $ports = append $ports (include "openai-safety.port" .) }}{{ end -}}
{{- if eq .Values.store.type "redis" }}{{ $ports = append $ports (toString .Values.store.redis.port) }}{{ end -}}
{{- concat $ports .Values.networkPolicy.egressPorts | toJson -}}
{{- end -}}
