"""The kinds of object that local understands: exactly the fields below, anything else is refused.

**Enforced** as on a cluster: names and namespaces, env with its Secrets and ConfigMaps, containerConcurrency,
min-scale, max-scale, window, timeoutSeconds, responseStartTimeoutSeconds, readinessProbe, visibility, an emptyDir at
/tmp, K_SINK of a SinkBinding, a Trigger's filter, delivery and parallelism (no more than there are cores, where each
event has a process to itself), a PingSource's schedule and data, and an HTTPRoute's paths, order, Host rewrite and
timeouts.

**Accepted only**, as they do not change what one machine does: image tags, containerPort (PORT says which it is),
livenessProbe and the timing of probes, resources, securityContext, an emptyDir's limits, labels, an HTTPRoute's
hostnames, parentRefs and backendRefs, and the reference to the RabbitmqCluster.
"""
