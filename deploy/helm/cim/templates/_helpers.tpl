{{- define "cim.labels" -}}
app.kubernetes.io/name: cim
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "cim.selector" -}}
app.kubernetes.io/name: cim
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "cim.options" -}}
- --secret-file=/etc/cim/secrets/secret
- {{ printf "--registry=%s" (required "registry: where ZooKeeper is" .root.Values.registry) | quote }}
{{- range .root.Values.trustedProxies }}
- {{ printf "--trusted-proxies=%s" . | quote }}
{{- end }}
{{- range .values.options }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- /* What pods and containers of servers and routes have in common. */}}
{{- define "cim.pod" -}}
# They ask nothing of Kubernetes.
automountServiceAccountToken: false
enableServiceLinks: false
# An orderly stop takes up to 30 s.
terminationGracePeriodSeconds: {{ add 40 .root.Values.drainSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "cim.selector" . | nindent 8 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: secrets
    secret:
      secretName: {{ required "secretName: the Secret with the keys secret and api-keys" .root.Values.secretName }}
      # Of root, and readable by the group of the daemon alone.
      defaultMode: 0440
  {{- if eq .part "server" }}
  - name: certificates
    secret:
      secretName: {{ required "tls.secretName: the Secret with the certificate" .root.Values.tls.secretName }}
      defaultMode: 0440
      items: [{key: tls.crt, path: cim.pem}, {key: tls.key, path: cim-key.pem}]
  {{- end }}
  - {name: data, emptyDir: {}}
  - {name: tmp, emptyDir: {}}
{{- end }}

{{- define "cim.container" -}}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources:
  {{- toYaml .values.resources | nindent 2 }}
volumeMounts:
  - {name: secrets, mountPath: /etc/cim/secrets, readOnly: true}
  {{- if eq .part "server" }}
  - {name: certificates, mountPath: /etc/cim/certificates, readOnly: true}
  {{- end }}
  - {name: data, mountPath: /var/lib/cim}
  - {name: tmp, mountPath: /tmp}
# It is ready once it was well. Later a Redis or ZooKeeper that is away must not take all of them out of service: they
# say so themselves, and go on with what they can.
startupProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 2
  failureThreshold: 150
readinessProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 5
livenessProbe:
  httpGet: {path: /health/live, port: http}
  periodSeconds: 10
  failureThreshold: 6
lifecycle:
  preStop:
    exec: {command: [sleep, {{ .root.Values.drainSeconds | quote }}]}
{{- end }}
