"""The paths of the API that lead to a replica, which refuses those that its engine or its model's task has not."""

MODELS = "/v1/models"
POST = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v1/rerank",
    "/v2/rerank",
    "/v1/score",
    "/classify",
    "/pooling",
    "/tokenize",
    "/detokenize",
    "/generate_text",
)


def name_paths(*others: str) -> str:
    """Return the paths as a part of a sentence.

    >>> name_paths("/v1/feedback").split(", ")[-1]
    '/generate_text and /v1/feedback'
    """
    known = (MODELS, *POST, *others)
    return f"{', '.join(known[:-1])} and {known[-1]}"
