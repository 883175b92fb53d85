{{/* Called with a list: the root, and a component. Resource names fit even a CronJob's 52 characters. */}}
{{- define "docwell.name" -}}
{{ printf "%s-%s" (trunc 40 (first .).Release.Name | trimSuffix "-") (last .) }}
{{- end }}

{{- define "docwell.selector" -}}
app.kubernetes.io/name: docwell
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "docwell.metadata" -}}
name: {{ include "docwell.name" . }}
labels:
  {{- include "docwell.selector" . | nindent 2 }}
  app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
  helm.sh/chart: {{ (first .).Chart.Name }}-{{ (first .).Chart.Version }}
{{- end }}

{{/* Called with a list: an image's values, and the tag to take without tag and digest. */}}
{{- define "docwell.image" -}}
{{- $image := first . -}}
{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default (last .) }}{{ end }}
{{- end }}

{{/* The part of every pod's spec that Pod Security's level `restricted` and the scheduler ask for. Called as the name. */}}
{{- define "docwell.pod" -}}
{{- $root := first . -}}
{{- $own := index $root.Values (last .) -}}
serviceAccountName: {{ include "docwell.name" . }}
automountServiceAccountToken: false
# Variables such as DOCWELL_QUERY_PORT, which links make from service names, would pass for settings.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The part of every container. Called with its component's values. */}}
{{- define "docwell.container" -}}
imagePullPolicy: IfNotPresent
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources:
  {{- toYaml .resources | nindent 2 }}
{{- end }}

{{/* Pods over zones and nodes, as far as there are several. Called as the name. */}}
{{- define "docwell.spread" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "docwell.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "docwell.chromaUrl" -}}
{{- $name := include "docwell.name" (list . "chroma") -}}
{{ .Values.chroma.url | default (printf "http://%s-0.%s:8000" $name $name) }}
{{- end }}

{{- define "docwell.modelUrl" -}}
{{- $name := include "docwell.name" (list . "model") -}}
{{- if eq .Values.model.engine "ollama" -}} http://{{ $name }}:11434
{{- else if eq .Values.model.engine "vllm" -}} http://{{ $name }}:8000/v1
{{- else -}} {{ required "model.url is needed with engine external" .Values.model.url }}
{{- end -}}
{{- end }}

{{/* The probes of a worker that runs until it is stopped. */}}
{{- define "docwell.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 5
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}
