"""What is refused of `spec.resources` and `spec.podTemplate`: a patch of the smallest good object, and words of the refusal."""

REFUSED = {
    # resources
    "not a quantity": (
        "spec: {resources: {limits: {memory: 16 gigabytes}}}",
        "An amount is a number with a unit of Kubernetes",
    ),
    "gigabytes as disks have them": (
        "spec: {resources: {limits: {memory: 64GB}}}",
        "such as 500m or 4 of cpu, 64Gi or 64G of memory. Write G for GB",
    ),
    "a request that is no amount beside a limit": (
        "spec: {resources: {requests: {memory: 64GB}, limits: {memory: 64Gi}}}",
        "spec.resources.requests: Invalid value",
    ),
    "negative GPUs": (
        "spec: {resources: {limits: {nvidia.com/gpu: -1}}}",
        "should be greater than or equal to 0",
    ),
    "a float": (
        "spec: {resources: {limits: {cpu: 0.5}}}",
        'spec.resources.limits.cpu in body must be of type integer,string: "number"',
    ),
    "a resource that does not exist": (
        "spec: {resources: {limits: {cpus: 1}}}",
        "Use cpu, memory, ephemeral-storage, or a name with a domain such as nvidia.com/gpu",
    ),
    "requests above limits": (
        "spec: {resources: {requests: {memory: 8Gi}, limits: {memory: 4096Mi}}}",
        "requests must not exceed limits. Raise the limit or lower the request",
    ),
    "GPUs that are not used": (
        "spec: {resources: {limits: {nvidia.com/gpu: 4}}, parallelism: {tensor: 2}}",
        "spec.parallelism.pipeline, because a replica uses all GPUs that it asks for.",
    ),
    "parallelism without the GPUs": (
        "spec: {resources: {limits: {nvidia.com/gpu: '1'}}, parallelism: {tensor: 2}}",
        "must be spec.parallelism.tensor x spec.parallelism.pipeline",
    ),
    "no tensor parallelism": (
        "spec: {parallelism: {tensor: 0}}",
        "spec.parallelism.tensor in body should be greater than or equal to 1",
    ),
    "no pipeline parallelism": (
        "spec: {parallelism: {pipeline: 0}}",
        "spec.parallelism.pipeline in body should be greater than or equal to 1",
    ),
    # pods
    "image with a space": ("spec: {image: 'serving :1.0'}", "must be an image reference"),
    "pod template as a string": (
        "spec: {podTemplate: spec}",
        "spec.podTemplate in body must be of type object",
    ),
    "unknown field of the pod template": (
        "spec: {podTemplate: {nodeSelector: {a: b}}}",
        'unknown field "spec.podTemplate.nodeSelector"',
    ),
}
