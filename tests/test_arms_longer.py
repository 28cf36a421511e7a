"""The arm that trains longer: the only one."""

from counterpoise.arms import arm
from counterpoise.arms.arm import load


def test_only_longer_gets_more_training():
    assert {name: load(name).steps for name in arm.names() if load(name).steps != 1} == {"longer": 4.0}


def test_longer_differs_from_nothing_in_its_steps_alone():
    longer, none = vars(load("longer")), vars(load("none"))
    assert {name for name in longer if longer[name] != none[name]} == {"about", "steps"}
    clips = {"bark": 6, "howl": 2}
    assert load("longer").prior(clips) == load("none").prior(clips)
