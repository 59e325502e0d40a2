"""A model as ONNX: a step with explicit state, and beside it, where nothing is fed back, a graph for whole songs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fxemu.engine.activations import RECORDS
from fxemu.engine.steady_state import hidden_rest
from fxemu.engine.step import PlanStep
from fxemu.runtimes.base import PAIR_SAMPLES, TURNED_AT, ExportError, Format, Model, compared, put_files
from fxemu.runtimes.conditioned_step import ConditionedStep

OPSET = 18
CHECK_SAMPLES = 1024


class Onnx(Format):
    """A folder of ONNX files: step.onnx, and song.onnx where there is no feedback; needs `pip install fxemu[onnx]`."""

    suffix = "-onnx"
    turnable = True

    def write(self, model: Model, path: Path) -> None:
        path.mkdir()
        put_files(model, path)
        step = _step(model)
        inputs, values = (["dry", "knobs"], [step.default]) if model.loop.knobs else (["dry"], [])
        states = [f"state_{i}" for i in range(len(step.start))]
        names = {"input_names": [*inputs, *states], "output_names": ["wet", *(f"next_{name}" for name in states)]}
        _convert(step, (torch.zeros(1), *values, *step.start), path / "step.onnx", names, model, step.start)
        if _goes_at_once(model):
            axes = {"dry": {0: "samples"}, "wet": {0: "samples"}}
            names = {"input_names": ["dry"], "output_names": ["wet"], "dynamic_axes": axes}
            _convert(WholeSong(model).eval(), (torch.zeros(CHECK_SAMPLES),), path / "song.onnx", names, model, [])

    def check(self, model: Model, path: Path) -> str:
        runtime = _needed("onnxruntime")
        dry, wet = model.reference_pair(PAIR_SAMPLES if model.loop.knobs else CHECK_SAMPLES)
        step = runtime.InferenceSession(str(path / "step.onnx"), providers=["CPUExecutionProvider"])
        names = [entry.name for entry in step.get_inputs()]
        state, played = [row.numpy() for row in _step(model).start], []
        for t, sample in enumerate(dry.numpy()):
            settings = model.default_settings if t < TURNED_AT else model.turned_settings
            values = [np.array(list(settings.values()), np.float32)] if settings else []
            out, *state = step.run(None, dict(zip(names, [sample[None], *values, *state], strict=True)))
            played.append(out)
        findings = [compared(model, torch.from_numpy(np.concatenate(played)), wet, "ONNX Runtime step by step")]
        if (path / "song.onnx").exists():
            song = runtime.InferenceSession(str(path / "song.onnx"), providers=["CPUExecutionProvider"])
            # Not the length that it was converted with.
            whole = song.run(None, {"dry": dry.numpy()[:-99]})[0]
            findings.append(compared(model, torch.from_numpy(whole), wet[:-99], "ONNX Runtime for the whole song"))
        return "\n".join(findings)


class FiniteStep(PlanStep):
    """A step whose samples are finite: NaN and infinity count as 0, and a state that is not finite starts again."""

    def forward(self, dry: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        wet, *following = super().forward(_finite(dry), *state)
        if not following:
            return (_finite(wet),)
        # One sum for all of them: a runtime takes its time for each operator.
        sound = torch.isfinite(torch.cat([x.flatten() for x in following]).sum())
        return _finite(wet), *(torch.where(sound, x, quiet) for x, quiet in zip(following, self.start, strict=True))


def _step(model: Model) -> FiniteStep | ConditionedStep:
    step = FiniteStep(model.loop, model.default_positions)
    return (ConditionedStep(step, model.loop.knobs, model.sample_rate) if model.loop.knobs else step).eval()


def _goes_at_once(model: Model) -> bool:
    """Whether a graph can compute a whole song: it needs no loop, and any state can start at rest."""
    predictor = model.loop.predictor
    starts = predictor.takes_state or not model.loop.plan().hidden_states()
    return predictor.vectorised and starts and not predictor.feedback and not model.loop.knobs


def _finite(samples: Tensor) -> Tensor:
    return torch.where(torch.isfinite(samples), samples, 0.0)


class WholeSong(nn.Module):
    """dry (T,) to wet (T,) at once, from rest, for a predictor without feedback; NaN and infinity count as 0."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.loop, self.limit, self.start = model.loop, float(model.loop.limit), hidden_rest(model.loop)

    def forward(self, dry: Tensor) -> Tensor:
        encoded = self.loop.encode(torch.cat((torch.zeros(self.loop.warm_up), _finite(dry)))[None, None])
        params = self.loop.predictor(encoded, encoded, *self.start)
        return self.loop.decode(params)[0, 0].clamp(-self.limit, self.limit)


def _convert(net: nn.Module, given: tuple, path: Path, names: dict[str, Any], model: Model, start: list) -> None:
    onnx = _needed("onnx")
    with warnings.catch_warnings(), torch.no_grad():
        # The newer converter (dynamo=True) would unroll a recurrent layer over all samples.
        warnings.simplefilter("ignore")
        for record in RECORDS.values():
            for name, symbolic in record.onnx.items():
                torch.onnx.register_custom_op_symbolic(name, symbolic, OPSET)
        torch.onnx.export(net, given, str(path), dynamo=False, opset_version=OPSET, **names)
    proto = onnx.load(str(path))
    for key, value in {"name": model.name, "sample_rate": str(model.sample_rate), "written_by": "fxemu"}.items():
        proto.metadata_props.add(key=key, value=value)
    for knob in model.loop.knobs:
        proto.metadata_props.add(key=f"knob_{knob.name}", value=f"{knob.low:g} {knob.high:g} {knob.default:g}")
    for i, row in enumerate(start):
        proto.metadata_props.add(
            key=f"start_{i}", value=" ".join(f"{x:.9g}" for x in row.view(len(row), -1)[:, 0].tolist())
        )
    onnx.save(proto, str(path))


def _needed(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise ExportError(f'{name} is not installed: pip install "fxemu[onnx]"') from error
