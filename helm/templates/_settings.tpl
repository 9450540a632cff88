{{/* What the connector reads: the YAML file, and which credentials are mounted where. */}}

{{- define "connector.configFile" -}}/etc/connector/config/config.yaml{{- end -}}
{{/* The annotation of a pod that holds the file: so each revision has its own, whatever is rolled out or rolled back. */}}
{{- define "connector.configAnnotation" -}}x-compliance-connector/config.yaml{{- end -}}
{{- define "connector.secretsFolder" -}}/etc/connector/secrets{{- end -}}
{{/* Where a batch run keeps what it needs to resume. */}}
{{- define "connector.spoolFolder" -}}/spool{{- end -}}

{{/* The YAML file: the values we know by name, and over them what `config` says. */}}
{{- define "connector.config" -}}
{{- $secrets := include "connector.secretsFolder" . -}}
{{- $x := dict "base_url" .Values.x.baseUrl "streams" .Values.x.streams -}}
{{- if or .Values.x.ca.configMap .Values.x.ca.secret }}{{ $_ := set $x "ca_file" (printf "%s/x/ca.crt" $secrets) }}{{ end -}}
{{- with .Values.kafka -}}
{{- $kafka := dict
      "bootstrap_servers" .bootstrapServers
      "topic_prefix" .topicPrefix
      "security_protocol" .securityProtocol
      "replication_factor" (int .replicationFactor)
      "min_insync_replicas" (int .minInsyncReplicas)
      "partitions" (int .partitions) -}}
{{- with .properties }}{{ $_ := set $kafka "properties" (deepCopy .) }}{{ end -}}
{{- $sasl := dict -}}
{{- with .sasl.mechanism }}{{ $_ := set $sasl "mechanism" . }}{{ end -}}
{{- with .sasl.username }}{{ $_ := set $sasl "username" . }}{{ end -}}
{{- with $sasl }}{{ $_ := set $kafka "sasl" . }}{{ end -}}
{{- if or .tls.ca.configMap .tls.ca.secret }}{{ $_ := set $kafka "tls" (dict "ca_file" (printf "%s/kafka/ca.crt" $secrets)) }}{{ end -}}
{{- $registry := dict "url" $.Values.schemaRegistry.url -}}
{{- with $.Values.schemaRegistry.username }}{{ $_ := set $registry "username" . }}{{ end -}}
{{- with $.Values.schemaRegistry.ca }}
{{- if or .configMap .secret }}{{ $_ := set $registry "ca_file" (printf "%s/schema-registry/ca.crt" $secrets) }}{{ end -}}
{{- end -}}
{{- $config := dict
      "x" $x
      "kafka" $kafka
      "schema_registry" $registry
      "http" (dict "host" $.Values.http.host "port" (int $.Values.http.port))
      "log" (dict "level" $.Values.log.level "format" $.Values.log.format)
      "pipeline" (dict "start_deadline_s" (int $.Values.startDeadlineSeconds)) -}}
{{- mustMergeOverwrite $config (deepCopy ($.Values.config | default dict)) | toYaml -}}
{{- end -}}
{{- end -}}

