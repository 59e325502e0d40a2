"""Draws docs/feedback_map.png from the runs of `train.py -m study=feedback_map`, and prints who wins where."""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.figure import Figure

from tables.common import ROOT, finished_runs

COLOURS = {True: "tab:red", False: "tab:blue"}
# The context window of an `mlp` and the time of a run, where the study does not say otherwise; how others are named.
WINDOW, TIME = 256, "00:00:01:00"
TIMES = {TIME: "", "00:00:05:00": ", 5 minutes"}
MARKS = {"mlp": "o", "gru": "s", "lstm": "D", "wavenet": "^"}


@dataclass(frozen=True)
class Point:
    """A run: what it costs a sample, its free-run error, and how long it was."""

    model: str
    net: str
    feedback: bool
    cost: int
    esr: float
    time: str | None


def run(options: argparse.Namespace) -> None:
    """Print all runs, and of those of a minute the least error with and without feedback at equal cost; draw them."""
    effects, diverged = points_of_runs(options.seed)
    _print_nets(effects)
    effects = {effect: short for effect, points in effects.items() if (short := [p for p in points if p.time == TIME])}
    if not effects:
        raise SystemExit("no finished run of a minute: run `python train.py -m study=feedback_map` first")
    print(
        f"\nfree-run ESR with / without feedback, bold where it is half of the other or less; {diverged} divergences\n"
    )
    print("| effect | runs | best with feedback | best without | with over without, at the same cost |")
    print("|---|---|---|---|---|")
    for effect, points in effects.items():
        best = {feedback: frontier(points, feedback) for feedback in (True, False)}
        ratio = equal_cost_ratio(best[True], best[False])
        cells = [f"{line[-1].esr:.1e} ({line[-1].cost})" if line else "" for line in best.values()]
        print(f"| {effect} | {len(points)} | {' | '.join(cells)} | {ratio} |")
    _draw(effects)


def points_of_runs(seed: int) -> tuple[dict[str, list[Point]], int]:
    """The runs of each effect with a seed, and how many free runs diverged in all."""
    effects: dict[str, list[Point]] = defaultdict(list)
    diverged = 0
    for scores, config in finished_runs("feedback_map"):
        if config["seed"] != seed:
            continue
        model, chosen, time = scores["model"], config["model"], config["trainer"]["max_time"]
        window = chosen.get("context_window", WINDOW)
        net = f"`{model}` {chosen['width']}" + (f", window {window}" if window != WINDOW else "")
        net += TIMES.get(time, f", {time}")
        point = Point(model, net, chosen["feedback"], scores["multiply_adds"], scores["test"]["esr"], time)
        effects[scores["effect"]].append(point)
        diverged += scores["test"]["divergences"]
    return effects, diverged


def _print_nets(effects: dict[str, list[Point]]) -> None:
    """A row a net, a column an effect."""
    names = {point.net: point.model for points in effects.values() for point in points}
    print(f"| net | multiply-adds | {' | '.join(effects)} |\n|{'---|' * (2 + len(effects))}")
    for net in sorted(names, key=lambda net: (list(MARKS).index(names[net]), "window" in net, len(net), net)):
        pairs = [{p.feedback: p for p in points if p.net == net} for points in effects.values()]
        costs = [{p.cost for pair in pairs for p in pair.values() if p.feedback == side} for side in (True, False)]
        cost = " / ".join(str(max(side)) if side else "" for side in costs)
        print(f"| {net} | {cost} | {' | '.join(map(with_and_without, pairs))} |")


def with_and_without(pair: dict[bool, Point]) -> str:
    """The errors with and without feedback, the winner bold."""
    if len(pair) < 2:
        return " / ".join(f"{pair[side].esr:.1e}" if side in pair else "-" for side in (True, False)) if pair else ""
    a, b = pair[True].esr, pair[False].esr
    return " / ".join(f"**{x:.1e}**" if x <= y / 2 else f"{x:.1e}" for x, y in ((a, b), (b, a)))


def frontier(points: list[Point], feedback: bool) -> list[Point]:
    """The runs that no cheaper run beats, from the cheapest to the best."""
    best: list[Point] = []
    for point in sorted((p for p in points if p.feedback == feedback), key=lambda p: (p.cost, p.esr)):
        if not best or point.esr < best[-1].esr:
            best.append(point)
    return best


def equal_cost_ratio(with_feedback: list[Point], without: list[Point]) -> str:
    """The least and the greatest ratio of errors, over the costs at which both have a run."""
    costs = sorted({p.cost for p in (*with_feedback, *without)})

    def error(line: list[Point], cost: int) -> float | None:
        return min((p.esr for p in line if p.cost <= cost), default=None)

    pairs = [(error(with_feedback, cost), error(without, cost)) for cost in costs]
    ratios = [a / b for a, b in pairs if a is not None and b is not None]
    return f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""


def _draw(effects: dict[str, list[Point]]) -> None:
    columns = 4
    rows = -(-len(effects) // columns)
    figure = Figure(figsize=(3.4 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (effect, points) in zip(panels, effects.items(), strict=False):
        costs, errors = [p.cost for p in points], [p.esr for p in points]
        left, right = 0.8 * min(costs), 1.25 * max(costs)
        for point in points:
            axes.loglog(point.cost, point.esr, MARKS[point.model], color=COLOURS[point.feedback], markersize=5)
        for feedback, colour in COLOURS.items():
            line = frontier(points, feedback)
            label = "with feedback" if feedback else "without"
            reached = [*line, *(replace(p, cost=right) for p in line[-1:])]
            axes.step([p.cost for p in reached], [p.esr for p in reached], where="post", color=colour, label=label)
        axes.set(title=effect, xlabel="multiply-adds a sample", ylabel="free-run ESR", xlim=(left, right))
        axes.set_ylim(min(errors) / 2, max(2 * max(errors), 10 * min(errors)))
        ticks = [cost for cost in (250 * 2**n for n in range(8)) if left < cost < right]
        axes.set_xticks(ticks, ticks)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].legend()
    for axes in panels[len(effects) :]:
        axes.set_visible(False)
    figure.savefig(Path(ROOT) / "docs" / "feedback_map.png", dpi=90)
