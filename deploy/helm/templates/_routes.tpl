{{/* What the chart must know of routes.yaml. All else of it is for `holdfast check`. */}}

{{/* routes.yaml as a map, as YAML. Refuses what can't work in a cluster, each time with what to do about it. */}}
{{- define "holdfast.routes" -}}
{{- if not .Values.routes }}{{ fail "routes.yaml is missing: --set-file routes=routes.yaml" }}{{ end }}
{{- $routes := fromYaml .Values.routes }}
{{- with $routes.Error }}{{ fail (printf "routes.yaml is not YAML: %s" .) }}{{ end }}
{{- $host := dig "admin" "host" "127.0.0.1" $routes | toString }}
{{- if or (hasPrefix "127." $host) (has $host (list "localhost" "::1")) }}
{{- fail "routes.yaml: the kubelet can't reach the admin listener on loopback: say `admin: { host: 0.0.0.0 }`; the NetworkPolicy keeps others away" }}
{{- end }}
{{- if not (hasKey $routes "drain_delay") }}
{{- fail "routes.yaml: say `drain_delay: 10s`: a pod that is to end gets new connections until all nodes know" }}
{{- end }}
{{- $most := .Values.autoscaling.enabled | ternary .Values.autoscaling.max .Values.replicas | int }}
{{- if and (gt $most 1) (ne (dig "replay" "store" "memory" $routes) "redis") }}
{{- fail "routes.yaml: replicas that do not share what they remember accept a proof once each: say `replay: { store: redis, ... }`, or `replicas: 1`" }}
{{- end }}
{{- $file := dig "audit" "file" "" $routes }}
{{- if and $file (or (not (isAbs $file)) (hasPrefix "/etc/holdfast/" $file)) }}
{{- fail "routes.yaml: `audit.file` needs a folder of its own, such as /var/log/holdfast/audit.jsonl" }}
{{- end }}
{{- toYaml $routes }}
{{- end }}

{{/* Ports clients connect to: the list of numbers, as YAML. */}}
{{- define "holdfast.ports" -}}
{{- $listen := (include "holdfast.routes" . | fromYaml).listen }}
{{- $ports := list }}
{{- range kindIs "slice" $listen | ternary $listen (list $listen) }}
{{- $ports = append $ports (.port | default 8443 | int) }}
{{- end }}
{{- toYaml $ports }}
{{- end }}

{{/* What the admin listener speaks. */}}
{{- define "holdfast.adminScheme" -}}
{{- if dig "admin" "tls" false (include "holdfast.routes" . | fromYaml) }}https{{ else }}http{{ end }}
{{- end }}

{{/* The first port has a short name, others their number. */}}
{{- define "holdfast.portName" -}}
{{- eq (int .index) 0 | ternary "https" (printf "https-%d" (int .port)) }}
{{- end }}

{{/* A duration of routes.yaml in whole seconds. */}}
{{- define "holdfast.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- if eq $unit "ms" }}{{ div (add $number 999) 1000 }}
{{- else }}{{ mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) }}
{{- end }}
{{- end }}

{{/* Changes with what a running gateway does not take (docs/operations.md, Reload), and only with that. */}}
{{- define "holdfast.restart" -}}
{{- $routes := include "holdfast.routes" . | fromYaml }}
{{- $kept := pick $routes "workers" "replay" "audit" "tracing" }}
{{- $_ := set $kept "admin" (omit $routes.admin "tls") }}
{{- $listen := list }}
{{- range kindIs "slice" $routes.listen | ternary $routes.listen (list $routes.listen) }}
{{- $listen = append $listen (pick . "host" "port") }}
{{- end }}
{{- $_ := set $kept "listen" $listen }}
{{- if has (toString $routes.watch) (list "off" "false") }}{{ $_ := set $kept "all" (list .Values.routes .Values.files) }}{{ end }}
{{- toYaml $kept | sha256sum }}
{{- end }}
