{{/* The parts that the pods of the service, the Jobs and the test have in common. */}}

{{/* Called with `.`. */}}
{{- define "connector.podSpec" -}}
serviceAccountName: {{ include "connector.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- $pullSecrets := list -}}
{{- range concat (.Values.imagePullSecrets | default list) (.Values.global.imagePullSecrets | default list) -}}
{{- $pullSecrets = append $pullSecrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with $pullSecrets | uniq }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A container that runs the command with the settings. Called with (list . ROLE ARGUMENTS). */}}
{{- define "connector.container" -}}
{{- $root := index . 0 -}}
{{- $credentials := include "connector.credentials" . | fromYaml -}}
image: {{ include "connector.image" $root | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
args:
  {{- range index . 2 }}
  - {{ . }}
  {{- end }}
  - --config={{ include "connector.configFile" $root }}
{{- with concat $credentials.env ($root.Values.extraEnv | default list) }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Called with (list . ROLE). */}}
{{- define "connector.mounts" -}}
- name: config
  mountPath: {{ include "connector.configFile" (index . 0) | dir }}
  readOnly: true
{{- if (include "connector.credentials" . | fromYaml).sources }}
- name: secrets
  mountPath: {{ include "connector.secretsFolder" (index . 0) }}
  readOnly: true
{{- end }}
{{- with (index . 0).Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Called with (list . ROLE). */}}
{{- define "connector.volumes" -}}
- name: config
  downwardAPI:
    items:
      - path: {{ include "connector.configFile" (index . 0) | base }}
        fieldRef:
          apiVersion: v1
          fieldPath: metadata.annotations['{{ include "connector.configAnnotation" (index . 0) }}']
{{- with (include "connector.credentials" . | fromYaml).sources }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml . | nindent 6 }}
{{- end }}
{{- with (index . 0).Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
