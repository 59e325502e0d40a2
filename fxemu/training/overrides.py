"""Translation of fxemu's command-line shorthands into Hydra overrides."""

from __future__ import annotations

import copy
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_original_cwd
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fxemu.errors import ConfigError, UserError
from fxemu.training.checks import no_such_option
from fxemu.training.run_folder import CONF

# Options that are folders or files, and Hydra's own.
PATHS = ("data.library", "data.index", "data.cache", "effect.dry", "effect.wet", "effect.path", "effect.file")
RUN_FOLDERS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
SWEEP = ("-m", "--multirun")
# Options of a representation that only the side going in, or the one coming out, depends on.
ONE_SIDED = {"input": ("embedding", "plain"), "output": ("correction", "decoding", "temperature")}
# Several values for a sweep, as a function of Hydra's.
SWEPT = r"(choice|glob|shuffle|sort|tag|str)\(.*\)"


def arguments(given: list[str]) -> list[str]:
    """Translate our overrides to Hydra's: `repr.input=raw` chooses one side, `resume=RUN` resumes in that folder,
    `dry=`, `wet=` and `force=` belong to `effect=recorded`, and folders and files may have any name.

    Raises:
        ConfigError: for a group without a choice, an option without an effect, a folder or file without a name, or a
            run that cannot be resumed.
    """
    # Hydra takes the options after them for values of none.
    given = sorted(given, key=lambda word: word not in SWEEP)
    for word in given:
        if re.fullmatch(rf"\+*({'|'.join(map(re.escape, ('dry', 'wet', *PATHS, *RUN_FOLDERS)))})=['\"\s]*", word):
            raise ConfigError(f"{word}: must name a folder or a file; is a variable of the shell empty?")
        if re.fullmatch(r"(effect|repr|repr\.(input|output)|model|loss|training|data)=(null)?", word):
            raise ConfigError(f"{word}: an option must be chosen; `python train.py --help` lists them")
        for other, side in zip(ONE_SIDED, reversed(ONE_SIDED), strict=True):
            if re.match(rf"\+*repr\.{side}\.({'|'.join(ONE_SIDED[other])})=", word):
                raise ConfigError(f"{word}: has no effect there; set it for repr.{other}")
    result = [re.sub(r"^(?=(dry|wet|force)=)", "effect.", word) for word in _sides(given)]
    result += _rate_of_recordings(result)
    sweep = any(word in SWEEP for word in given)
    result = [_with_quotes(word, sweep) for word in result]
    for word in given:
        if word.startswith("resume=") and word != "resume=null":
            folder = _quote(str(_resumed(word, given).resolve()))
            # The effect's options are those of the run that is resumed, not of the default.
            result = [re.sub(rf"^(?=({'|'.join(map(re.escape, PATHS))})=)", "++", each) for each in result]
            result[result.index(word)] = f"resume={folder}"
            result.append(f"hydra.run.dir={folder}")
    return result


def _sides(given: list[str]) -> list[str]:
    """Replace `repr.input=A` and `repr.output=B` by choices of the group `repr`, whose output follows its input."""
    chosen = dict(word.split("=", 1) for word in given if re.fullmatch(r"repr(\.(input|output))?=[\w,]+", word))
    if chosen.keys() <= {"repr"}:
        return given
    rest = [word for word in given if word.split("=", 1)[0] not in chosen]
    both = chosen.get("repr") or _default_repr()
    return [*rest, f"repr={chosen.get('repr.input', both)}", f"repr@repr.output={chosen.get('repr.output', both)}"]


def _rate_of_recordings(given: list[str]) -> list[str]:
    """The override that keeps the recordings' sample rate, unless one is asked for; none where they cannot be read."""
    chosen = dict(word.split("=", 1) for word in given if "=" in word)
    paths = [chosen.get(f"effect.{side}", "").strip("'\"") for side in ("dry", "wet")]
    if chosen.get("effect") != "recorded" or "data.sample_rate" in chosen or not all(paths):
        return []
    # Imported here, so that --help need not wait for a decoder.
    from fxemu.library.recordings.files import common_rate

    try:
        return [f"data.sample_rate={common_rate(*(Path(os.path.expanduser(path)) for path in paths))}"]
    except (UserError, OSError):
        return []  # what is wrong with them is said where they are read


