"""The schema of metrics.json: its keys are a contract, and what compares runs knows no other names."""

import json

from fxemu.evaluation.compare import SCORES
from fxemu.evaluation.listening import HEARD
from fxemu.evaluation.report import BASELINES, table
from fxemu.evaluation.runs import PASTS, QUIET, read_run
from fxemu.evaluation.scores import (
    NAMES,
    AliasingScores,
    ContractionScores,
    DecayScores,
    Errors,
    LevelScores,
    PastScores,
    PhaseScores,
    PrimedScores,
    Report,
    Scores,
    SongScores,
    StabilityScores,
)

NUMBERS = {
    "esr": 0.1, "esr_median": 0.1, "esr_worst": 0.2, "nmae": 0.3, "inverted_esr": 3.9, "esr_preemphasis": 0.1,
    "esr_a_weighted": 0.1, "esr_treble": 0.2, "treble_level_db": -1.0, "loudness_error_lu": -0.1,
    "gain_error_db": 0.5, "dc": 0.0, "mrstft": 0.7, "teacher_forced_esr": 0.01, "divergences": 0,
    "realtime_factor": 90.0,
}  # fmt: skip
SCORED = Scores(
    **NUMBERS,
    baselines={name: Errors(0.5, 0.6) for name in BASELINES},
    outdone="a volume knob has less",
    levels=[LevelScores(0, 0.1, 0.2, -40.0), LevelScores(-48, 1.3, 0.4, -80.0)],
    drowned="silence is nearer",
    primed=[PrimedScores(0.0, 0.1, None), PrimedScores(0.5, 0.1, PhaseScores(0.1, 0.01, 3.8))],
    decay=DecayScores(1.5, None, None),
    contraction=ContractionScores(
        PastScores(0.1, None, 3.0, {"silence": 0.1}, 0.4, 0.1, 4.0), None, "it stays apart", 0.5
    ),
    aliasing=AliasingScores(-20.5, None),
    stability=StabilityScores(0.0, 0.0, 0.0, 0.0, 0.5, None),
    songs=[SongScores("a.mp3", 0.1, 0.2, None)],
)
COSTS = {
    "val_esr": 0.1, "parameters": 99, "multiply_adds": 88, "audio_seconds": 60.0, "train_seconds": 12.0,
    "validation_share": 0.1, "effect": "tanh", "repr": "raw", "model": "mlp", "box": "a filter",
}  # fmt: skip
CONTENT = {
    "test": {
        **NUMBERS,
        "baselines": {name: {"esr": 0.5, "nmae": 0.6} for name in ("copy_last", "gain", "fir")},
        "outdone": "a volume knob has less",
        "levels": [
            {"level_db": 0, "esr": 0.1, "nmae": 0.2, "error_dbfs": -40.0},
            {"level_db": -48, "esr": 1.3, "nmae": 0.4, "error_dbfs": -80.0},
        ],
        "drowned": "silence is nearer",
        "primed": [
            {"primed_s": 0.0, "esr": 0.1},
            {"primed_s": 0.5, "esr": 0.1, "esr_best_phase": 0.1, "drift_hz": 0.01, "drift_radians_a_minute": 3.8},
        ],
        "decay": {"effect_s": 1.5, "model_s": None, "error": None},
        "contraction": {
            "model": {
                "median_s": 0.1,
                "worst_s": None,
                "left_db": 3.0,
                "esr": {"silence": 0.1},
                "esr_worst": 0.4,
                "esr_best": 0.1,
                "worst_over_best": 4.0,
            },
            "effect": None,
            "warning": "it stays apart",
            "guaranteed_s": 0.5,
        },
        "aliasing": {"model_db": -20.5, "effect_db": None},
        "stability": {
            "rest": 0.0,
            "rest_peak": 0.0,
            "after_square": 0.0,
            "after_click": 0.0,
            "largest": 0.5,
            "forgets_ms": None,
        },
        "songs": [{"name": "a.mp3", "esr": 0.1, "nmae": 0.2, "samples_to_divergence": None}],
        "knobs": None,
    },
    **COSTS,
    "race": None,
}


def test_the_file_has_these_keys():
    assert json.loads(json.dumps(Report(SCORED, **COSTS).to_json())) == CONTENT


def test_a_run_is_compared_by_names_of_the_schema(make_run):
    folder = make_run("a")
    (folder / "metrics.json").write_text(json.dumps(CONTENT))
    run = read_run(folder)
    assert set(run.scores) == {*NAMES, QUIET, PASTS} and run.scores[QUIET] == 1.3
    assert "silence is nearer" in run.warnings
    assert {column.score for column in SCORES} <= {*run.scores, *HEARD}


def test_the_table_says_what_does_not_end():
    lines = table(SCORED)
    assert "a burst of noise falls by 60 dB in 1.50 s, the model's never" in lines
    assert "a disturbed history is forgotten never" in lines
    assert "LOST WHERE IT IS QUIET: silence is nearer" in lines
