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
{{- $problems = append $problems (printf "- %s: %s is what the chart selects by: leave it out" $value $name) -}}
{{- else if not (regexMatch $key $name) -}}
{{- $problems = append $problems (printf "- %s: %s is no name of a label: letters, digits, `-`, `_` and `.`, at most 63, after a domain and `/` or none" $value $name) -}}
{{- else if not (regexMatch (printf "^%s?$" $word) $text) -}}
{{- $problems = append $problems (printf "- %s: %s cannot be %s: a label is at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends" $value $name $text) -}}
{{- end -}}
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
{{- $problems = append $problems (printf "- %s: %s is an annotation of the chart's: leave it out" $value $name) -}}
{{- else if not (regexMatch $key $name) -}}
{{- $problems = append $problems (printf "- %s: %s is no name of an annotation: letters, digits, `-`, `_` and `.`, at most 63, after a domain and `/` or none" $value $name) -}}
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

{{/* The members `name` of a list, those that are no names of volumes and containers as lines. Called with (list VALUE ITEMS). */}}
{{- define "connector.validate.dnsLabels" -}}
{{- range index . 1 -}}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" (toString .name)) }}
- {{ index $ 0 }}: {{ .name | default "an item without a name" }} is no name that Kubernetes takes: set name to lower-case letters, digits and hyphens, at most 63
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The names of the items of a list, as YAML. Called with (list ITEMS KEY). */}}
{{- define "connector.validate.names" -}}
{{- $names := list -}}
{{- range index . 0 }}{{ $names = append $names (get . (index $ 1) | toString) }}{{ end -}}
{{- toYaml (dict "names" $names) -}}
{{- end -}}

{{- define "connector.validate.extras" -}}
{{- $values := .Values -}}
{{- $hasBatch := or $values.batch.tweets.enabled $values.batch.users.enabled -}}
{{- $variables := list "CONNECTOR_KAFKA__GROUP_INSTANCE_ID" -}}
{{- range $role := list "service" "provision" "batch" -}}
{{- range (include "connector.credentials" (list $ $role) | fromYaml).env }}{{ $variables = append $variables .name }}{{ end -}}
{{- end -}}
{{- $volumes := list "config" "secrets" -}}
{{- $folders := list (include "connector.configFile" . | dir) (include "connector.secretsFolder" .) -}}
{{- if $hasBatch -}}
{{- $volumes = append $volumes "spool" -}}
{{- $folders = append $folders (include "connector.spoolFolder" .) -}}
{{- end -}}
{{- $mounts := list -}}
{{- $problems := list -}}
{{- $known := concat $volumes (include "connector.validate.names" (list $values.extraVolumes "name") | fromYaml).names -}}
{{- range $values.extraVolumeMounts -}}
{{- $path := toString .mountPath | clean -}}
{{- $mounts = append $mounts $path -}}
{{- range $folders -}}
{{- if hasPrefix (printf "%s/" .) (printf "%s/" $path) -}}
{{- $problems = append $problems (printf "- extraVolumeMounts: %s is in a folder of the chart's: mount yours elsewhere" $path) -}}
{{- end -}}
{{- end -}}
{{- if not (has .name $known) -}}
{{- $problems = append $problems (printf "- extraVolumeMounts: %s is no volume: add it to extraVolumes" (toString .name)) -}}
{{- end -}}
{{- end -}}
{{- range $value, $items := dict "extraVolumes" $values.extraVolumes "initContainers" $values.initContainers "extraContainers" $values.extraContainers -}}
{{- $problems = append $problems (include "connector.validate.dnsLabels" (list $value $items)) -}}
{{- end -}}
{{- $containers := concat ($values.initContainers | default list) ($values.extraContainers | default list) -}}
{{- range $case := list
      (list "extraEnv" $values.extraEnv "name" $variables "a variable")
      (list "extraVolumes" $values.extraVolumes "name" $volumes "a volume")
      (list "initContainers and extraContainers" $containers "name" (list "connector") "a container")
      (list "hostAliases" $values.hostAliases "ip" list "an address") -}}
{{- $names := (include "connector.validate.names" (list (index $case 1) (index $case 2)) | fromYaml).names -}}
{{- $problems = append $problems (include "connector.validate.distinct" (list (index $case 0) $names (index $case 3) (index $case 4))) -}}
{{- end -}}
{{- $problems = append $problems (include "connector.validate.distinct" (list "extraVolumeMounts" $mounts list "a folder")) -}}
{{- $spread := list -}}
{{- range $values.topologySpreadConstraints }}{{ $spread = append $spread (printf "%v with %v" .topologyKey .whenUnsatisfiable) }}{{ end -}}
{{- $problems = append $problems (include "connector.validate.distinct" (list "topologySpreadConstraints" $spread list "a constraint")) -}}
{{- $lines := list -}}
{{- range $problems }}{{ with trim . }}{{ $lines = append $lines . }}{{ end }}{{ end -}}
{{- join "\n" $lines -}}
{{- end -}}
