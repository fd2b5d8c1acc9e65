"""Rules for pages of browsers, beside the golden configurations."""

import json

from llmdeployment_gateway.cors import build_rules, parse_cors

HAPROXY_WORDS = 64
"""Of a line, at most; with more it does not start (MAX_LINE_ARGS)."""


def test_as_many_origins_as_the_api_takes_fit_haproxys_lines() -> None:
    origins = [f"https://shop-{number}.example.com" for number in range(64)]
    rules = build_rules(parse_cors(json.dumps({"allowOrigins": origins})))["cors"]
    lines = [line.split() for line in rules.splitlines()]
    assert max(map(len, lines)) <= HAPROXY_WORDS
    assert all(sum(origin in line for line in lines) == 1 for origin in origins)
