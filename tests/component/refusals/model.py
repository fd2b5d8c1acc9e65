"""What is refused of `metadata`, `spec.model` and `spec.prompt`: a patch of the smallest good object, and words of the refusal."""

LONGEST = "a" * 38
SYSTEM = 'spec: {prompt: {system: "%s"}}'

REFUSED = {
    # metadata
    "name of 39 characters": (
        f"metadata: {{name: {LONGEST}a}}",
        "metadata.name must be at most 38 characters long, because pods and labels are named after it.",
    ),
    "name starts with a digit": (
        "metadata: {name: 3chat}",
        "metadata.name must start with a letter",
    ),
    "name with a dot": ("metadata: {name: chat.v2}", "metadata.name must start with a letter"),
    # model
    "no model": ("spec: {model: null}", "spec.model: Required value"),
    "no source": ("spec: {model: {source: null}}", "spec.model.source: Required value"),
    "empty source": (
        'spec: {model: {source: ""}}',
        "spec.model.source in body should be at least 1 chars long",
    ),
    "bare repository": (
        "spec: {model: {source: organisation/name}}",
        "spec.model.source must start with hf://, s3://, https://, oci://, pvc://, file:// or external://",
    ),
    "unknown scheme": (
        "spec: {model: {source: 'ftp://host/path'}}",
        "spec.model.source must start with hf://, s3://, https://, oci://, pvc://, file:// or external://",
    ),
    "a bucket of Google": (
        "spec: {model: {source: 'gs://bucket/path'}}",
        "spec.model.source cannot be a bucket of this kind. Use s3:// with the bucket's S3 interface",
    ),
    "an image without a repository": (
        "spec: {model: {source: 'oci://registry:5000'}}",
        "spec.model.source must be oci://registry/repository:tag or oci://registry/repository@sha256:digest.",
    ),
    "a whole bucket": (
        "spec: {model: {source: 's3://bucket'}}",
        "spec.model.source must be s3://bucket/prefix. Write the name of a bucket and the prefix",
    ),
    "a prefix with two dots": (
        "spec: {model: {source: 's3://bucket/../x'}}",
        "spec.model.source must be s3://bucket/prefix.",
    ),
    "a list with a key in its URL": (
        f"spec: {{model: {{source: 'https://host/x?key=1', sha256: '{'a' * 64}'}}}}",
        "spec.model.source must be https://host/folder/SHA256SUMS.",
    ),
    "plain http": (
        f"spec: {{model: {{source: 'http://host/SHA256SUMS', sha256: '{'a' * 64}'}}}}",
        "spec.model.source must start with hf://, s3://, https://,",
    ),
    "a list without its SHA-256": (
        "spec: {model: {source: 'https://host/SHA256SUMS'}}",
        "spec.model.sha256 must be set with an https:// source, because a server can send anything.",
    ),
    "a SHA-256 of something else": (
        f"spec: {{model: {{source: 'hf://a/b', sha256: '{'a' * 64}'}}}}",
        "spec.model.sha256 is for https:// sources only. Remove it.",
    ),
    "a SHA-256 in capitals": (
        f"spec: {{model: {{source: 'https://host/SHA256SUMS', sha256: '{'A' * 64}'}}}}",
        "must be a SHA-256: 64 digits and letters from a to f",
    ),
    "credentials for the Hub": (
        "spec: {model: {source: 'hf://a/b', credentialsSecretRef: {name: store}}}",
        "spec.model.credentialsSecretRef is for s3:// sources only. Remove it.",
    ),
    "pickles of a claim": (
        "spec: {model: {source: 'pvc://a/b', allowPickle: true}}",
        "spec.model.allowPickle is for hf://, s3:// and https:// sources only. Remove it.",
    ),
    "hub without organisation": (
        "spec: {model: {source: 'hf://name'}}",
        "spec.model.source must be hf://organisation/name or hf://organisation/name@revision",
    ),
    "hub with an empty revision": (
        "spec: {model: {source: 'hf://organisation/name@'}}",
        "spec.model.source must be hf://organisation/name or hf://organisation/name@revision",
    ),
    "claim with upper case": (
        "spec: {model: {source: 'pvc://Models/path'}}",
        "spec.model.source must be pvc://claim/path",
    ),
    "path out of the claim": (
        "spec: {model: {source: 'pvc://models/../secrets'}}",
        "a path without .. or spaces",
    ),
    "no claim": ("spec: {model: {source: 'pvc:///path'}}", "must be pvc://claim/path"),
    "file with a relative path": (
        "spec: {model: {source: 'file://models/x'}}",
        "spec.model.source must be file:///path. Write an absolute path",
    ),
    "path out of the image": (
        "spec: {model: {source: 'file:///models/../etc'}}",
        "spec.model.source must be file:///path",
    ),
    "source too long": (
        f"spec: {{model: {{source: 'file:///{'a' * 1024}'}}}}",
        "spec.model.source: Too long: may not be more than 1024",
    ),
    "served name with a space": (
        "spec: {model: {servedName: my model}}",
        "spec.model.servedName must start with a letter or digit and contain only letters, digits",
    ),
    "token for a claim": (
        "spec: {model: {source: 'pvc://models/x', tokenSecretRef: {name: hub}}}",
        "spec.model.tokenSecretRef is for hf:// and https:// sources only. Remove it.",
    ),
    "token without a name": (
        "spec: {model: {tokenSecretRef: {key: token}}}",
        "spec.model.tokenSecretRef.name: Required value",
    ),
    "Secret name with an underscore": (
        "spec: {model: {tokenSecretRef: {name: my_secret}}}",
        "must be the name of a Kubernetes object",
    ),
    "Secret key with a slash": (
        "spec: {model: {tokenSecretRef: {name: hub, key: a/b}}}",
        "must be a key of the object",
    ),
    # adapters
    "an adapter of a branch of the Hub": (
        "spec: {model: {adapters: [{name: legal, source: 'hf://a/b@main'}]}}",
        "The source of an adapter must be hf://organisation/name@commit. Write the 40 digits of a commit",
    ),
    "an adapter of a whole bucket": (
        "spec: {model: {adapters: [{name: legal, source: 's3://bucket'}]}}",
        "The source of an adapter must be s3://bucket/prefix.",
    ),
    "an adapter's list without its SHA-256": (
        "spec: {model: {adapters: [{name: legal, source: 'https://host/SHA256SUMS'}]}}",
        "An adapter must have sha256 if its source is https://, and only then.",
    ),
    "an adapter of a registry": (
        "spec: {model: {adapters: [{name: legal, source: 'oci://host/legal:1'}]}}",
        "The source of an adapter must start with hf://, s3://, https://, pvc:// or file://.",
    ),
    "an adapter out of its claim": (
        "spec: {model: {adapters: [{name: legal, source: 'pvc://team/../b'}]}}",
        "The source of an adapter must be pvc://claim/path.",
    ),
    "an adapter with a relative path": (
        "spec: {model: {adapters: [{name: legal, source: 'file://legal'}]}}",
        "The source of an adapter must be file:///path. Write an absolute path",
    ),
    "an adapter without a source": (
        "spec: {model: {adapters: [{name: legal}]}}",
        "spec.model.adapters[0].source: Required value",
    ),
    "an adapter with a space in its name": (
        "spec: {model: {adapters: [{name: le gal, source: 'file:///legal'}]}}",
        "The name of an adapter must start with a letter or digit",
    ),
    "an adapter with the engine's mark in its name": (
        "spec: {model: {adapters: [{name: legal@2, source: 'file:///legal'}]}}",
        "The name of an adapter must start with a letter or digit",
    ),
    "two adapters of one name": (
        "spec: {model: {adapters: [{name: a, source: 'file:///a'}, {name: a, source: 'file:///b'}]}}",
        'spec.model.adapters[1]: Duplicate value: {"name":"a"}',
    ),
    "an adapter of the served name": (
        "spec: {model: {servedName: base, adapters: [{name: base, source: 'file:///a'}]}}",
        "spec.model.adapters contains the name of the model itself",
    ),
    "an adapter of the object's name": (
        "spec: {model: {adapters: [{name: chat, source: 'file:///a'}]}}",
        "spec.model.adapters contains the name of the model itself",
    ),
    "seventeen adapters": (
        "spec: {model: {adapters: ["
        + ", ".join(f"{{name: a{n}, source: 'file:///a'}}" for n in range(17))
        + "]}}",
        "spec.model.adapters: Too many: 17: must have at most 16 items",
    ),
    "an arm with an adapter of a branch": (
        "spec: {arms: [{name: a, weight: 100, overrides: {model: {adapters: [{name: b, source: 'hf://a/b'}]}}}]}",
        "The source of an adapter must be hf://organisation/name@commit.",
    ),
    "an adapter for an API elsewhere": (
        (
            "spec: {model: {source: 'external://gpt', adapters: [{name: a, source: 'file:///a'}]}, "
            "engine: {name: external, external: {baseURL: 'https://api.example.com/v1'}}}"
        ),
        "spec.model.adapters cannot be set with spec.engine.name external",
    ),
    # prompt
    "system prompt too long": (
        SYSTEM % ("a" * 16385),
        "spec.prompt.system: Too long: may not be more than 16384",
    ),
    "messages among prompt defaults": (
        "spec: {prompt: {defaults: {messages: [{role: user}]}}}",
        "spec.prompt.defaults cannot contain messages, because every request brings its own. Remove it.",
    ),
    "stream among prompt defaults": (
        "spec: {prompt: {defaults: {stream: true}}}",
        "spec.prompt.defaults cannot contain stream, because every request brings its own. Remove it.",
    ),
}
