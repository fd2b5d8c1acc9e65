from dev import console_page


def test_the_types_hold_and_the_unit_tests_of_the_page_pass() -> None:
    console_page.check()
