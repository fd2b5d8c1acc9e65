{{- define "llmd.consoleName" -}}
{{- printf "%s-console" (include "llmd.fullname" .) -}}
{{- end -}}

{{/* Not those by which the operator's pods are selected, nor those by which `kubectl llm` finds operators. */}}
{{- define "llmd.consoleSelector" -}}
app.kubernetes.io/name: llmdeployment-console
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "llmd.consoleLabels" -}}
{{ include "llmd.labels" . | fromYaml | merge (include "llmd.consoleSelector" . | fromYaml) | toYaml }}
{{- end -}}

{{/* "true" where viewers act, and so replicas let the console in. */}}
{{- define "llmd.consoleActs" -}}
{{- if and .Values.console.enabled (eq .Values.console.auth.mode "Proxy") }}true{{ end -}}
{{- end -}}

{{/* As a list in JSON; empty: all. */}}
{{- define "llmd.consoleNamespaces" -}}
{{- default .Values.watch.namespaces .Values.console.namespaces | toJson -}}
{{- end -}}

{{/* What the console itself reads. Revisions and Events are shown with the LLMDeployment that they are of. */}}
{{- define "llmd.consoleRules" -}}
- apiGroups: ["llmdeployment.dev"]
  resources: ["llmdeployments"]
  verbs: ["list"]
- apiGroups: ["apps"]
  resources: ["controllerrevisions"]
  verbs: ["list"]
- apiGroups: [""]
  resources: ["events"]
  verbs: ["list"]
{{- end -}}
