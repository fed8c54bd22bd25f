{{- define "behest-gateway.fullname" -}}
{{- if contains "behest-gateway" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-behest-gateway" (.Release.Name | trunc 35 | trimSuffix "-") -}}
{{- end -}}
{{- end -}}

{{/* What pods are selected by. */}}
{{- define "behest-gateway.selectorLabels" -}}
app.kubernetes.io/name: behest-gateway
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "behest-gateway.labels" -}}
{{ include "behest-gateway.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What the Service selects pods by: the app's too, where the gateway is their sidecar. */}}
{{- define "behest-gateway.servingLabels" -}}
behest-gateway: {{ include "behest-gateway.fullname" . }}
{{- end -}}
