"""Sentences out of parts: texts of Kubernetes, of engines and of people end as they like."""


def end_sentence(text: str) -> str:
    """Return a text with a full stop, unless it ends with a mark of its own.

    >>> end_sentence("it failed"), end_sentence("it failed. "), end_sentence("why?"), end_sentence("")
    ('it failed.', 'it failed.', 'why?', '')
    """
    text = text.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."


def join_sentences(*parts: str) -> str:
    """Return one text of several, each ended as a sentence; empty ones are left out.

    >>> join_sentences("The pod waits", "", "Add a node.")
    'The pod waits. Add a node.'
    """
    return " ".join(ended for part in parts if (ended := end_sentence(part)))


def begin_sentence(text: str) -> str:
    """Return a text with a capital first letter.

    >>> begin_sentence("revision 2 waits")
    'Revision 2 waits'
    """
    return text[:1].upper() + text[1:]
