"""Trains the standard model of the package neural-amp-modeler, with its defaults, in an environment of its own:

    python -m venv nam && nam/bin/pip install neural-amp-modeler==0.13.0
    nam/bin/python scripts/nam_training.py FOLDER SECONDS SEED

FOLDER holds {train,val}-{dry,wet}.npy and test-NUMBER-dry.npy, float32 (samples,) at 44.1 kHz, as `benchmark.py nam`
writes them; test-NUMBER-nam.npy is written beside the last. That version trains two WaveNets at once, of 3 and 8
channels, and keeps each where its own error on the validation audio is least; the larger one counts.
"""

import json
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from nam.data import Dataset
from nam.train.lightning_module import PackedBestCheckpoint, PackedLightningModule, PackedMaskCallback
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

# The defaults of nam.train.core.train.
SAMPLES, BATCH = 8192, 16
SAMPLE_RATE = 44_100


def main(folder: Path, seconds: int, seed: int) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    defaults = json.loads(resources.files("nam.train._resources").joinpath("config_model_packed.json").read_text())
    model = PackedLightningModule.init_from_config(defaults)
    # The package refuses wet that reaches full scale.
    gain = 0.9 / max(np.abs(np.load(folder / f"{part}-wet.npy")).max() for part in ("train", "val"))
    field = model.net.receptive_field
    train, val = _dataset(folder, "train", gain, field, SAMPLES), _dataset(folder, "val", gain, field, None)
    model.net.sample_rate = SAMPLE_RATE
    best = PackedBestCheckpoint(folder / "checkpoints")
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=-1,
        max_time={"seconds": seconds},
        callbacks=[best, PackedMaskCallback()],
        default_root_dir=folder,
        enable_progress_bar=False,
    )
    trainer.fit(model, DataLoader(train, BATCH, shuffle=True, drop_last=True), DataLoader(val))
    larger = best.best[model.net.num_submodels - 1]
    print(f"{trainer.global_step} steps, {trainer.current_epoch} epochs, best ESR on validation {larger}")
    checkpoint = torch.load(larger["checkpoint_path"], weights_only=False)  # this process wrote it
    model.load_state_dict(checkpoint["state_dict"])
    net = model.net.extract_submodel(larger["submodel_index"]).eval()
    with torch.no_grad():
        for path in folder.glob("test-*-dry.npy"):
            wet = net(torch.from_numpy(np.load(path)), pad_start=True)
            np.save(path.with_name(path.name.replace("dry", "nam")), (wet / gain).numpy())


def _dataset(folder: Path, part: str, gain: float, receptive_field: int, samples: int | None) -> Dataset:
    dry, wet = (torch.from_numpy(np.load(folder / f"{part}-{side}.npy")) for side in ("dry", "wet"))
    return Dataset(dry, gain * wet, nx=receptive_field, ny=samples, sample_rate=SAMPLE_RATE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
