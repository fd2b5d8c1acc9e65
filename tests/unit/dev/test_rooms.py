"""The picture of the rooms is that of the import contracts."""

from dev import rooms


def test_the_picture_on_the_page_is_the_one_of_the_contracts() -> None:
    page = rooms.PAGE.read_text(encoding="utf-8")
    assert rooms.replace_picture(page) == page, "run `python -m dev.rooms`"


def test_every_room_of_the_operator_is_in_the_picture_and_says_what_is_in_it() -> None:
    drawn = rooms.draw()
    folders = {path.parent.name for path in rooms.SOURCE.glob("**/__init__.py")}
    for folder in folders - {rooms.PACKAGE, "rehearsal", "simulation"}:
        assert f"{folder}`: " in drawn
    assert not [line for line in drawn.splitlines() if line.strip().endswith("`:")]
