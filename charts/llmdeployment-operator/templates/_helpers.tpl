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
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
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

{{/* "true" where the cluster knows the Prometheus operator's kind. */}}
{{- define "llmd.hasPodMonitors" -}}
{{- if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PodMonitor" }}true{{ end -}}
{{- end -}}

{{- define "llmd.hasRules" -}}
{{- if .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/PrometheusRule" }}true{{ end -}}
{{- end -}}

{{/* The pods of models, wherever this release makes some. */}}
{{- define "llmd.watchedNamespaces" -}}
{{- if .Values.watch.namespaces -}}
matchNames: {{- toYaml .Values.watch.namespaces | nindent 2 }}
{{- else -}}
any: true
{{- end -}}
{{- end -}}

{{/* Two operators without a Lease would both act. */}}
{{- define "llmd.replicas" -}}
{{- if .Values.leaderElection.enabled }}{{ .Values.replicas | int }}{{ else }}1{{ end -}}
{{- end -}}

{{/* Hosts that the operator calls without a proxy. The kubelet fills in the API server's address. */}}
{{- define "llmd.noProxy" -}}
{{- $own := list "$(KUBERNETES_SERVICE_HOST)" "kubernetes.default" ".svc" ".cluster.local" "localhost" "127.0.0.1" -}}
{{- concat $own .Values.proxy.noProxy | join "," -}}
{{- end -}}

{{/* The receivers of notifications as the operator reads them: not where their secrets are, but whether there is a key. */}}
{{- define "llmd.receivers" -}}
{{- $found := list -}}
{{- range .Values.notifications.receivers -}}
{{- $found = append $found (omit . "urlSecret" "hmacSecret" | merge (dict "signed" (hasKey . "hmacSecret"))) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{/* Fails where Helm would say "invalid ownership metadata". A template does not see --take-ownership, hence crds.takeOwnership. */}}
{{- define "llmd.checkedOwner" -}}
{{- $crd := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "llmdeployments.llmdeployment.dev" -}}
{{- if and $crd .Values.crds.install (not .Values.crds.takeOwnership) -}}
{{- $annotations := default dict $crd.metadata.annotations -}}
{{- $name := index $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := index $annotations "meta.helm.sh/release-namespace" -}}
{{- if not (and (eq (toString $name) .Release.Name) (eq (toString $namespace) .Release.Namespace)) -}}
{{- $owner := "no release of Helm" -}}
{{- if $name -}}
{{- $owner = printf "release %s in namespace %s" $name $namespace -}}
{{- end -}}
{{- fail (printf "The CRD llmdeployments.llmdeployment.dev belongs to %s. Install with --set crds.install=false to use it as it is, or with --take-ownership --set crds.takeOwnership=true to let this release have and upgrade it." $owner) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Bindings of other releases' operators in the namespaces that this one watches, as a list in JSON. Whoever installs with
     rbac.create may list them, because the operator may. */}}
{{- define "llmd.otherReleases" -}}
{{- $others := dict -}}
{{- if .Values.rbac.create -}}
{{- range default (list "") .Values.watch.namespaces -}}
{{- range default list (lookup "rbac.authorization.k8s.io/v1" "RoleBinding" . "").items -}}
{{- $labels := default dict .metadata.labels -}}
{{- if eq (toString (index $labels "app.kubernetes.io/name")) "llmdeployment-operator" -}}
{{- $release := printf "%s in namespace %s" (index $labels "app.kubernetes.io/instance") (first .subjects).namespace -}}
{{- if ne $release (printf "%s in namespace %s" $.Release.Name $.Release.Namespace) -}}
{{- $_ := set $others $release "" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- keys $others | sortAlpha | toJson -}}
{{- end -}}

{{/* What the schema cannot say. */}}
{{- define "llmd.checked" -}}
{{- include "llmd.checkedOwner" . -}}
{{- if and (has .Release.Namespace .Values.watch.namespaces) (not .Values.watch.ownNamespace) -}}
{{- fail (printf "watch.namespaces has %s, the release's own namespace: install the operator in a namespace of its own, or set watch.ownNamespace=true" .Release.Namespace) -}}
{{- end -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- range keys .Values.commonLabels -}}
{{- if has . $own -}}
{{- fail (printf "commonLabels has %s, which the chart sets itself: remove it" .) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.monitoring.enabled .Values.monitoring.annotations -}}
{{- fail "monitoring.enabled and monitoring.annotations would have everything scraped twice: set one of them" -}}
{{- end -}}
{{- $receivers := list -}}
{{- range .Values.notifications.receivers -}}
{{- if has .name $receivers -}}
{{- fail (printf "notifications.receivers has two of the name %s: give each a name of its own" .name) -}}
{{- end -}}
{{- $receivers = append $receivers .name -}}
{{- end -}}
{{- if and .Values.console.enabled (eq .Values.console.auth.mode "Proxy") -}}
{{- if not .Values.console.url -}}
{{- fail "console.auth.mode Proxy needs console.url: set the address under which browsers reach the proxy, such as https://llm.example.com" -}}
{{- end -}}
{{- if not .Values.console.auth.secretName -}}
{{- fail "console.auth.mode Proxy needs console.auth.secretName: name the Secret that the proxy shares with the console" -}}
{{- end -}}
{{- if not (or .Values.console.auth.users .Values.console.auth.anyUser) -}}
{{- fail "console.auth.mode Proxy without console.auth.users would let the console's account act as any user: list them, or set console.auth.anyUser=true" -}}
{{- end -}}
{{- if eq (lower .Values.console.auth.userHeader) (lower .Values.console.auth.groupsHeader) -}}
{{- fail "console.auth.userHeader and console.auth.groupsHeader must differ: name the proxy's header of each" -}}
{{- end -}}
{{- end -}}
{{- $election := .Values.leaderElection -}}
{{- if not (and (lt (int $election.retrySeconds) (int $election.renewSeconds)) (lt (int $election.renewSeconds) (int $election.leaseSeconds))) -}}
{{- fail "leaderElection.retrySeconds must be below leaderElection.renewSeconds, and that below leaderElection.leaseSeconds" -}}
{{- end -}}
{{- if ne .Values.image.gateway.pullPolicy .Values.image.serving.pullPolicy -}}
{{- fail "image.gateway.pullPolicy and image.serving.pullPolicy must be the same: the operator knows one policy for what it makes" -}}
{{- end -}}
{{- end -}}

{{- define "llmd.testName" -}}
{{- printf "test-%s" (include "llmd.fullname" . | trunc 33 | trimSuffix "-") -}}
{{- end -}}

{{- define "llmd.testNamespace" -}}
{{- .Values.test.namespace | default (first .Values.watch.namespaces) | default "default" -}}
{{- end -}}

{{/* Not those by which the operator's own pods are selected. */}}
{{- define "llmd.testLabels" -}}
{{ include "llmd.labels" . | fromYaml | merge (dict "app.kubernetes.io/name" "llmdeployment-operator-test") | toYaml }}
{{- end -}}

{{/* Takes a dict of root and weight. */}}
{{- define "llmd.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
