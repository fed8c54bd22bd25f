{{/* Where budgets are counted, and the one place that the gateway may write to. */}}

{{/* What cannot work: two pods at one folder, which is locked by the process that writes it. */}}
{{- define "behest-gateway.checkStore" -}}
{{- $keep := .Values.store.persistence -}}
{{- if or $keep.size $keep.existingClaim -}}
{{- if ne .Values.mode "deployment" -}}
{{- fail "store.persistence is for mode deployment: an app's pods are several, and its volume is one gateway's. Let them count together with store.kind: redis" -}}
{{- end -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}
{{- fail "store.persistence is one gateway's: set replicaCount: 1 and autoscaling.enabled: false, or let replicas count together with store.kind: redis" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Not empty where each of several replicas would count the budgets of config by itself. */}}
{{- define "behest-gateway.countsApart" -}}
{{- $several := or .Values.autoscaling.enabled (ne (int .Values.replicaCount) 1) (ne .Values.mode "deployment") -}}
{{- $limited := regexMatch `(?m)^\s*(\[+\s*)?budgets\b` .Values.config -}}
{{- range .Values.extraEnv -}}
{{- if hasPrefix "GATEWAY_BUDGETS__" .name }}{{ $limited = true }}{{ end -}}
{{- end -}}
{{- if and $several $limited (eq .Values.store.kind "embedded") }}true{{ end -}}
{{- end -}}

{{/* Under strategy: with a claim the old pod must be gone before the new one may have its folder. */}}
{{- define "behest-gateway.strategy" -}}
{{- if or .Values.store.persistence.size .Values.store.persistence.existingClaim -}}
type: Recreate
{{- else -}}
rollingUpdate:
  maxUnavailable: 0
  maxSurge: 1
{{- end -}}
{{- end -}}

{{- define "behest-gateway.storeEnv" -}}
{{- if eq .Values.store.kind "redis" -}}
- name: GATEWAY_STORE__KIND
  value: redis
- name: GATEWAY_STORE__URL_FILE
  value: {{ printf "/run/secrets/behest-gateway/%s" (required "store.redisUrlKey is required with store.kind redis: a key of existingSecret" .Values.store.redisUrlKey) | quote }}
{{- else -}}
- name: GATEWAY_STORE__PATH
  value: {{ .Values.store.path | quote }}
{{- end -}}
{{- end -}}

{{- define "behest-gateway.storeVolume" -}}
{{- $keep := .Values.store.persistence -}}
- name: gateway-state
{{- if or $keep.size $keep.existingClaim }}
  persistentVolumeClaim:
    claimName: {{ $keep.existingClaim | default (include "behest-gateway.fullname" .) }}
{{- else }}
  # Outlives the container and not the pod.
  emptyDir: {}
{{- end }}
{{- end -}}
