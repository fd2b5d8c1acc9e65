{{/* At most 50 characters, so that suffixes still fit a name of 63. */}}
{{- define "llmd.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Objects without a namespace carry the release's in their name: two releases of one name do not meet. */}}
{{- define "llmd.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "llmd.fullname" .) -}}
{{- end -}}

{{- define "llmd.selector" -}}
app.kubernetes.io/name: llmdeployment-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "llmd.labels" -}}
{{ include "llmd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "llmd.serviceAccount" -}}
{{- default (include "llmd.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* Takes a dict of root, repository, tag and digest. */}}
{{- define "llmd.image" -}}
{{- $name := .repository -}}
{{- with .root.Values.image.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" .) $name }}{{ end -}}
{{- if .digest }}{{ printf "%s@%s" $name .digest }}{{ else }}{{ printf "%s:%s" $name .tag }}{{ end -}}
{{- end -}}

{{/* Takes a dict of root and image. */}}
{{- define "llmd.ownImage" -}}
{{- include "llmd.image" (dict "root" .root "repository" .image.repository "tag" (default .root.Chart.AppVersion .image.tag) "digest" .image.digest) -}}
{{- end -}}

{{/* Takes a dict of root and flavor. */}}
{{- define "llmd.servingImage" -}}
{{- $image := .root.Values.image.serving -}}
{{- $tag := default (printf "%s-%s" .root.Chart.AppVersion .flavor) (get $image.tags .flavor) -}}
{{- include "llmd.image" (dict "root" .root "repository" $image.repository "tag" $tag "digest" (get $image.digests .flavor)) -}}
{{- end -}}

{{/* Two operators without a Lease would both act. */}}
{{- define "llmd.replicas" -}}
{{- if .Values.leaderElection.enabled }}{{ .Values.replicas | int }}{{ else }}1{{ end -}}
{{- end -}}

{{/* What the schema cannot say. */}}
{{- define "llmd.checked" -}}
{{- if and (has .Release.Namespace .Values.watch.namespaces) (not .Values.watch.ownNamespace) -}}
{{- fail (printf "watch.namespaces has %s, the release's own namespace: install the operator in a namespace of its own, or set watch.ownNamespace=true" .Release.Namespace) -}}
{{- end -}}
{{- $election := .Values.leaderElection -}}
{{- if not (and (lt (int $election.retrySeconds) (int $election.renewSeconds)) (lt (int $election.renewSeconds) (int $election.leaseSeconds))) -}}
{{- fail "leaderElection.retrySeconds must be below leaderElection.renewSeconds, and that below leaderElection.leaseSeconds" -}}
{{- end -}}
{{- if ne .Values.image.gateway.pullPolicy .Values.image.serving.pullPolicy -}}
{{- fail "image.gateway.pullPolicy and image.serving.pullPolicy must be the same: the operator knows one policy for what it makes" -}}
{{- end -}}
{{- end -}}
