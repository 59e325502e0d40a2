"""Trains the standard WaveNet of the package neural-amp-modeler, with its defaults, in an environment of its own:

    python -m venv nam && nam/bin/pip install neural-amp-modeler==0.12.2
    nam/bin/python scripts/nam_training.py FOLDER SECONDS SEED

FOLDER holds {train,val}-{dry,wet}.npy and test-NUMBER-dry.npy, float32 (samples,) at 44.1 kHz, as `benchmark.py nam`
writes them; test-NUMBER-nam.npy is written beside the last. The best net by error on the validation audio counts.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from nam.data import Dataset
from nam.train.core import Architecture, get_wavenet_config
from nam.train.lightning_module import LightningModule
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

# The defaults of nam.train.core.train.
SAMPLES, BATCH, LEARNING_RATE, DECAY = 8192, 16, 0.004, 0.007
SAMPLE_RATE = 44_100


def main(folder: Path, seconds: int, seed: int) -> None:
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    model = LightningModule.init_from_config(
        {
            "net": {"name": "WaveNet", "config": get_wavenet_config(Architecture.STANDARD)},
            "loss": {"val_loss": "esr", "pre_emph_mrstft_weight": 2e-4, "pre_emph_mrstft_coef": 0.85},
            "optimizer": {"lr": LEARNING_RATE},
            "lr_scheduler": {"class": "ExponentialLR", "kwargs": {"gamma": 1 - DECAY}},
        }
    )
    # The package refuses wet that reaches full scale.
    gain = 0.9 / max(np.abs(np.load(folder / f"{part}-wet.npy")).max() for part in ("train", "val"))
    field = model.net.receptive_field
    train, val = _dataset(folder, "train", gain, field, SAMPLES), _dataset(folder, "val", gain, field, None)
    model.net.sample_rate = SAMPLE_RATE
    best = ModelCheckpoint(folder / "checkpoints", monitor="ESR")
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=-1,
        max_time={"seconds": seconds},
        callbacks=[best],
        default_root_dir=folder,
        enable_progress_bar=False,
    )
    trainer.fit(model, DataLoader(train, BATCH, shuffle=True, drop_last=True), DataLoader(val))
    error = float(best.best_model_score)
    print(f"{trainer.global_step} steps, {trainer.current_epoch} epochs, best ESR on validation {error:.2e}")
    model.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    model.net.eval()
    with torch.no_grad():
        for path in folder.glob("test-*-dry.npy"):
            wet = model.net(torch.from_numpy(np.load(path)), pad_start=True)
            np.save(path.with_name(path.name.replace("dry", "nam")), (wet / gain).numpy())


def _dataset(folder: Path, part: str, gain: float, receptive_field: int, samples: int | None) -> Dataset:
    dry, wet = (torch.from_numpy(np.load(folder / f"{part}-{side}.npy")) for side in ("dry", "wet"))
    return Dataset(dry, gain * wet, nx=receptive_field, ny=samples, sample_rate=SAMPLE_RATE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
