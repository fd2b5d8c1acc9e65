r"""How models refuse, in English, German, French, Spanish, Chinese and Japanese.

The lists are short on purpose: a phrase that answers use otherwise would be a false alarm in every one of them. They find the usual
sentences of the usual models and not every refusal. RE2 syntax, without regard to case.
RE2's `\b` knows ASCII letters only; `\x{2019}` is the curly apostrophe.
"""

SELF_NAMING = (
    # English
    r"\bas an? (?:ai |large )?language model\b",
    r"\bas an (?:ai|artificial intelligence)(?: assistant| model)?,? i\b",
    # German
    r"\bals (?:ein |großes )?(?:ki-)?sprachmodell\b",
    r"\bals (?:eine? )?(?:ki|künstliche intelligenz|ki-modell|ki-assistent) (?:kann|darf|habe|bin)\b",
    # French
    r"\ben tant qu(?:e |['\x{2019}])(?:modèle (?:de langage|linguistique)|assistant ia\b|intelligence artificielle|ia\b)",
    # Spanish
    r"\bcomo (?:un )?(?:modelo de (?:lenguaje|ia\b)|asistente de ia\b)",
    r"\bcomo (?:una )?(?:ia|inteligencia artificial), (?:no|yo)\b",
    # Chinese
    r"作为(?:一个|一款|一名)?(?:人工智能|AI|大型语言模型|大语言模型|语言模型)",
    # Japanese
    r"(?:AI|人工知能|言語モデル)(?:アシスタント|モデル|言語モデル)?(?:として|なので|であるため|ですので)",
)
"""Phrases in which a model speaks of itself; they are found anywhere in an answer."""

DECLINES = (
    # English
    (
        r"\bi(?:['\x{2019}]m| am) (?:very |really |so )?sorry,? but (?:i|that|this|it)\b.{0,30}"
        r"\b(?:can(?:not|['\x{2019}]t)|unable|not able|won['\x{2019}]t|don['\x{2019}]t)"
    ),
    r"\bi (?:can(?:not|['\x{2019}]t)|won['\x{2019}]t|will not) (?:help|assist|comply|fulfil|engage|provide|answer (?:that|this))",
    r"\bi(?:['\x{2019}]m| am) (?:unable|not able) to (?:help|assist|comply|fulfil|provide|answer (?:that|this))",
    r"\bi (?:must|have to) (?:decline|refuse)\b",
    # German
    r"\b(?:tut mir (?:sehr )?leid|entschuldigung)\b.{0,60}\b(?:kann|darf|möchte) .{0,60}\bnicht\b",
    r"\bkann ich (?:ihnen |dir |euch )?(?:leider )?nicht (?:weiter)?(?:helfen|beantworten|behilflich)",
    r"\bich kann (?:ihnen |dir |euch )?(?:dabei |damit |hierbei )?(?:leider )?nicht (?:weiter)?helfen",
    # French
    r"\b(?:désolée?|je regrette|je m['\x{2019}]excuse).{0,40}\bje ne (?:peux|puis|suis pas en mesure)\b",
    r"\bje ne (?:peux|puis) (?:malheureusement )?pas (?:vous |t['\x{2019}])?(?:aider|répondre|fournir|assister)",
    r"\bje ne suis pas en mesure d(?:e |['\x{2019}])",
    # Spanish
    r"\blo siento\b.{0,40}\bno puedo\b",
    r"\bno puedo (?:ayudar|proporcionar|cumplir|responder a es[ao])",
    # Chinese
    r"(?:抱歉|对不起|很遗憾).{0,20}(?:无法|不能|没办法)",
    r"我(?:无法|不能)(?:帮助|协助|提供|回答|满足)",
    # Japanese
    r"(?:申し訳(?:ありません|ございません)|すみません|ごめんなさい).{0,60}(?:できません|出来ません|できかねます|いたしかねます|致しかねます)",
    r"(?:お手伝い|お答え|ご提供)(?:する)?(?:こと)?(?:は|が)?(?:できません|できかねます|いたしかねます)",
)
"""Phrases that decline; they are found in the first `DECLINE_CHARACTERS` only, because a story may hold such a sentence too."""

DECLINE_CHARACTERS = 300
