{{/* A value as a variable. Helm reads numbers as floating point, which would print 536870912 as 5.36870912e+08. */}}
{{- define "docwell.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}} {{ int64 . }}
{{- else -}} {{ . }}
{{- end -}}
{{- end }}

{{- define "docwell.settings.shared" -}}
DOCWELL_BUCKET: {{ .Values.data.bucket | quote }}
DOCWELL_LEDGER_TABLE: {{ .Values.data.ledgerTable | quote }}
DOCWELL_QUEUE_URL: {{ .Values.data.ingestQueueUrl | quote }}
DOCWELL_CHROMA_URL: {{ include "docwell.chromaUrl" . | quote }}
DOCWELL_CHROMA_TENANT: {{ .Values.chroma.tenant | quote }}
DOCWELL_CHROMA_DATABASE: {{ .Values.chroma.database | quote }}
DOCWELL_CHROMA_HEADER: {{ .Values.chroma.token.header | quote }}
DOCWELL_MODEL_DIR: {{ .Values.index.modelDir | quote }}
DOCWELL_CHUNK_TOKENS: {{ include "docwell.text" .Values.index.chunkTokens | quote }}
DOCWELL_SHARDS: {{ include "docwell.text" .Values.index.shards | quote }}
DOCWELL_NEXT_MODEL_DIR: {{ .Values.index.next.modelDir | quote }}
DOCWELL_NEXT_CHUNK_TOKENS: {{ include "docwell.text" .Values.index.next.chunkTokens | quote }}
DOCWELL_NEXT_SHARDS: {{ include "docwell.text" .Values.index.next.shards | quote }}
{{- end }}

{{- define "docwell.settings.ingest" -}}
DOCWELL_USAGE_TABLE: {{ .Values.data.usageTable | quote }}
DOCWELL_AUDIT_TABLE: {{ .Values.data.auditTable | quote }}
DOCWELL_INGEST_QUEUE_URL: {{ .Values.data.ingestQueueUrl | quote }}
DOCWELL_DEAD_LETTER_QUEUE_URL: {{ .Values.data.deadLetterQueueUrl | quote }}
DOCWELL_PARKED_QUEUE_URL: {{ .Values.data.parkedQueueUrl | quote }}
DOCWELL_OCR_QUEUE_URL: {{ .Values.data.ocrQueueUrl | quote }}
DOCWELL_OCR: {{ .Values.index.ocr | quote }}
DOCWELL_HEALTH_PORT: 9090
DOCWELL_GRACE_S: {{ include "docwell.text" .Values.ingest.graceSeconds | quote }}
{{- end }}

{{- define "docwell.settings.query" -}}
DOCWELL_OLLAMA_URL: {{ include "docwell.modelUrl" . | quote }}
DOCWELL_MODEL: {{ .Values.model.name | quote }}
DOCWELL_PRINCIPALS_TABLE: {{ .Values.data.principalsTable | quote }}
DOCWELL_USAGE_TABLE: {{ .Values.data.usageTable | quote }}
DOCWELL_RECEIPTS_TABLE: {{ .Values.data.receiptsTable | quote }}
DOCWELL_AUDIT_TABLE: {{ .Values.data.auditTable | quote }}
DOCWELL_PARKED_QUEUE_URL: {{ .Values.data.parkedQueueUrl | quote }}
DOCWELL_OCR: {{ .Values.index.ocr | quote }}
DOCWELL_STORAGE_URL: {{ .Values.data.storageUrl | quote }}
DOCWELL_TOKEN_ISSUER: {{ .Values.tokens.issuer | quote }}
DOCWELL_TOKEN_CLIENTS: {{ .Values.tokens.clients | quote }}
DOCWELL_TOKEN_KEYS_URL: {{ .Values.tokens.keysUrl | quote }}
DOCWELL_PRINCIPAL_CLAIM: {{ .Values.tokens.principalClaim | quote }}
DOCWELL_GROUPS_CLAIM: {{ .Values.tokens.groupsClaim | quote }}
{{- with .Values.query.console }}
{{- if .enabled }}
DOCWELL_CONSOLE_CONNECT: {{ .connect | default $.Values.data.storageUrl | default $.Values.aws.endpoints.s3 | default (printf "https://%s.s3.%s.amazonaws.com" $.Values.data.bucket $.Values.aws.region) | quote }}
{{- end }}
{{- end }}
DOCWELL_PORT: 8080
DOCWELL_HEALTH_PORT: 9090
DOCWELL_GRACE_S: {{ include "docwell.text" .Values.query.graceSeconds | quote }}
{{- end }}

{{- define "docwell.settings.reconcile" -}}
DOCWELL_OCR: {{ .Values.index.ocr | quote }}
DOCWELL_HEALTH_PORT: 9090
DOCWELL_SCRAPE_S: {{ ternary (mul 3 .Values.monitoring.intervalSeconds) 0 .Values.monitoring.enabled | quote }}
{{- end }}

{{- define "docwell.settings.events" -}}
DOCWELL_BUCKET: {{ .Values.data.bucket | quote }}
DOCWELL_LEDGER_TABLE: {{ .Values.data.ledgerTable | quote }}
DOCWELL_WEBHOOK_URL: {{ .Values.events.webhook.url | quote }}
DOCWELL_HEALTH_PORT: 9090
DOCWELL_GRACE_S: 25
{{- end }}

{{/* The variables of AWS's SDK and of Powertools. */}}
{{- define "docwell.platform" -}}
AWS_REGION: {{ .Values.aws.region | quote }}
AWS_ENDPOINT_URL_S3: {{ .Values.aws.endpoints.s3 | quote }}
AWS_ENDPOINT_URL_SQS: {{ .Values.aws.endpoints.sqs | quote }}
AWS_ENDPOINT_URL_DYNAMODB: {{ .Values.aws.endpoints.dynamodb | quote }}
AWS_ENDPOINT_URL_DYNAMODB_STREAMS: {{ .Values.aws.endpoints.dynamodb | quote }}
AWS_ENDPOINT_URL_SECRETS_MANAGER: {{ .Values.aws.endpoints.secretsManager | quote }}
AWS_ENDPOINT_URL_STS: {{ .Values.aws.endpoints.sts | quote }}
POWERTOOLS_METRICS_NAMESPACE: "Docwell/{{ .Release.Name }}"
{{- with .Values.proxy }}
{{- if .url }}
HTTPS_PROXY: {{ .url | quote }}
HTTP_PROXY: {{ .url | quote }}
{{- $name := $.Release.Name | trunc 40 | trimSuffix "-" }}
NO_PROXY: {{ list "localhost" "127.0.0.1" "169.254.170.23" ".svc" ".cluster.local" (printf "%s-chroma" $name) (printf "%s-chroma-0.%s-chroma" $name $name) (printf "%s-model" $name) .exceptions | compact | join "," | quote }}
{{- end }}
{{- end }}
{{- if .Values.authorities.configMap }}
SSL_CERT_FILE: /etc/authorities/{{ .Values.authorities.key }}
AWS_CA_BUNDLE: /etc/authorities/{{ .Values.authorities.key }}
{{- end }}
POWERTOOLS_LOG_LEVEL: {{ .Values.logLevel | quote }}
{{- end }}

{{/* The environment of a worker. Called with a list: the root, and ingest, query, reconcile or events. An empty setting counts
as unset, and is there so that the manifest shows each. A component's setting wins over a shared one. */}}
{{- define "docwell.environment" -}}
{{- $root := first . -}}
{{- $component := last . -}}
{{- $all := dict "POWERTOOLS_SERVICE_NAME" $component -}}
{{- range $name, $value := include "docwell.platform" $root | fromYaml -}}
{{- if $value -}}{{- $_ := set $all $name $value -}}{{- end -}}
{{- end -}}
{{- range $part := ternary (list "events") (list "shared" $component) (eq $component "events") -}}
{{- range $name, $value := include (printf "docwell.settings.%s" $part) $root | fromYaml -}}
{{- $_ := set $all $name $value -}}
{{- end -}}
{{- range $name, $value := index $root.Values.settings $part -}}
{{- $_ := set $all (printf "DOCWELL_%s" (upper $name)) $value -}}
{{- end -}}
{{- end -}}
{{- $taken := concat (keys $all) (list "DOCWELL_CHROMA_TOKEN" "DOCWELL_OLLAMA_TOKEN" "DOCWELL_WEBHOOK_SECRET") -}}
{{- if $root.Values.aws.credentialsSecret }}{{- $taken = concat $taken (list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY") }}{{- end }}
{{- range $root.Values.extraEnvironment }}
{{- if has .name $taken }}{{- fail (printf "extraEnvironment cannot set %s of %s: it is set already" .name $component) }}{{- end }}
{{- $taken = append $taken .name }}
{{- end }}
{{- range $name, $value := $all }}
- {name: {{ $name }}, value: {{ include "docwell.text" $value | quote }}}
{{- end }}
{{- if ne $component "events" }}
{{ include "docwell.token" (list "DOCWELL_CHROMA_TOKEN" $root.Values.chroma.token) }}
{{- else if $root.Values.events.webhook.url }}
{{ include "docwell.token" (list "DOCWELL_WEBHOOK_SECRET" $root.Values.events.webhook) }}
{{- end }}
{{- if eq $component "query" }}
{{ include "docwell.token" (list "DOCWELL_OLLAMA_TOKEN" $root.Values.model.token) }}
{{- end }}
{{- with $root.Values.aws.credentialsSecret }}
- {name: AWS_ACCESS_KEY_ID, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: access-key-id}}}
- {name: AWS_SECRET_ACCESS_KEY, valueFrom: {secretKeyRef: {name: {{ . | quote }}, key: secret-access-key}}}
{{- end }}
{{- with $root.Values.extraEnvironment }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* A token by reference. Called with a list: the variable, and the token's values. */}}
{{- define "docwell.token" -}}
{{- $token := last . -}}
{{- if $token.secretName -}}
- {name: {{ first . }}, valueFrom: {secretKeyRef: {name: {{ $token.secretName | quote }}, key: {{ $token.secretKey | quote }}}}}
{{- else -}}
- {name: {{ first . }}, value: {{ $token.arn | quote }}}
{{- end -}}
{{- end }}
