"""A Ray cluster of two machines, one of which is lost on the way: the work completes (minutes, if Ray is installed)."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.commands import ROOT, begun, options, prepare, scores, sweep

pytest.importorskip("ray")


@pytest.fixture
def cluster() -> Iterator[tuple[dict[str, str], Callable[[], None]]]:
    """The environment in which the cluster is found, and what takes its second machine away."""
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = nodes.add_node(num_cpus=1)
    path = os.pathsep.join((str(Path(__file__).parent.parent.parent), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "RAY_ADDRESS": nodes.address, "PYTHONPATH": path}
    yield environment, lambda: nodes.remove_node(second, allow_graceful=False)
    nodes.shutdown()


def wait_for(happened: Callable[[], bool], process: subprocess.Popen) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def workers() -> int:
    """Processes that make songs wet."""
    return len(subprocess.run(["pgrep", "-f", "^ray::make_wet"], capture_output=True).stdout.split())


def test_wet_songs(library, cluster):
    environment, lose_a_machine = cluster
    hold = library.parent / "wait"
    hold.touch()
    process = prepare(library, "--ray", *options(library), env=environment)
    # One core each: two songs at once are on two machines.
    wait_for(lambda: (library.parent / "begun").exists() and begun(library) == 2, process)
    lose_a_machine()
    # Ray's workers outlive their machine for a moment, in which they might end what they have begun.
    wait_for(lambda: workers() == 1, process)
    hold.unlink()
    output, errors = process.communicate()
    assert process.returncode == 0 and "5 wet song(s)" in output, errors
    assert len(list((library.parent / "cache").glob("*.npy"))) == 5
    assert begun(library) == 6, "the song of the lost machine was begun again, and no other"


def test_a_sweep(library, cluster, tmp_path):
    environment, lose_a_machine = cluster
    folder = tmp_path / "sweep"
    words = sweep(library, folder, "hydra/launcher=ray", "effect=tanh,lowpass,highpass", "training.steps=3000")
    given = [sys.executable, str(ROOT / "train.py"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(given, cwd=tmp_path, env=environment, **pipes)
    wait_for(lambda: len(list(folder.glob("*/checkpoints/last.ckpt"))) == 2, process)
    lose_a_machine()
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert len(scores(folder)) == 3
