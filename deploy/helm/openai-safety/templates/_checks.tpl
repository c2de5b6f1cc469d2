{{/* What a rendering must not be, each with one line that says what to do. */}}
{{- define "openai-safety.checks" -}}
{{- $own := .Values.collector -}}
{{- $writes := and $own.kafka.broker (eq $own.kafka.role "write") -}}
{{- if $own.enabled -}}
{{- if and $own.secure.enabled $own.toGateway.endpoint -}}
{{- fail "collector.secure is for a gateway, collector.toGateway for the agents that send to it: install the chart once for each" -}}
{{- end -}}
{{- if and $own.kafka.broker $own.toGateway.endpoint -}}
{{- fail "collector.kafka and collector.toGateway are two ways to a gateway: choose one" -}}
{{- end -}}
{{- if not (or $own.toGateway.endpoint $writes $own.stores.loki) -}}
{{- fail "collector.stores.loki is needed: Loki's base URL, e.g. http://loki-gateway.monitoring.svc" -}}
{{- end -}}
{{- if not (or $own.toGateway.endpoint $own.stores.prometheus) -}}
{{- fail "collector.stores.prometheus is needed: the base URL of a Prometheus that takes OTLP (--web.enable-otlp-receiver)" -}}
{{- end -}}
{{- if and $own.evidence (not (or $own.stores.loki $own.stores.evidenceLoki)) -}}
{{- fail "collector.evidence needs collector.stores.evidenceLoki: evidence takes no way but its own" -}}
{{- end -}}
{{- if and $own.secure.enabled (not (and $own.secure.tlsSecretName $own.secure.tokenSecretName)) -}}
{{- fail "collector.secure.enabled needs collector.secure.tlsSecretName and collector.secure.tokenSecretName" -}}
{{- end -}}
{{- if and $own.toGateway.endpoint (not (and $own.toGateway.caSecretName $own.toGateway.tokenSecretName)) -}}
{{- fail "collector.toGateway.endpoint needs collector.toGateway.caSecretName and collector.toGateway.tokenSecretName" -}}
{{- end -}}
{{- end -}}
{{- if or .Values.webhooks.enabled .Values.reconcile.enabled -}}
{{- if not .Values.image.repository -}}
{{- fail "image.repository is needed by webhooks and reconcile: no image is published; build deploy/image/Dockerfile, push it, and name it here" -}}
{{- end -}}
{{- if and (eq .Values.store.type "redis") (not .Values.store.redis.secretName) -}}
{{- fail "store.type=redis needs store.redis.secretName: a Secret with the URL" -}}
{{- end -}}
{{- end -}}
{{- with .Values.webhooks -}}
{{- if .enabled -}}
{{- if not .signingSecret.secretName -}}
{{- fail "webhooks.signingSecret.secretName is needed: a Secret with the signing secret of the webhook endpoint" -}}
{{- end -}}
{{- if and (eq $.Values.store.type "sqlite") (gt (int .replicas) 1) -}}
{{- fail "webhooks.replicas above 1 needs store.type=redis: a SQLite file has one writer's node" -}}
{{- end -}}
{{- if and (eq $.Values.store.type "sqlite") .suspendOn -}}
{{- fail "webhooks.suspendOn needs store.type=redis: the apps read the suspension list from there" -}}
{{- end -}}
{{- if and .ingress.enabled (not (and .ingress.host .ingress.tlsSecretName)) -}}
{{- fail "webhooks.ingress.enabled needs webhooks.ingress.host and webhooks.ingress.tlsSecretName" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.reconcile.enabled -}}
{{- if not .Values.reconcile.adminKey.secretName -}}
{{- fail "reconcile.adminKey.secretName is needed: a Secret with the provider's admin key" -}}
{{- end -}}
{{- if not (or .Values.reconcile.lokiUrl $own.stores.loki) -}}
{{- fail "reconcile.lokiUrl is needed: the base URL of the Loki that holds the events" -}}
{{- end -}}
{{- end -}}
{{- end -}}