def _default_repr() -> str:
    return next(entry["repr"] for entry in OmegaConf.load(CONF / "train.yaml").defaults if "repr" in entry)


def _resumed(word: str, given: list[str]) -> Path:
    """The folder of the run to resume; no other options may be given, but where its files are now."""
    folder = word.removeprefix("resume=")
    if quoted := re.fullmatch(r"(['\"])(.*)\1", folder):
        folder = quoted[2].replace("\\'", "'")
    folder = os.path.expanduser(folder)
    if not folder or not Path(folder).is_dir():
        raise ConfigError(f"{word}: no such folder; give that of the run to resume")
    kept = ("hydra.", "-", "dry=", "wet=", *(f"{name}=" for name in PATHS))
    others = [other for other in given if other != word and not other.startswith(kept)]
    if others:
        raise ConfigError(
            f"{word}: a run is resumed with the options that it began with; leave out {' '.join(others)} "
            "(only folders and files may have moved, such as data.library)"
        )
    return Path(folder)


def _with_quotes(word: str, sweep: bool) -> str:
    """An override whose folder or file Hydra takes for one, whatever is in its name; those in quotes stay as they are.

    A comma is part of the name, unless a sweep asks for several folders, of which there is none that is named so.
    """
    names = "|".join(map(re.escape, (*PATHS, *RUN_FOLDERS)))
    found = re.fullmatch(rf"(\+{{0,2}}(?:{names}))=(.+)", word, re.DOTALL)
    if not found or found[2] == "null" or re.fullmatch(r"(['\"]).*\1", found[2], re.DOTALL):
        return word
    name, value = found.groups()
    several = sweep and name not in RUN_FOLDERS and not os.path.exists(os.path.expanduser(value))
    if several and re.fullmatch(SWEPT, value):
        return word
    parts = value.split(",") if several else [value]
    return f"{name}={','.join(_quote(os.path.expanduser(part)) for part in parts)}"


def _quote(text: str) -> str:
    """A text as a string of Hydra's, in quotes where it needs them."""
    if re.fullmatch(r"[a-zA-Z0-9_.-]*/[a-zA-Z0-9_./-]*", text):
        return text
    return "'" + re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + ("\\'" if end[2] else ""), text) + "'"


def command_line(*words: str) -> str:
    """The command that trains with these overrides, for a shell."""
    return shlex.join(["python", "train.py", *words])


def absolute_paths(config: DictConfig, names: Iterable[str] = PATHS) -> DictConfig:
    """A copy of a config whose folders and files are absolute, relative ones being below the folder of the command."""
    config = copy.deepcopy(config)
    for name in names:
        if path := OmegaConf.select(config, name):
            OmegaConf.update(config, name, str(Path(get_original_cwd()) / str(path)))
    words = OmegaConf.select(config, "effect.command")
    if isinstance(words, ListConfig) and not Path.cwd().samefile(get_original_cwd()):
        # With `hydra.job.chdir=true` the program runs in the run folder; elsewhere words stay as they were given.
        config.effect.command = [_found(str(word)) for word in words]
    return config


def _found(word: str) -> str:
    """A word of a command, absolute if it is a path to a file that is found from where the command was given."""
    file = Path(get_original_cwd()) / word
    return str(file) if os.sep in word and file.is_file() else word


def moved(saved: DictConfig, config: DictConfig) -> DictConfig:
    """The saved config of a run with the folders and files that the command which resumes it gives anew.

    Raises:
        ConfigError: for a folder or file that the run does not have.
    """
    given = {word.lstrip("+").partition("=")[0] for word in HydraConfig.get().overrides.task}
    names = [name for name in PATHS if name in given]
    config, saved = absolute_paths(config, names), copy.deepcopy(saved)
    for name in names:
        section, option = name.split(".")
        if option not in saved[section]:
            raise ConfigError(f"{name}: the run that is resumed has no such option")
        OmegaConf.update(saved, name, OmegaConf.select(config, name))
    return saved


@contextmanager
def config_errors() -> Iterator[None]:
    """Hydra's and OmegaConf's errors as a ConfigError with their message."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        # Where Hydra looked for options is no business of who mistyped one, and an addition would change nothing.
        message = str(error).partition("\nConfig search path")[0].strip()
        unknown = re.match(r"Could not override '([\w.]+)'", message)
        raise ConfigError(no_such_option(unknown[1]) if unknown else message) from error
