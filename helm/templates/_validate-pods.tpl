{{/* What Kubernetes would refuse late, or not at all: names, labels, and what the values add to the pods. */}}

{{/* A Service's name begins with a letter and has no dots, and Helm lets a release's name have both. */}}
{{- define "connector.validate.name" -}}
{{- $name := include "connector.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $name) -}}
- fullnameOverride: is needed, since {{ $name }} cannot be the name of a Service: set it to lower-case letters, digits and hyphens that begin with a letter, or choose another release name
{{- end -}}
{{- end -}}

{{- define "connector.validate.labels" -}}
{{- $problems := list -}}
{{- $word := "([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)" -}}
{{- $key := printf "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?%s$" $word -}}
{{- $ours := include "connector.selectorLabels" (list . "connector") | fromYaml -}}
{{- range $value, $labels := dict
      "commonLabels" .Values.commonLabels
      "podLabels" .Values.podLabels
      "provisioning.podLabels" .Values.provisioning.podLabels
      "batch.podLabels" .Values.batch.podLabels
      "tests.podLabels" .Values.tests.podLabels
      "serviceMonitor.labels" .Values.serviceMonitor.labels
      "podMonitor.labels" .Values.podMonitor.labels
      "prometheusRule.labels" .Values.prometheusRule.labels
      "dashboard.labels" .Values.dashboard.labels -}}
{{- range $name, $text := $labels -}}
{{- if hasKey $ours $name -}}
{{- $problems = append $problems (printf "- %s: %s is a label that the chart selects by: leave it out" $value $name) -}}
{{- else if not (regexMatch $key $name) -}}
{{- $problems = append $problems (printf "- %s: %s is not a valid label name: letters, digits, `-`, `_` and `.`, at most 63, after a domain and `/` or none" $value $name) -}}
{{- else if not (regexMatch (printf "^%s?$" $word) $text) -}}
{{- $problems = append $problems (printf "- %s: %s cannot be %s: a label is at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends" $value $name $text) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $text := .Values.nodeSelector -}}
{{- if not (and (regexMatch $key $name) (regexMatch (printf "^%s?$" $word) $text)) -}}
{{- $problems = append $problems (printf "- nodeSelector: %s: %s is not a valid node label: see names and values with `kubectl get nodes --show-labels`" $name $text) -}}
{{- end -}}
{{- end -}}
{{- range $value, $annotations := dict
      "commonAnnotations" .Values.commonAnnotations
      "workloadAnnotations" .Values.workloadAnnotations
      "podAnnotations" .Values.podAnnotations
      "provisioning.annotations" .Values.provisioning.annotations
      "provisioning.podAnnotations" .Values.provisioning.podAnnotations
      "batch.podAnnotations" .Values.batch.podAnnotations
      "tests.podAnnotations" .Values.tests.podAnnotations
      "service.annotations" .Values.service.annotations
      "serviceAccount.annotations" .Values.serviceAccount.annotations
      "dashboard.annotations" .Values.dashboard.annotations -}}
{{- range $name := keys ($annotations | default dict) | sortAlpha -}}
{{- if has $name (list (include "connector.configAnnotation" $) "checksum/secrets") -}}
{{- $problems = append $problems (printf "- %s: %s is an annotation that the chart sets: leave it out" $value $name) -}}
{{- else if not (regexMatch $key (lower $name)) -}}
{{- $problems = append $problems (printf "- %s: %s is not a valid annotation name: letters, digits, `-`, `_` and `.`, at most 63, after a domain and `/` or none" $value $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join "\n" $problems -}}
{{- end -}}

{{/*
Names that must differ from ours and from each other, as lines. Called with (list VALUE NAMES OURS KIND), KIND being what
they name.
*/}}
{{- define "connector.validate.distinct" -}}
{{- $value := index . 0 -}}
{{- $seen := list -}}
{{- range $name := index . 1 -}}
{{- if has $name (index $ 2) }}
- {{ $value }}: {{ $name }} is {{ index $ 3 }} of the chart's: give yours another name
{{- else if has $name $seen }}
- {{ $value }}: {{ $name }} is there twice: leave one out
{{- end -}}
{{- $seen = append $seen $name -}}
{{- end -}}
{{- end -}}

{{/* Items of a list whose `name` no volume or container can have, as lines. Called with (list VALUE ITEMS). */}}
{{- define "connector.validate.dnsLabels" -}}
{{- range index . 1 -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" (toString .name)) }}
- {{ index $ 0 }}: {{ .name | default "an item without a name" }} is no name that Kubernetes takes: set name to lower-case letters, digits and hyphens, at most 63
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the items of a list have under a key, as YAML. Called with (list ITEMS KEY). */}}
{{- define "connector.validate.names" -}}
{{- $names := list -}}
{{- range index . 0 }}{{ $names = append $names (get . (index $ 1) | toString) }}{{ end -}}
{{- toYaml (dict "names" $names) -}}
{{- end -}}

{{/* The names of our volumes and the folders that they are mounted at, as YAML. */}}
{{- define "connector.ownVolumes" -}}
{{- $own := dict "config" (include "connector.configFile" . | dir) "secrets" (include "connector.secretsFolder" .) -}}
{{- if or .Values.batch.tweets.enabled .Values.batch.users.enabled }}{{ $_ := set $own "spool" (include "connector.spoolFolder" .) }}{{ end -}}
{{- toYaml $own -}}
{{- end -}}

{{/* The names of our variables in any pod, as YAML. */}}
{{- define "connector.ownVariables" -}}
{{- $names := list "CONNECTOR_KAFKA__GROUP_INSTANCE_ID" -}}
{{- range $role := list "service" "provision" "batch" -}}
{{- range (include "connector.credentials" (list $ $role) | fromYaml).env }}{{ $names = append $names .name }}{{ end -}}
{{- end -}}
{{- toYaml (dict "names" $names) -}}
{{- end -}}

{{- define "connector.validate.mounts" -}}
{{- $own := include "connector.ownVolumes" . | fromYaml -}}
{{- $known := concat (keys $own) (include "connector.validate.names" (list .Values.extraVolumes "name") | fromYaml).names -}}
{{- $paths := list -}}
{{- range .Values.extraVolumeMounts -}}
{{- $path := toString .mountPath | clean -}}
{{- $paths = append $paths $path -}}
{{- range $folder := values $own -}}
{{- if hasPrefix (printf "%s/" $folder) (printf "%s/" $path) }}
- extraVolumeMounts: {{ $path }} is in a folder of the chart's: mount yours elsewhere
{{- end -}}
{{- end -}}
{{- if not (has .name $known) }}
- extraVolumeMounts: {{ .name }} is no volume: add it to extraVolumes
{{- end -}}
{{- end -}}
{{- include "connector.validate.distinct" (list "extraVolumeMounts" $paths list "a folder") -}}
{{- end -}}

{{- define "connector.validate.extras" -}}
{{- $containers := concat (.Values.initContainers | default list) (.Values.extraContainers | default list) -}}
{{- $spread := list -}}
{{- range .Values.topologySpreadConstraints }}{{ $spread = append $spread (dict "name" (printf "%v with %v" .topologyKey .whenUnsatisfiable)) }}{{ end -}}
{{- $problems := list (include "connector.validate.mounts" .) -}}
{{- range $value, $items := dict "extraVolumes" .Values.extraVolumes "initContainers" .Values.initContainers "extraContainers" .Values.extraContainers -}}
{{- $problems = append $problems (include "connector.validate.dnsLabels" (list $value $items)) -}}
{{- end -}}
{{- range $case := list
      (list "extraEnv" .Values.extraEnv "name" (include "connector.ownVariables" . | fromYaml).names "a variable")
      (list "extraVolumes" .Values.extraVolumes "name" (include "connector.ownVolumes" . | fromYaml | keys) "a volume")
      (list "initContainers and extraContainers" $containers "name" (list "connector") "a container")
      (list "hostAliases" .Values.hostAliases "ip" list "an address")
      (list "topologySpreadConstraints" $spread "name" list "a constraint") -}}
{{- $names := (include "connector.validate.names" (list (index $case 1) (index $case 2)) | fromYaml).names -}}
{{- $problems = append $problems (include "connector.validate.distinct" (list (index $case 0) $names (index $case 3) (index $case 4))) -}}
{{- end -}}
{{- $lines := list -}}
{{- range $problems }}{{ with trim . }}{{ $lines = append $lines . }}{{ end }}{{ end -}}
{{- join "\n" $lines -}}
{{- end -}}
