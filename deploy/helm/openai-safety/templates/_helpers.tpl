{{- define "openai-safety.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels that select: (list $ component). */}}
{{- define "openai-safety.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ default $top.Chart.Name $top.Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Name, namespace and labels of an object: (list $ component suffix). */}}
{{- define "openai-safety.metadata" -}}
{{- $top := index . 0 -}}
name: {{ include "openai-safety.fullname" $top }}{{ with index . 2 }}-{{ . }}{{ end }}
namespace: {{ $top.Release.Namespace }}
labels:
  helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
  app.kubernetes.io/managed-by: {{ $top.Release.Service }}
  app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
  app.kubernetes.io/part-of: openai-safety
  {{- include "openai-safety.selector" . | nindent 2 }}
  {{- with $top.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* repository:tag or repository@digest: (list image default-tag). */}}
{{- define "openai-safety.image" -}}
{{- $image := index . 0 -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default (index . 1) $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "openai-safety.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "openai-safety.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What every pod has: (list $ workload's-values). */}}
{{- define "openai-safety.pod" -}}
{{- $top := index . 0 -}}
{{- $own := index . 1 -}}
serviceAccountName: {{ include "openai-safety.serviceAccountName" $top }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml $top.Values.podSecurityContext | nindent 2 }}
{{- range $name, $value := dict "imagePullSecrets" $top.Values.imagePullSecrets "nodeSelector" $own.nodeSelector "tolerations" $own.tolerations "topologySpreadConstraints" $own.topologySpreadConstraints "priorityClassName" $own.priorityClassName }}
{{- with $value }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of pods: (list $ component workload's-values). */}}
{{- define "openai-safety.podMetadata" -}}
{{- $own := index . 2 -}}
{{- with $own.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
labels:
  {{- include "openai-safety.selector" . | nindent 2 }}
  {{- with (index . 0).Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $own.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* A variable out of a Secret: (list variable secretName key). */}}
{{- define "openai-safety.fromSecret" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end -}}

{{/* The port of a URL or of host:port. */}}
{{- define "openai-safety.port" -}}
{{- $host := regexReplaceAll "^[a-z]+://" . "" | splitList "/" | first -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $host) | default (hasPrefix "https://" . | ternary "443" "80") -}}
{{- end -}}

{{/* Rules of a NetworkPolicy: DNS, and these TCP ports (a list). */}}
{{- define "openai-safety.egress" -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- $numbers := list }}
{{- range . }}{{ $numbers = append $numbers (int .) }}{{ end }}
{{- with uniq $numbers }}
- ports:
    {{- range . }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
{{- end }}
{{- end -}}
