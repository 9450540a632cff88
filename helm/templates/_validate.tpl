{{/* Combinations that cannot work, all at once, each with what to set. What one value may be is in values.schema.json. */}}

{{- define "connector.validate" -}}
{{- $problems := compact (list
      (include "connector.validate.required" .)
      (include "connector.validate.name" .)
      (include "connector.validate.labels" .)
      (include "connector.validate.x" .)
      (include "connector.validate.kafka" .)
      (include "connector.validate.schemaRegistry" .)
      (include "connector.validate.ownUsers" .)
      (include "connector.validate.authorities" .)
      (include "connector.validate.config" .)
      (include "connector.validate.lineBreaks" .)
      (include "connector.validate.extraEnv" .)
      (include "connector.validate.extras" .)
      (include "connector.validate.pods" .)
      (include "connector.validate.monitoring" .)
      (include "connector.validate.alerts" .)) -}}
{{- if $problems }}{{ printf "invalid values:\n%s" (join "\n" $problems) | fail }}{{ end -}}
{{- end -}}

{{- define "connector.validate.required" -}}
{{- $config := include "connector.config" . | fromYaml -}}
{{- $problems := list -}}
{{- if not .Values.image.repository -}}
{{- $problems = append $problems (printf "- image.repository: is required. Set it to that of a release's image, or build one: run `make image IMAGE=REPOSITORY:%s PUSH=1` at the root of the source" .Chart.AppVersion) -}}
{{- else if regexMatch ":[^/]*$" .Values.image.repository -}}
{{- $problems = append $problems "- image.repository: ends with a tag: set that by image.tag" -}}
{{- end -}}
{{- range $value, $text := dict "image.repository" .Values.image.repository "image.registry" .Values.image.registry "global.imageRegistry" .Values.global.imageRegistry -}}
{{- if contains "://" (toString $text) -}}
{{- $problems = append $problems (printf "- %s: %s is a URL: leave out what is before the host" $value $text) -}}
{{- end -}}
{{- end -}}
{{- if not $config.kafka.bootstrap_servers -}}
{{- $problems = append $problems "- kafka.bootstrapServers: is required: set it to your brokers, such as kafka-bootstrap:9092" -}}
{{- end -}}
{{- if not $config.schema_registry.url -}}
{{- $problems = append $problems "- schemaRegistry.url: is required: set it to the registry's Confluent-compatible API, such as http://registry:8080/apis/ccompat/v7" -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{- define "connector.validate.x" -}}
{{- with .Values.x -}}
{{- $hasValue := or .bearerToken .apiKey .apiKeySecret -}}
{{- if and .existingSecret $hasValue -}}
- x.existingSecret: set it, or x.bearerToken, x.apiKey and x.apiKeySecret, not both
{{- else if or .existingSecret (dig "x" "bearer_token_file" "" ($.Values.config | default dict)) (dig "x" "api_key_file" "" ($.Values.config | default dict)) -}}
{{- else if eq .auth "bearerToken" -}}
{{- if or .apiKey .apiKeySecret -}}
- x.auth: is bearerToken, but x.apiKey or x.apiKeySecret is set: set x.auth to apiKey
{{- else if not .bearerToken -}}
- x.existingSecret: is required: `kubectl create secret generic x-credentials --from-file={{ .secretKeys.bearerToken }}=FILE`, then set x.existingSecret to x-credentials
{{- end -}}
{{- else if .bearerToken -}}
- x.auth: is apiKey, but x.bearerToken is set: set x.auth to bearerToken
{{- else if not (and .apiKey .apiKeySecret) -}}
- x.existingSecret: is required: `kubectl create secret generic x-credentials --from-file={{ .secretKeys.apiKey }}=FILE --from-file={{ .secretKeys.apiKeySecret }}=FILE`, then set x.existingSecret to x-credentials
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "connector.validate.kafka" -}}
{{- $problems := list -}}
{{- $config := (include "connector.config" . | fromYaml).kafka -}}
{{- $protocol := toString $config.security_protocol -}}
{{- $mechanism := dig "sasl" "mechanism" "" $config -}}
{{- $username := dig "sasl" "username" "" $config -}}
{{- with .Values.kafka -}}
{{- $isSasl := hasPrefix "SASL" $protocol -}}
{{- $isTls := hasSuffix "SSL" $protocol -}}
{{- $needsPassword := and $isSasl $mechanism (ne $mechanism "OAUTHBEARER") -}}
{{- if and $isSasl (not $mechanism) -}}
{{- $problems = append $problems (printf "- kafka.sasl.mechanism: is needed with kafka.securityProtocol %s: set it to what the listener takes, such as SCRAM-SHA-512" $protocol) -}}
{{- end -}}
{{- if and $needsPassword (not $username) -}}
{{- $problems = append $problems (printf "- kafka.sasl.username: is needed for %s: set it" $mechanism) -}}
{{- end -}}
{{- if and $needsPassword (not (or .sasl.existingSecret .sasl.password (dig "kafka" "sasl" "password_file" "" ($.Values.config | default dict)))) -}}
{{- $problems = append $problems (printf "- kafka.sasl.existingSecret: is needed for %s: set it to a Secret whose key `%s` holds the password" $mechanism .sasl.secretKeys.password) -}}
{{- end -}}
{{- if and .sasl.existingSecret .sasl.password -}}
{{- $problems = append $problems "- kafka.sasl.existingSecret: set it or kafka.sasl.password, not both" -}}
{{- end -}}
{{- if and (not $isSasl) (or $mechanism $username .sasl.existingSecret .sasl.password) -}}
{{- $problems = append $problems (printf "- kafka.securityProtocol: is %s, but kafka.sasl is set: set it to SASL_SSL (or SASL_PLAINTEXT)" $protocol) -}}
{{- end -}}
{{- if and (not $isTls) (or .tls.ca.configMap .tls.ca.secret .tls.existingSecret) -}}
{{- $problems = append $problems (printf "- kafka.securityProtocol: is %s, but kafka.tls is set: set it to SSL or SASL_SSL" $protocol) -}}
{{- end -}}
{{- $more := dig "kafka" "properties" dict ($.Values.config | default dict) -}}
{{- if not (kindIs "map" $more) -}}
{{- $problems = append $problems "- config.kafka.properties: is text: make it a map, or use kafka.properties" -}}
{{- end -}}
{{- range $name := concat (keys (.properties | default dict)) (keys (kindIs "map" $more | ternary $more (dict))) | sortAlpha | uniq -}}
{{- if regexMatch "(^|\\.)(password|passphrase|secret)$|\\.key\\.pem$|^sasl\\.(oauthbearer\\.(config|extensions)|jaas\\.config|kerberos\\.kinit\\.cmd)$" $name -}}
{{- $problems = append $problems (printf "- kafka.secretProperties.existingSecret: must hold the property %s: set it to a Secret whose key `%s` holds it in a JSON map" $name $.Values.kafka.secretProperties.key) -}}
{{- end -}}
{{- end -}}
{{- if gt (int $config.min_insync_replicas) (int $config.replication_factor) -}}
{{- $problems = append $problems "- kafka.minInsyncReplicas: must not be larger than kafka.replicationFactor" -}}
{{- end -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{- define "connector.validate.schemaRegistry" -}}
{{- with .Values.schemaRegistry -}}
{{- $config := (include "connector.config" $ | fromYaml).schema_registry -}}
{{- $hasPassword := or .existingSecret .password $config.password_file -}}
{{- if and .existingSecret .password -}}
- schemaRegistry.existingSecret: set it or schemaRegistry.password, not both
{{- else if and $config.username (not $hasPassword) -}}
- schemaRegistry.existingSecret: is needed with schemaRegistry.username: set it to a Secret whose key `{{ .secretKeys.password }}` holds the password
{{- else if and $hasPassword (not $config.username) -}}
- schemaRegistry.username: is needed with a password: set it
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The users of Kafka and the registry that are not the service's. */}}
{{- define "connector.validate.ownUsers" -}}
{{- $problems := list -}}
{{- $protocol := toString (include "connector.config" . | fromYaml).kafka.security_protocol -}}
{{- range $name, $kafka := dict "provisioning.kafka" .Values.provisioning.kafka "batch.kafka" .Values.batch.kafka -}}
{{- with $kafka.sasl -}}
{{- if ne (empty .username) (empty .existingSecret) -}}
{{- $problems = append $problems (printf "- %s.sasl: username and existingSecret go together: set both, or none for those of kafka.sasl" $name) -}}
{{- end -}}
{{- if and .existingSecret (not (hasPrefix "SASL" $protocol)) -}}
{{- $problems = append $problems (printf "- kafka.securityProtocol: is %s, but %s.sasl is set: set it to SASL_SSL (or SASL_PLAINTEXT)" $protocol $name) -}}
{{- end -}}
{{- end -}}
{{- if and $kafka.tls.existingSecret (not (hasSuffix "SSL" $protocol)) -}}
{{- $problems = append $problems (printf "- kafka.securityProtocol: is %s, but %s.tls is set: set it to SSL or SASL_SSL" $protocol $name) -}}
{{- end -}}
{{- end -}}
{{- with .Values.provisioning.schemaRegistry -}}
{{- if ne (empty .username) (empty .existingSecret) -}}
{{- $problems = append $problems "- provisioning.schemaRegistry: username and existingSecret go together: set both, or none for those of schemaRegistry" -}}
{{- end -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{- define "connector.validate.authorities" -}}
{{- $problems := list -}}
{{- range $name, $ca := dict "x.ca" .Values.x.ca "kafka.tls.ca" .Values.kafka.tls.ca "schemaRegistry.ca" .Values.schemaRegistry.ca -}}
{{- if and $ca.configMap $ca.secret -}}
{{- $problems = append $problems (printf "- %s: set configMap or secret, not both" $name) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{/* `config` must not take away what the manifests rely on, nor put a secret into an annotation, which everyone who lists pods sees. */}}
{{- define "connector.validate.config" -}}
{{- $problems := list -}}
{{- range $path, $instead := dict
      "x.bearer_token" "x.existingSecret"
      "x.api_key" "x.existingSecret"
      "x.api_key_secret" "x.existingSecret"
      "kafka.sasl.password" "kafka.sasl.existingSecret"
      "kafka.tls.key_password" "kafka.tls.existingSecret and kafka.tls.secretKeys.keyPassword"
      "schema_registry.password" "schemaRegistry.existingSecret"
      "kafka.group_instance_id" "nothing: every pod is given its own name"
      "http.host" "http.host among the values"
      "http.port" "http.port among the values" -}}
{{- $node := $.Values.config | default dict -}}
{{- $names := splitList "." $path -}}
{{- range initial $names -}}
{{- $next := get (kindIs "map" $node | ternary $node (dict)) . -}}
{{- $node = kindIs "map" $next | ternary $next (dict) -}}
{{- end -}}
{{- if hasKey $node (last $names) -}}
{{- $problems = append $problems (printf "- config.%s: cannot be set there; set %s" $path $instead) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{/* The settings are YAML within YAML, where Helm does not read back a line separator that it has written itself. */}}
{{- define "connector.validate.lineBreaks" -}}
{{- $problems := list -}}
{{- range $path, $value := dict
      "config" .Values.config
      "kafka.bootstrapServers" .Values.kafka.bootstrapServers
      "kafka.properties" .Values.kafka.properties
      "kafka.sasl.username" .Values.kafka.sasl.username
      "schemaRegistry.url" .Values.schemaRegistry.url
      "schemaRegistry.username" .Values.schemaRegistry.username
      "x.baseUrl" .Values.x.baseUrl -}}
{{- range compact (splitList "\n" (include "connector.withLineBreak" (list $path $value))) -}}
{{- $problems = append $problems (printf "- %s: holds U+0085, U+2028 or U+2029, a line break to YAML: leave it out" .) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{/* The paths of the texts with such a line break in what is at a path, one a line. Called with (list PATH VALUE). */}}
{{- define "connector.withLineBreak" -}}
{{- $path := index . 0 -}}
{{- $value := index . 1 -}}
{{- if or (kindIs "map" $value) (kindIs "slice" $value) -}}
{{- range $name, $each := $value -}}
{{- include "connector.withLineBreak" (list (printf "%s.%v" $path $name) $each) -}}
{{- end -}}
{{- else if regexMatch "[\u0085\u2028\u2029]" (printf "%s%v" $path $value) -}}
{{- regexReplaceAll "[\u0085\u2028\u2029]" $path " " }}{{ "\n" -}}
{{- end -}}
{{- end -}}

{{/*
A variable with a secret as its value would stand in the manifest, and in the release's history. One of a setting wins over the
file, and what the chart derives from that would not follow.
*/}}
{{- define "connector.validate.extraEnv" -}}
{{- $problems := list -}}
{{- range .Values.extraEnv -}}
{{- if and .value (or (regexMatch "^CONNECTOR_.*(TOKEN|API_KEY|SECRET|PASSWORD|KAFKA__PROPERTIES)$" (toString .name)) (and (regexMatch "(?i)_proxy$" (toString .name)) (regexMatch "//[^/]*@" (toString .value)))) -}}
{{- $problems = append $problems (printf "- extraEnv: %s may hold a secret: give it by valueFrom.secretKeyRef, or by the values that name a Secret" .name) -}}
{{- else if regexMatch "^CONNECTOR_(X__(BASE_URL|STREAMS|TRANSFER_ORIGINS)|KAFKA__(BOOTSTRAP_SERVERS|TOPIC_PREFIX|SECURITY_PROTOCOL)|SCHEMA_REGISTRY__URL|HTTP__(HOST|PORT))$" (toString .name) -}}
{{- $problems = append $problems (printf "- extraEnv: %s determines ports and notes: set its value of the chart, or the setting under config" .name) -}}
{{- end -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{- define "connector.validate.pods" -}}
{{- $problems := list -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and .minAvailable .maxUnavailable -}}
{{- $problems = append $problems "- podDisruptionBudget.minAvailable: set it or podDisruptionBudget.maxUnavailable, not both" -}}
{{- end -}}
{{- $replicas := int $.Values.replicas -}}
{{- if and .enabled $replicas (not (kindIs "string" .minAvailable)) (ge (int .minAvailable) $replicas) -}}
{{- $problems = append $problems "- podDisruptionBudget.minAvailable: must be less than replicas, else no node with one of them can be drained" -}}
{{- end -}}
{{- if and .enabled (eq (toString .minAvailable) "100%") -}}
{{- $problems = append $problems "- podDisruptionBudget.minAvailable: must be less than 100%, else no node with a replica can be drained" -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.dnsPolicy "None") (not (dig "nameservers" list (.Values.dnsConfig | default dict))) -}}
{{- $problems = append $problems "- dnsConfig.nameservers: is needed with dnsPolicy None: set it to the addresses of your DNS servers" -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{- define "connector.validate.monitoring" -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
- podMonitor.enabled: set it or serviceMonitor.enabled, not both, else everything is counted twice
{{- end -}}
{{- end -}}

{{/* A misspelt alert would go on firing, or never have the limit that was meant. */}}
{{- define "connector.validate.alerts" -}}
{{- $known := list -}}
{{- $limited := list -}}
{{- range (.Files.Get "monitoring/rules.yaml" | fromYaml).groups -}}
{{- range .rules -}}
{{- if .alert }}{{ $known = append $known .alert }}{{ end -}}
{{- if contains "# threshold" .expr }}{{ $limited = append $limited .alert }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $problems := list -}}
{{- with .Values.prometheusRule -}}
{{- range $value, $names := dict
      "disabledAlerts" (.disabledAlerts | default list)
      "alertFor" (keys (.alertFor | default dict) | sortAlpha)
      "alertSeverity" (keys (.alertSeverity | default dict) | sortAlpha)
      "alertThresholds" (keys (.alertThresholds | default dict) | sortAlpha) -}}
{{- range $name := $names -}}
{{- if not (has $name $known) -}}
{{- $problems = append $problems (printf "- prometheusRule.%s: %s is not an alert of the chart: docs/runbook.md has a section for each" $value $name) -}}
{{- else if and (eq $value "alertThresholds") (not (has $name $limited)) -}}
{{- $problems = append $problems (printf "- prometheusRule.alertThresholds: %s has no threshold: these have: %s" $name (join ", " $limited)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}
