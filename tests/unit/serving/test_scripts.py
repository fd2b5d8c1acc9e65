"""Which script a text is in."""

import pytest

from llmdeployment_serving.scripts import ENOUGH_LETTERS, find_script


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Guten Morgen, liebe Zuhörer, es ist sieben Uhr.", "latin"),
        ("Καλημέρα σας, αγαπητοί ακροατές μου", "greek"),
        ("Доброе утро, дорогие слушатели", "cyrillic"),
        ("בוקר טוב, מאזינים יקרים שלנו היום", "hebrew"),
        ("صباح الخير أيها المستمعون الأعزاء", "arabic"),
        ("नमस्ते प्रिय श्रोताओं आज का समाचार सुनिए कृपया", "devanagari"),
        ("สวัสดีตอนเช้าผู้ฟังที่รักทุกท่านวันนี้", "thai"),
        ("안녕하십니까 청취자 여러분 오늘의 뉴스를 전해 드립니다", "hangul"),
        ("听众朋友们早上好现在是北京时间七点整欢迎收听新闻", "han"),
        ("リスナーの皆様、おはようございます。七時のニュースです", "kana"),
    ],
)
def test_a_text_has_the_script_of_most_of_its_letters(text: str, script: str) -> None:
    assert find_script(text) == script


def test_chinese_with_a_japanese_name_stays_chinese() -> None:
    assert find_script("听众朋友们早上好现在是北京时间七点整欢迎收听新闻" * 2 + "はい") == "han"


def test_a_tenth_of_kana_makes_a_text_japanese() -> None:
    assert find_script("漢" * 90 + "あ" * 10) == "kana"
    assert find_script("漢" * 91 + "あ" * 9) == "han"


def test_few_letters_and_signs_have_no_script() -> None:
    assert find_script("a" * ENOUGH_LETTERS) == "latin"
    assert find_script("a" * (ENOUGH_LETTERS - 1)) is None
    assert find_script("1234567890 +-*/=%&§$!?()[]{} 1234567890") is None
    assert find_script("") is None


def test_code_in_fences_does_not_count() -> None:
    prose = "Вот короткая программа для вас"
    assert find_script(f"{prose}\n```python\n{'print(sorted(values))' * 9}\n```\n") == "cyrillic"


def test_blocks_end_where_they_say() -> None:
    # The first letters after a block: Armenian, and Bengali.
    assert find_script("Ա" * 30) is None
    assert find_script("অ" * 30) is None