{{/*
The credentials of a role, `service`, `provision` or `batch`, as YAML: `env`, and `sources` of a projected volume. All
are files of a folder that the kubelet keeps up to date (no subPath), so a rotated one needs no restart to arrive.
Called with (list . ROLE).
*/}}
{{- define "connector.credentials" -}}
{{- $root := index . 0 -}}
{{- $values := $root.Values -}}
{{- $role := index . 1 -}}
{{- $needsX := ne $role "provision" -}}
{{- $name := include "connector.fullname" $root -}}
{{- $kafka := dict "sasl" $values.kafka.sasl "tls" $values.kafka.tls -}}
{{- $registry := $values.schemaRegistry -}}
{{- $env := list -}}
{{- $files := list -}}
{{- with get (dict "provision" $values.provisioning "batch" $values.batch) $role -}}
{{- with .kafka.sasl }}{{ if .existingSecret }}
{{- $kafka = set $kafka "sasl" . -}}
{{- $env = append $env (dict "name" "CONNECTOR_KAFKA__SASL__USERNAME" "value" .username) -}}
{{- end }}{{ end -}}
{{- with .kafka.tls }}{{ if .existingSecret }}{{ $kafka = set $kafka "tls" . }}{{ end }}{{ end -}}
{{- with .schemaRegistry }}{{ if .existingSecret }}
{{- $registry = . -}}
{{- $env = append $env (dict "name" "CONNECTOR_SCHEMA_REGISTRY__USERNAME" "value" .username) -}}
{{- end }}{{ end -}}
{{- end -}}
{{- if and $needsX (or $values.x.existingSecret $values.x.bearerToken $values.x.apiKey) -}}
{{- $secret := $values.x.existingSecret | default (printf "%s-x" $name) -}}
{{- if eq $values.x.auth "bearerToken" -}}
{{- $files = append $files (list "CONNECTOR_X__BEARER_TOKEN_FILE" $secret $values.x.secretKeys.bearerToken "x/bearer-token") -}}
{{- else -}}
{{- $files = append $files (list "CONNECTOR_X__API_KEY_FILE" $secret $values.x.secretKeys.apiKey "x/api-key") -}}
{{- $files = append $files (list "CONNECTOR_X__API_KEY_SECRET_FILE" $secret $values.x.secretKeys.apiKeySecret "x/api-key-secret") -}}
{{- end -}}
{{- end -}}
{{- with $kafka.sasl }}{{ if or .existingSecret .password -}}
{{- $files = append $files (list "CONNECTOR_KAFKA__SASL__PASSWORD_FILE" (.existingSecret | default (printf "%s-kafka" $name)) .secretKeys.password "kafka/password") -}}
{{- end }}{{ end -}}
{{- with $kafka.tls }}{{ if .existingSecret -}}
{{- $files = append $files (list "CONNECTOR_KAFKA__TLS__CERTIFICATE_FILE" .existingSecret .secretKeys.certificate "kafka/tls.crt") -}}
{{- $files = append $files (list "CONNECTOR_KAFKA__TLS__KEY_FILE" .existingSecret .secretKeys.key "kafka/tls.key") -}}
{{- if .secretKeys.keyPassword -}}
{{- $files = append $files (list "CONNECTOR_KAFKA__TLS__KEY_PASSWORD_FILE" .existingSecret .secretKeys.keyPassword "kafka/tls-key-password") -}}
{{- end -}}
{{- end }}{{ end -}}
{{- with $values.kafka.secretProperties }}{{ if .existingSecret -}}
{{- $files = append $files (list "CONNECTOR_KAFKA__PROPERTIES_FILE" .existingSecret .key "kafka/properties.json") -}}
{{- end }}{{ end -}}
{{- with $registry }}{{ if or .existingSecret .password -}}
{{- $files = append $files (list "CONNECTOR_SCHEMA_REGISTRY__PASSWORD_FILE" (.existingSecret | default (printf "%s-schema-registry" $name)) .secretKeys.password "schema-registry/password") -}}
{{- end }}{{ end -}}
{{- $sources := list -}}
{{- range $files -}}
{{- $env = append $env (dict "name" (index . 0) "value" (printf "%s/%s" (include "connector.secretsFolder" $root) (index . 3))) -}}
{{- $sources = append $sources (dict "secret" (dict "name" (index . 1) "items" (list (dict "key" (index . 2) "path" (index . 3))))) -}}
{{- end -}}
{{- $authorities := dict "kafka/ca.crt" $values.kafka.tls.ca "schema-registry/ca.crt" $values.schemaRegistry.ca -}}
{{- if $needsX }}{{ $_ := set $authorities "x/ca.crt" $values.x.ca }}{{ end -}}
{{- range $path, $ca := $authorities -}}
{{- $items := list (dict "key" $ca.key "path" $path) -}}
{{- if $ca.configMap }}{{ $sources = append $sources (dict "configMap" (dict "name" $ca.configMap "items" $items)) }}{{ end -}}
{{- if $ca.secret }}{{ $sources = append $sources (dict "secret" (dict "name" $ca.secret "items" $items)) }}{{ end -}}
{{- end -}}
{{- dict "env" $env "sources" $sources | toYaml -}}
{{- end -}}
