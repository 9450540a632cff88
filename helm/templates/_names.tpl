{{/* Names, labels and the image: what every manifest says about itself. */}}

{{/* What may be the value of a label, of any text that has its characters alone. */}}
{{- define "connector.labelValue" -}}
{{- . | trunc 63 | trimAll "-_." -}}
{{- end -}}

{{/* At most 39 characters: CronJobs add `-batch-tweets` to it, and Kubernetes takes 52 for their names. */}}
{{- define "connector.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 39 | trimAll "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 39 | trimAll "-" -}}
{{- end -}}
{{- end -}}

{{- define "connector.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "connector.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* What a selector may hold: never changed, since most selectors cannot be. Called with (list . COMPONENT). */}}
{{- define "connector.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "connector.labelValue" (default $root.Chart.Name $root.Values.nameOverride) }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The labels of an object. Called with (list . COMPONENT). */}}
{{- define "connector.labels" -}}
{{- $root := index . 0 -}}
{{- $own := dict
      "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | include "connector.labelValue")
      "app.kubernetes.io/version" ($root.Values.image.tag | default $root.Chart.AppVersion | include "connector.labelValue")
      "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- mergeOverwrite (dict) ($root.Values.commonLabels | default dict) $own (include "connector.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* Name, labels and annotations of an object. Called with (list . COMPONENT SUFFIX), and more labels and annotations. */}}
{{- define "connector.metadata" -}}
{{- $root := index . 0 -}}
{{- $labels := include "connector.labels" . | fromYaml -}}
{{- $annotations := $root.Values.commonAnnotations | default dict -}}
{{- if gt (len .) 3 }}{{ $labels = merge (dict) $labels (index . 3 | default dict) }}{{ end -}}
{{- if gt (len .) 4 }}{{ $annotations = merge (dict) (index . 4 | default dict) $annotations }}{{ end -}}
name: {{ include "connector.fullname" $root }}{{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The labels of a pod: no version, so that a new chart alone restarts nothing. Called with (list . COMPONENT LABELS). */}}
{{- define "connector.podLabels" -}}
{{- $root := index . 0 -}}
{{- mergeOverwrite (dict) ($root.Values.commonLabels | default dict) (index . 2 | default dict) (include "connector.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* The annotations of a pod, its configuration among them. Called with (list . ANNOTATIONS). */}}
{{- define "connector.podAnnotations" -}}
{{- $root := index . 0 -}}
{{- $config := dict (include "connector.configAnnotation" $root) (include "connector.config" $root) -}}
{{- merge $config (index . 1 | default dict) ($root.Values.commonAnnotations | default dict) | toYaml -}}
{{- end -}}

{{- define "connector.image" -}}
{{- with .Values.image -}}
{{- with .registry | default $.Values.global.imageRegistry }}{{ . }}/{{ end }}{{ .repository -}}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end -}}
{{- end -}}
{{- end -}}
