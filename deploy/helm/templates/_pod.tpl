{{/* The pod, of a Deployment or a StatefulSet. */}}
{{- define "holdfast.pod" -}}
{{- $routes := include "holdfast.routes" . | fromYaml }}
{{- $drain := add (include "holdfast.seconds" ($routes.drain | default "30s")) (include "holdfast.seconds" $routes.drain_delay) }}
{{- $file := dig "audit" "file" "" $routes }}
{{- $probe := dict "port" "admin" "scheme" (include "holdfast.adminScheme" . | upper) }}
metadata:
  labels:
    {{- include "holdfast.selector" . | nindent 4 }}
    {{- with .Values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    # Other changes of routes.yaml are taken by the running gateway.
    checksum/restart: {{ include "holdfast.restart" . }}
    {{- with .Values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "holdfast.name" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add $drain .Values.terminationMargin }}
  securityContext:
    runAsNonRoot: true
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: { type: RuntimeDefault }
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .Values.containers }}
  initContainers:
    {{- range . }}
    - {{ merge (dict "restartPolicy" "Always") . | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  containers:
    - name: holdfast
      image: {{ include "holdfast.image" . }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        runAsUser: 65532
        runAsGroup: 65532
        readOnlyRootFilesystem: true
        allowPrivilegeEscalation: false
        capabilities: { drop: [ALL] }
      ports:
        {{- range $index, $port := include "holdfast.ports" . | fromYamlArray }}
        - name: {{ include "holdfast.portName" (dict "index" $index "port" $port) }}
          containerPort: {{ $port }}
        {{- end }}
        - name: admin
          containerPort: {{ dig "admin" "port" 9090 $routes }}
      # Alive: the process answers at all. It is not asked about Redis or issuers: a restart would mend neither.
      startupProbe:
        httpGet: {{ merge (dict "path" "/livez") $probe | toJson }}
        periodSeconds: 1
        timeoutSeconds: 5
        failureThreshold: 120
      livenessProbe:
        httpGet: {{ merge (dict "path" "/livez") $probe | toJson }}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 3
      readinessProbe:
        httpGet: {{ merge (dict "path" "/readyz") $probe | toJson }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/holdfast
          readOnly: true
        {{- if $file }}
        - name: audit
          mountPath: {{ dir $file }}
        {{- end }}
  volumes:
    # The folder, not single files: what is mounted file by file never shows that it was replaced.
    - name: config
      projected:
        defaultMode: 0440
        sources:
          - configMap:
              name: {{ include "holdfast.name" . }}
          {{- range .Values.configMaps }}
          - configMap: {{- include "holdfast.source" . | nindent 14 }}
          {{- end }}
          {{- range .Values.secrets }}
          - secret: {{- include "holdfast.source" . | nindent 14 }}
          {{- end }}
    {{- if and $file (not .Values.audit.claim) }}
    - name: audit
      emptyDir: {}
    {{- end }}
    {{- with .Values.volumes }}{{ toYaml . | nindent 4 }}{{ end }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "holdfast.selector" $ | nindent 10 }}
    {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" }}
  {{- with get $.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end }}

{{/* A Secret or ConfigMap with key: path. */}}
{{- define "holdfast.source" -}}
name: {{ .name }}
items:
  {{- range $key, $path := .items }}
  - { key: {{ $key | quote }}, path: {{ $path | quote }} }
  {{- end }}
{{- end }}
