"""Command-line entry to training: `python train.py effect=distortion repr=mulaw`; see `python train.py --help`."""

from fxemu.cli.train import main

if __name__ == "__main__":
    main()
