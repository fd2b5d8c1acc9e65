"""Programs for a developer's machine: the local cluster, image builds, the demo, the test runner."""
