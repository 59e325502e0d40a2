"""Makes a reference of this folder with the package neural-amp-modeler, in an environment of its own:

    python -m venv nam && nam/bin/pip install neural-amp-modeler==0.12.2 && nam/bin/python make_reference.py FILES.nam
    python -m venv nam && nam/bin/pip install neural-amp-modeler==0.13.0 && nam/bin/python make_reference.py

Each reference is a model's file, and what the package makes of a decaying note: small models of the package's own,
and the files given, which are those that `python tests/nam_reference/export.py FOLDER` writes. (0.13 cannot read
them: it wants the keys of version 0.7 of the format, which older plugins do not know.)
"""

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from nam.models._from_nam import init_from_nam
from nam.models.base import BaseNet
from nam.models.conv_net import ConvNet
from nam.models.recurrent import LSTM
from nam.models.wavenet import WaveNet

SAMPLES = 300
NEW = version("neural-amp-modeler") >= "0.13"


def array(inputs: int, channels: int, size: int, last: bool) -> dict:
    common = {"input_size": inputs, "condition_size": 1, "channels": channels, "kernel_size": 3, "dilations": [1, 2, 7]}
    if NEW:
        return {**common, "activation": "Tanh", "head": {"out_channels": size, "kernel_size": 1, "bias": last}}
    return {**common, "activation": "Tanh", "head_size": size, "head_bias": last, "gated": not last}


def own_models() -> dict[str, dict]:
    torch.manual_seed(0)
    arrays = [array(1, 4, 2, False), array(4, 2, 1, True)]
    nets = {"wavenet": WaveNet.init_from_config({"layers_configs": arrays, "head_scale": 0.5, "sample_rate": 48000})}
    nets["lstm"] = LSTM(hidden_size=3, num_layers=2, sample_rate=44100)
    nets["lstm"]._initial_hidden.data.uniform_(-0.5, 0.5)
    if NEW:
        nets["container"] = container()
    files = {}
    for name, net in nets.items():
        with tempfile.TemporaryDirectory() as folder:
            net.export(folder, basename=name)
            files[f"own {name}"] = json.loads((Path(folder) / f"{name}.nam").read_text())
    return files


def container() -> BaseNet:
    """Two WaveNets in one file, as the package trains them since 0.13, but smaller."""
    from nam.models.wavenet._packed_wavenet import PackedWaveNet

    head = {"out_channels": 1, "kernel_size": 16, "bias": True}
    common = {"input_size": 1, "condition_size": 1, "kernel_sizes": [6, 6, 15], "dilations": [1, 3, 7], "head": head}
    arrays = [[{**common, "channels": n, "activation": "LeakyReLU", "gated": False}] for n in (2, 3)]
    parts = [{"name": str(i), "config": {"layers_configs": a, "head_scale": 0.5}} for i, a in enumerate(arrays)]
    config = {"submodels": parts, "export": {"container_max_values": "uniform"}, "sample_rate": 48000}
    return PackedWaveNet.init_from_config(config)


def net_of(content: dict) -> BaseNet:
    """The package's own net with a file's weights; it writes ConvNets, and reads all but those."""
    if content["architecture"] == "SlimmableContainer":
        content = content["config"]["submodels"][-1]["model"]
    if content["architecture"] != "ConvNet":
        return init_from_nam(content).eval()
    net, taken = ConvNet(**content["config"], sample_rate=content["sample_rate"]).eval(), 0
    for parameter in net.parameters():
        part = content["weights"][taken : taken + parameter.numel()]
        parameter.data.copy_(torch.tensor(part).reshape(parameter.shape))
        taken += parameter.numel()
    # In the order in which it writes them.
    assert np.array_equal(net._export_weights(), np.array(content["weights"], np.float32))
    return net


def main() -> None:
    files = own_models() | {Path(path).stem: json.loads(Path(path).read_text()) for path in sys.argv[1:]}
    t = torch.arange(SAMPLES)
    dry = torch.sin(0.2 * t) * torch.exp(-t / 100)
    found = {}
    for name, content in files.items():
        net = net_of(content)
        with torch.no_grad():
            wet = net(dry, pad_start=True)
        found[name] = {"file": content, "wet": [round(x, 8) for x in wet.tolist()]}
    target = Path(__file__).with_name(f"reference-{version('neural-amp-modeler')}.json")
    target.write_text(json.dumps({"dry": [round(x, 8) for x in dry.tolist()], "models": found}) + "\n")


if __name__ == "__main__":
    main()
