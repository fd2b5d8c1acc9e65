"""Which gateway pod takes a vote: one for each answer, whatever pods come, go, and see it late."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmdeployment_gateway.peers import (
    LAG_SECONDS,
    MOST_PERIODS,
    Peers,
    UnknownPeersError,
    choose_pod,
)

PODS = ("a", "b", "c")
SIGNATURES = [n.to_bytes(16, "big") for n in range(300)]


def hosts(pods: str) -> dict[str, str]:
    return {pod: f"10.0.0.{ord(pod)}" for pod in pods}


def own(pods: str, pod: str) -> bytes:
    """Return a signature whose vote this one of these pods takes."""
    return next(s for s in SIGNATURES if choose_pod(s, pods) == pod)


def test_pods_share_the_answers_and_agree_whose_each_is() -> None:
    found = Counter(choose_pod(s, PODS) for s in SIGNATURES)
    assert found.keys() == set(PODS)
    assert min(found.values()) > 80
    assert all(choose_pod(s, PODS) == choose_pod(s, reversed(PODS)) for s in SIGNATURES)
    for pod in PODS:
        peers = Peers(pod)
        peers.see(hosts("abc"), 0)
        assert sum(peers.find_host(s) is None for s in SIGNATURES) == found[pod]


def test_a_pod_that_goes_changes_nothing_for_answers_of_others() -> None:
    kept = [s for s in SIGNATURES if choose_pod(s, PODS) != "c"]
    assert all(choose_pod(s, PODS) == choose_pod(s, "ab") for s in kept)


def test_nobody_is_chosen_before_the_pods_are_known_and_while_none_is_ready() -> None:
    peers = Peers("a")
    with pytest.raises(UnknownPeersError):
        peers.find_host(SIGNATURES[0])
    peers.see({}, 0)
    with pytest.raises(UnknownPeersError):
        peers.find_host(SIGNATURES[0])


@pytest.mark.parametrize("pods", ["a", "ab"])
def test_who_begins_takes_votes_for_answers_after_it_saw_the_pods(pods: str) -> None:
    peers, mine = Peers("a"), own("ab", "a")
    peers.see(hosts(pods), 100)
    assert peers.find_host(mine) is None
    assert not peers.was_always_own(mine, 100 + LAG_SECONDS)
    assert peers.was_always_own(mine, 101 + LAG_SECONDS)


def test_answers_of_a_pod_that_went_get_no_vote_and_later_ones_do() -> None:
    peers, taken_over, mine = Peers("a"), own("ab", "b"), own("ab", "a")
    peers.see(hosts("a"), 0)
    peers.see(hosts("ab"), 50)
    assert peers.find_host(taken_over) == hosts("b")["b"]
    peers.see(hosts("ab"), 60)
    peers.see(hosts("a"), 100)
    assert peers.find_host(taken_over) is None
    assert not peers.was_always_own(taken_over, 100 + LAG_SECONDS)
    assert peers.was_always_own(taken_over, 101 + LAG_SECONDS)
    assert peers.was_always_own(mine, LAG_SECONDS + 1)


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_not_sure() -> None:
    peers, mine = Peers("a"), own("ab", "a")
    peers.see(hosts("a"), 0)
    for n in range(1, MOST_PERIODS):
        peers.see(hosts("ab" if n % 2 else "a"), 10 * n)
    assert peers.was_always_own(mine, LAG_SECONDS + 1)
    peers.see(hosts("a"), 10 * MOST_PERIODS)
    assert not peers.was_always_own(mine, 10 + LAG_SECONDS)
    assert peers.was_always_own(mine, 11 + LAG_SECONDS)


CHANGES = st.lists(
    st.tuples(st.floats(0, 60), st.sampled_from(["", "a", "b", "ab", "ac", "bc", "abc"])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=500)
@given(
    CHANGES,
    st.lists(st.floats(0, LAG_SECONDS * 0.99), min_size=24, max_size=24),
    st.floats(-30, 300),
    st.sampled_from(SIGNATURES[:20]),
)
def test_no_two_pods_ever_take_the_vote_for_one_answer(
    changes: list[tuple[float, str]], delays: list[float], at: float, signature: bytes
) -> None:
    """Pods see each change up to 5 s late, and are asked for a vote at any time after the answer."""

    def takes(pod: str) -> bool:
        try:
            chosen = peers[pod].find_host(signature) is None
        except UnknownPeersError:
            return False
        return chosen and peers[pod].was_always_own(signature, at)

    seen: list[tuple[float, str, str]] = []
    now = 0.0
    for n, (pause, pods) in enumerate(changes):
        for k, pod in enumerate(PODS):
            # Each sees the changes in their order.
            before = max((t for t, p, _ in seen if p == pod), default=0.0)
            seen.append((max(before, now + delays[3 * n + k]), pod, pods))
        now += pause
    peers = {pod: Peers(pod) for pod in PODS}
    takers: set[str] = set()
    known: set[str] = set()
    for time, pod, pods in sorted(seen, key=lambda change: change[0]):
        # A pod that is in no list of its own is not started: a later one begins with that list.
        takers |= {each for each in known if time >= at and takes(each)}
        if pod in known or pod in pods:
            known.add(pod)
            peers[pod].see(hosts(pods), time)
    takers |= {each for each in known if takes(each)}
    assert len(takers) <= 1
