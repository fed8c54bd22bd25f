{{/*
The parts of a pod that the gateway needs. The Deployment here is made of them; an app's chart that has
this one as a dependency takes them for its own pods, each with
(index .Subcharts "behest-gateway") as the argument: README.md shows where each goes.
*/}}

{{/* Under metadata.annotations: a changed configuration rolls the pods. */}}
{{- define "behest-gateway.podAnnotations" -}}
checksum/behest-gateway-config: {{ .Values.config | sha256sum }}
{{- end -}}

{{/* terminationGracePeriodSeconds. */}}
{{- define "behest-gateway.terminationGracePeriodSeconds" -}}
{{- add .Values.drain.delaySeconds .Values.drain.limitSeconds 10 -}}
{{- end -}}

{{/* An item of initContainers: the gateway as a native sidecar (Kubernetes 1.29 or newer). */}}
{{- define "behest-gateway.nativeSidecar" -}}
{{ include "behest-gateway.container" . }}
restartPolicy: Always
{{- end -}}

{{/* An item of containers. */}}
{{- define "behest-gateway.container" -}}
name: gateway
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  {{- include "behest-gateway.env" . | nindent 2 }}
ports:
  - name: http
    containerPort: 8080
  - name: admin
    containerPort: 9090
startupProbe:
  httpGet:
    path: /readyz
    port: 9090
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet:
    path: /readyz
    port: 9090
  periodSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet:
    path: /livez
    port: 9090
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  runAsUser: 65532
  runAsGroup: 65532
  runAsNonRoot: true
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities:
    drop:
      - ALL
volumeMounts:
  # Whole folders: a file mounted by subPath would never change.
  - name: gateway-secrets
    mountPath: /run/secrets/behest-gateway
    readOnly: true
  - name: gateway-state
    mountPath: {{ .Values.store.path }}
  {{- if .Values.config }}
  - name: gateway-config
    mountPath: /etc/behest-gateway
    readOnly: true
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "behest-gateway.env" -}}
- name: BEHEST_BASE_URL
  value: {{ required "behest.baseUrl is required: https://your-slug.behest.app" .Values.behest.baseUrl | quote }}
- name: GATEWAY_PUBLIC_ORIGIN
  value: {{ required "publicOrigin is required: where browsers find the app, https://app.example" .Values.publicOrigin | quote }}
{{- with .Values.appUrl }}
- name: GATEWAY_APP_URL
  value: {{ . | quote }}
{{- end }}
{{- range $variable, $key := .Values.secretFiles }}
- name: {{ $variable }}
  value: {{ printf "/run/secrets/behest-gateway/%s" $key | quote }}
{{- end }}
{{- if .Values.config }}
- name: GATEWAY_CONFIG
  value: /etc/behest-gateway/gateway.toml
{{- end }}
- name: GATEWAY_LISTEN
  value: "0.0.0.0:8080"
# On every address of the pod, since kubelet's probes and Prometheus come from outside it.
- name: GATEWAY_ADMIN_LISTEN
  value: "0.0.0.0:9090"
{{ include "behest-gateway.storeEnv" . }}
{{- with .Values.workers }}
- name: GATEWAY_WORKERS
  value: {{ . | int | quote }}
{{- end }}
- name: GATEWAY_SERVER__DRAIN_DELAY
  value: {{ printf "%ds" (int .Values.drain.delaySeconds) | quote }}
- name: GATEWAY_SERVER__DRAIN_LIMIT
  value: {{ printf "%ds" (int .Values.drain.limitSeconds) | quote }}
{{- with .Values.trustedProxies }}
- name: GATEWAY_SERVER__TRUSTED_PROXIES
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Items of volumes. The files' mode goes with fsGroup 65532 in the pod's securityContext. */}}
{{- define "behest-gateway.volumes" -}}
- name: gateway-secrets
  secret:
    secretName: {{ required "existingSecret is required: a Secret with the keys that secretFiles names" .Values.existingSecret }}
    defaultMode: 0440
{{ include "behest-gateway.storeVolume" . }}
{{- if .Values.config }}
- name: gateway-config
  configMap:
    name: {{ include "behest-gateway.fullname" . }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
