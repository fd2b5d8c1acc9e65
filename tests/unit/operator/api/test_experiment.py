"""An experiment is refused with a sentence by the operator too."""

from typing import Any

import pytest
import yaml
from tests.component.refusals.experiment import ARMS, REFUSED, _experiment
from tests.unit.operator.api.test_types import _object

from llmdeployment_operator.api import experiment
from llmdeployment_operator.api.types import SpecError, parse

OWN_WORDS = (
    experiment.WITHOUT_ARMS,
    experiment.UNKNOWN_CONTROL,
    experiment.WITH_HTTPROUTE,
    experiment.PATTERN_MISSING,
    experiment.COST_WITHOUT_PRICES,
    experiment.METRIC_TOKENS,
    experiment.METRIC_MILLISECONDS,
)


def spec_of(patch: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(patch)["spec"]
    return found


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_api_server_refuses_the_operator_refuses(case: str) -> None:
    patch, sentence = REFUSED[case]

    with pytest.raises(SpecError) as refused:
        parse(_object(**spec_of(patch)))

    assert "experiment" in str(refused.value)
    if sentence in " ".join(OWN_WORDS) or sentence.startswith("must be"):
        assert sentence in str(refused.value)


PRICES = "cost: {currency: EUR, perReplicaHour: '1'}"
GOOD = (
    f"spec: {{{ARMS}, {_experiment()}}}",
    f"spec: {{{ARMS}, {_experiment(maxDuration='90d', minUsers='100', onEnd='Hold')}}}",
    f"spec: {{{ARMS}, {_experiment(onEnd='ShiftToWinner')}}}",
    f"spec: {{{ARMS}, {_experiment(maxDuration='2160h', minimumEffectPercent='50')}}}",
    f"spec: {{{ARMS}, {_experiment(maxDuration='1m', control='terse', minimumEffectPercent='1')}}}",
    (
        "spec: {monitoring: {outputPatterns: [{name: sorry, pattern: Sorry}]}, "
        f"{ARMS}, {_experiment(metrics='[{name: pattern/sorry}, {name: refusal}]')}}}"
    ),
    f"spec: {{{ARMS}, {PRICES}, {_experiment(metrics='[{name: cost, tokens: 500, tolerancePercent: 5}]')}}}",
    f"spec: {{{ARMS}, {PRICES}, {_experiment(metrics='[{name: cost}, {name: outputTokens, tokens: 500}]')}}}",
    "spec: {}",
    f"spec: {{{ARMS}}}",
)


@pytest.mark.parametrize("patch", GOOD)
def test_a_good_one_is_taken_and_no_arm_has_one_of_its_own(patch: str) -> None:
    spec = parse(_object(**spec_of(patch))).spec

    assert all(spec.of_arm(arm).experiment is None for arm in spec.arms)
