"""Which images are built, and from what base."""

import platform
import re

import pytest
from dev.images import (
    CONSOLE,
    MOUNTED,
    RELEASED,
    REPOSITORY,
    SMALL,
    choose_docker_base,
    list_sources,
)
from dev.release import SBOMS


@pytest.mark.parametrize(
    ("release", "base"),
    [
        ({"ID": "ubuntu", "VERSION_ID": "24.04"}, ("BASE=ubuntu:24.04",)),
        ({"ID": "debian", "VERSION_ID": "12"}, ("BASE=debian:12",)),
        ({"ID": "fedora", "VERSION_ID": "43"}, ()),
    ],
)
def test_the_image_without_packages_has_the_python_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str], base: tuple[str, ...]
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)

    found = {image.label: choose_docker_base(image) for image in (*SMALL, MOUNTED)}

    nothing: tuple[str, ...] = ()
    assert found == dict.fromkeys(("operator", "gateway", "serving-simulated"), nothing) | {
        "serving-mounted": base
    }
    assert {choose_docker_base(image) for image in RELEASED} == {()}


def test_the_console_is_made_of_three_packages_and_its_page_but_not_of_what_the_page_is_made_of() -> (
    None
):
    names = {str(path.relative_to(REPOSITORY)) for path in list_sources(CONSOLE)}

    package = "src/llmdeployment_"
    for name in ("console/Dockerfile", "requirements/console.txt", f"cli/{package}cli/kube.py"):
        assert name in names
    assert f"operator/{package}operator/main.py" in names
    assert not [name for name in names if name.startswith("console/web")]
    copied = re.findall(
        r"^COPY (\S+) ", (REPOSITORY / "console/Dockerfile").read_text(), re.MULTILINE
    )
    assert set(CONSOLE.sources) == {"console/Dockerfile", *copied} - {"requirements/console.txt"}


def test_each_released_image_has_the_sbom_of_its_own_packages_and_is_published() -> None:
    script = (REPOSITORY / "dev/publish.sh").read_text()

    for image in RELEASED:
        project, requirements = SBOMS[image.label]
        assert (project, f"{requirements}.txt") == (image.name, image.requirements)
    published = re.findall(r"^publish_image (\S+) (\S+)$", script, re.MULTILINE)
    assert {(name, variant.strip('"')) for name, variant in published} == {
        (image.name, image.variant) for image in RELEASED
    }
