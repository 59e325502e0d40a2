"""The schedule's stages and learning rate."""

import pytest

from fxemu.training.schedule import Schedule, Stage

STAGES = [
    {"share": 0.5, "length": 8, "free": False, "noise": 0.1},
    {"share": 0.5, "length": 32, "free": True},
]


def test_stages_follow_progress():
    schedule = Schedule(STAGES)
    assert not schedule.stage(0.0).free and not schedule.stage(0.49).free
    assert schedule.stage(0.5).free and schedule.stage(1.0).free
    assert schedule.longest() == 32


def test_learning_rate_rises_then_falls_to_its_final_share():
    schedule = Schedule(STAGES, steps=100, learning_rate=1.0, final_share=0.1, warm_up_steps=10)
    assert schedule.learning_rate(0, 0.0) == pytest.approx(0.1)
    assert schedule.learning_rate(50, 0.0) == pytest.approx(1.0)
    assert schedule.learning_rate(99, 1.0) == pytest.approx(0.1)


def test_shares_must_add_up_to_one():
    with pytest.raises(ValueError, match=r"add up to 0\.5"):
        Schedule(STAGES[:1])


@pytest.mark.parametrize(
    "bad",
    [{"share": 0}, {"length": 0}, {"noise": -1}, {"free": False, "drop_history": 1.1}, {"length": 64.5}, {"lead": 1.5}],
)
def test_stage_arguments_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="training stage: got"):
        Stage(**{"share": 1.0, "length": 1, "free": True, **bad})


def test_a_stage_needs_room_for_its_lead_and_all_its_chunks():
    assert Stage(share=1, length=32, free=True, lead=100, chunks=3).samples == 196
    assert Schedule([{"share": 1, "length": 32, "free": True, "lead": 100, "chunks": 3}]).longest() == 196


@pytest.mark.parametrize("bad", [{"lead": -1}, {"chunks": 0}, {"free": False, "lead": 5}, {"drop_history": 0.5}])
def test_rollout_arguments_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="training stage: "):
        Stage(**{"share": 1.0, "length": 1, "free": True, **bad})


def test_a_negative_warm_up_is_refused():
    with pytest.raises(ValueError, match="got steps 9, warm_up_steps -1"):
        Schedule(STAGES, steps=9, warm_up_steps=-1)
