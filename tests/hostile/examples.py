"""How much is tried: what the profile of Hypothesis says, or a part of it where each input takes long."""

import hypothesis
from hypothesis import HealthCheck


def examples(share: float) -> hypothesis.settings:
    """Settings for a share of the examples; what a test is given may be used by all of them."""
    usual = hypothesis.settings.default
    assert usual
    careless = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
    return hypothesis.settings(max_examples=max(round(usual.max_examples * share), 1), suppress_health_check=careless)
