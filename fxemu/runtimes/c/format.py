"""A model as one file of C without dependencies: its weights, `NAME_init`, and `NAME_process` for blocks of any size.

Whatever does not depend on the feedback is computed for a block of samples at once, the rest sample by sample. Nothing
is allocated: the state is a struct, so that a program may run several.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from string import Template

import torch

from fxemu.audio import polyphase
from fxemu.engine.activations import RECORDS
from fxemu.engine.plan import DRY
from fxemu.runtimes.base import TURNED_AT, ExportError, Format, Model
from fxemu.runtimes.c import knobs
from fxemu.runtimes.c.plan import BLOCK, PlanInC, number, table
from fxemu.runtimes.packing import as_comment

HERE = Path(__file__).parent
CHECK_SECONDS = 120
# Of what a host may run at.
HOST_RATES_HZ = (22_050, 192_000)


class C(Format):
    """One file, C99 and C++, and its header. With -DSELF_CHECK it is a program that plays a built-in pair."""

    suffix = ".c"
    holds_pair = True
    oversamples = True
    turnable = True

    def write(self, model: Model, path: Path) -> None:
        header, text = source(model)
        path.write_text(text)
        path.with_suffix(".h").write_text(header)

    def check(self, model: Model, path: Path) -> str:
        """Compile the self check, and run it."""
        compiler = shutil.which("cc")
        if compiler is None:
            return "not run: no C compiler (cc) here; compile it with -DSELF_CHECK and run that before you rely on it"
        with tempfile.TemporaryDirectory() as folder:
            program = str(Path(folder) / "check")
            flags = "-std=c99", "-O1", "-DSELF_CHECK", "-o", program, str(path), "-lm"
            for command in ([compiler, *flags], [program]):
                done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_SECONDS)
                if done.returncode:
                    raise ExportError(f"the C file fails its check: {(done.stderr or done.stdout).strip()[:300]}")
        return done.stdout.strip()


@torch.no_grad()
def source(model: Model) -> tuple[str, str]:
    """The text of the header, and of the file, which begins with the same text and so needs no other file."""
    steps = PlanInC(model)
    start, block, sample, slide = steps.start(), steps.block(), steps.sample(), steps.slide()
    start, knob_code = start + knobs.start(model), knobs.code(model, steps)
    template = (HERE / "template.c").read_text()
    dry, wet = model.reference_pair()
    declared = {
        "title": re.sub(r"[^ -)+-~]", "?", model.name),
        "name": model.identifier,
        "rate": model.sample_rate,
        "latency": model.latency,
        "members": _lines(steps.members(), 2),
        **_host_sizes(model.sample_rate),
        "reset": f"{model.identifier}_{'settle' if model.loop.knobs else 'init'}",
        **knobs.declared(model),
    }
    header = Template((HERE / "header.h").read_text()).substitute(declared)
    parts = {
        "header": header,
        "name": model.identifier,
        "block_samples": BLOCK,
        "helpers": _used([template, knob_code, *start, *block, *sample, *slide]),
        "tables": "\n".join(steps.tables),
        "start": _lines(start, 2),
        "knobs": knob_code,
        **knobs.calls(model),
        "dry": steps.row(DRY),
        "block": _lines(block, 2),
        "sample": _lines(sample, 4),
        "wet": steps.row(steps.plan.last),
        "slide": _lines(slide, 4),
        "check": f"{table('check_dry', dry)}\n{table('check_wet', wet)}",
        "turn": "".join(f"\n    {line}" for line in knobs.turned(model, TURNED_AT)),
        "check_samples": dry.numel(),
        "tolerance": number(model.tolerance),
    }
    host = Template((HERE / "host.c").read_text()).substitute(
        declared, crossings=polyphase.CROSSINGS, phases=polyphase.PHASES, kaiser_beta=polyphase.KAISER_BETA
    )
    return header, Template(template).substitute(parts, host=host) + as_comment(model.files)


def _host_sizes(rate: int) -> dict[str, int]:
    """The rates of hosts, and what the arrays for resampling must hold for a model's rate and any of them."""
    low, high = HOST_RATES_HZ
    half = max(polyphase.reach(high, rate), polyphase.reach(rate, low))
    return {
        "lowest_rate": low,
        "highest_rate": high,
        # Before the first sample lie three halves of a filter, and up to a sample of the host's.
        "host_samples": 3 * half + BLOCK + rate // low + 8,
        "host_table": 2 * (polyphase.CROSSINGS * polyphase.PHASES + polyphase.PHASES) + 4 * half + 4,
    }


def _lines(lines: list[str], indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _functions() -> dict[str, str]:
    """The C functions that steps may call, by name: helpers, and of an activation `to_KIND` (rows), `unit_KIND`."""
    texts = (HERE / "helpers.c").read_text().strip().split("\n\n")
    texts += [text for record in RECORDS.values() for text in record.c_helpers]
    texts += [
        f"static inline void to_{kind}(float *z, int units, int n, float p)\n{{\n{record.c}}}"
        for kind, record in RECORDS.items()
    ]
    texts += [
        f"static inline float unit_{kind}(float x, float p)\n{{\n  (void)p;\n  return {record.c_unit};\n}}"
        for kind, record in RECORDS.items()
        if record.c_unit is not None
    ]
    return {re.search(r"(\w+)\(", text.split("*/")[-1])[1]: text for text in texts}


def _used(lines: list[str]) -> str:
    """Those functions that the lines call, or that these call, in order."""
    functions = _functions()
    used, seen = set(), "\n".join(lines)
    while more := {name for name in set(functions) - used if re.search(rf"\b{name}\(", seen)}:
        used |= more
        seen = "\n".join(functions[name] for name in more)
    return "\n\n".join(part for name, part in functions.items() if name in used)
