"""Pictures hold what they are said to show."""

import torch

from fxemu.engine.plan import DRY, WET, Plan
from fxemu.evaluation.plots import error_over_time, first_layer, setting_errors, training_curve
from fxemu.models import GRU, MLP
from fxemu.models.knobs import Knob


def planned(model) -> Plan:
    plan = Plan()
    model.plan(plan, DRY, WET)
    return plan


def test_first_layer_shows_the_taps_last_sample_first() -> None:
    model = MLP(1, 1, context_window=16, feedback_window=12, width=1)
    figure = first_layer(planned(model), 8000)
    dry, _, wet, _ = figure.axes
    assert [axes.get_title() for axes in (dry, wet)] == ["window over dry", "window over wet"]
    line = dry.lines[0].get_ydata()
    assert torch.allclose(torch.as_tensor(line), model.dry.weight.detach()[0, 0].flip(0))


def test_an_embedding_does_not_hide_the_window_behind_it() -> None:
    assert (
        len(first_layer(planned(MLP(1, 1, context_window=16, feedback_window=15, embedding=2, width=3)), 8000).axes)
        == 4
    )


def test_nothing_to_show_without_a_window() -> None:
    assert first_layer(planned(GRU(1, 1, width=4)), 8000) is None


def test_error_over_time_shows_where_a_free_run_diverges() -> None:
    dry = torch.rand(10_000) - 0.5
    stuck = torch.cat((dry[:3000], torch.ones(7000)))
    whole, broken = (error_over_time(dry, dry, wet, 1000, 1.0).axes[0].lines for wet in (dry, stuck))
    assert [line.get_label() for line in whole] == ["target", "error"]
    assert list(broken[-1].get_xdata()) == [3.0, 3.0]


def test_training_curve_has_both_errors() -> None:
    (axes,) = training_curve([(10, 0.5, 0.1), (20, 0.25, 0.05)]).axes
    assert {line.get_label(): list(line.get_ydata()) for line in axes.lines} == {
        "free run": [0.5, 0.25],
        "teacher forced": [0.1, 0.05],
    }


def test_settings_are_over_each_knob_and_of_two_on_a_map() -> None:
    knobs = Knob("drive_db", 0.0, 40.0, 10.0), Knob("tone_hz", 500.0, 8000.0, 2000.0)
    errors = [({"drive_db": 10.0, "tone_hz": 600.0}, 1e-3, 0.2), ({"drive_db": 30.0, "tone_hz": 4000.0}, 0.1, 0.3)]
    drive, tone, both, _ = setting_errors(knobs, errors).axes
    assert [list(line.get_xdata()) for line in drive.lines] == [[10.0, 30.0]] * 2
    assert [list(line.get_ydata()) for line in drive.lines] == [[0.2, 0.3], [1e-3, 0.1]], "nearest below, model above"
    assert tone.get_xscale() == both.get_yscale() == "log" and both.get_xlabel() == "drive_db (dB)"
    (dots,) = both.collections
    assert dots.get_offsets().tolist() == [[10.0, 600.0], [30.0, 4000.0]] and dots.get_array().tolist() == [1e-3, 0.1]
    assert len(setting_errors(knobs[:1], errors).axes) == 1
