"""What `make cluster` asks kind for."""

import json
from pathlib import Path

from dev.cluster.kind import build_node_config


def test_the_node_sees_the_cache_where_hostpath_volumes_look_for_it() -> None:
    config = json.loads(build_node_config(Path("/home/dev/.cache/llmdeployment")))

    (node,) = config["nodes"]
    assert node["extraMounts"] == [
        {
            "hostPath": "/home/dev/.cache/llmdeployment",
            "containerPath": "/home/dev/.cache/llmdeployment",
            "readOnly": True,
        }
    ]
