"""Finding a model: by the folder of its training, by its file, or by its name.

One trained model comes with minicodec, and is what commands and `load` take if nobody says otherwise: BUNDLED. Its
model card lies beside it, in minicodec/models/.
"""

import difflib
import json
import zipfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np

from minicodec.codec import language_model, weights
from minicodec.codec.config import PRESETS, from_dict
from minicodec.codec.files import bitstream
from minicodec.codec.files.entropy.coded_file import check_fits, refuse
from minicodec.codec.foreign import encodec
from minicodec.codec.foreign.released import RELEASED, how_to_get, in_cache
from minicodec.codec.foreign.transformers_folder import CONFIG, load_transformers
from minicodec.codec.language_model import RUN_LM, LanguageModel
from minicodec.codec.model import METADATA_KEY, PUBLISHED_MARK, TRAINING_ONLY, Codec
from minicodec.errors import InputError, brief

BUNDLED = "minicodec-24k"
RUN_MODEL = "model.safetensors"  # in a training run's folder: the averaged weights of its newest checkpoint


def find(path: str | PathLike[str]) -> Path:
    """The path of a model: itself, or, if nothing is called so, that of the bundled or fetched model of this name.

    InputError: a published model that was not fetched; the line says how.
    """
    name = str(path)
    if Path(path).exists():
        return Path(path)
    if name == BUNDLED:
        return Path(__file__).parents[1] / "models" / BUNDLED
    if cached := in_cache(name):
        return cached
    if name in RELEASED:
        raise InputError(how_to_get(name))
    return Path(path)


def load(path: str | PathLike[str] = BUNDLED) -> Codec:
    """The codec in a file or folder; what it is, its content says.

    "minicodec-24k", the model that comes with minicodec: 24 kHz mono, 0.75 to 6 kbps
    a .safetensors file that `Codec.save` or `minicodec convert` wrote
    a training run's folder
    a .th file of the released EnCodec, read without PyTorch (foreign/encodec.py)
    a folder of `transformers`, with config.json and model.safetensors
    a published model by its name, "encodec_24khz", "encodec_48khz" or "facebook/encodec_24khz", once it was fetched

    InputError, in one line that names the path and says what would do, if there is none.
    """
    path = find(path)
    if path.is_dir():
        if (path / CONFIG).is_file():
            return load_transformers(path)
        if not (path / RUN_MODEL).is_file():
            raise InputError(f"{path}: has no {RUN_MODEL}{why_untrained(path)}")
        return load_safetensors(path / RUN_MODEL)
    if path.is_file():
        if zipfile.is_zipfile(path):
            return encodec.load(path)
        if path.suffix != ".safetensors":
            raise InputError(f"{path}: models are .safetensors files, EnCodec's .th files, or folders of training runs")
        return load_safetensors(path)
    if str(path) in PRESETS:
        advice = f"minicodec train {path} --data FOLDER --out RUN"
        raise InputError(f"{path}: is a preset without weights; train it first: {advice}")
    near = difflib.get_close_matches(str(path), [BUNDLED, *RELEASED], n=1)
    meant = f"did you mean {near[0]}?" if near else f"train one with minicodec train, or take {BUNDLED}"
    raise InputError(f"{path}: no such model; {meant}")


def load_safetensors(path: str | PathLike[str]) -> Codec:
    """The codec that `save` wrote. InputError, naming the file, if it is no such file."""
    path = Path(path)
    arrays, metadata = weights.read(path)
    if METADATA_KEY not in metadata:
        raise InputError(f"{path}: is no minicodec model: the configuration is missing from its metadata")
    try:
        about = json.loads(metadata[METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its configuration is damaged: {error}") from None
    digest = about.get("digest") if isinstance(about, dict) else None  # older files have the configuration alone
    if digest is None:
        config = from_dict(about, str(path))
    else:
        digest, config = str(digest), from_dict(about.get("config"), str(path))
    try:
        weights.check_finite(arrays)
        codec = Codec(config, rng=weights.blank(arrays))
        own = codec.state_dict()
        codec.load_state_dict(arrays | {key: own[key] for key in TRAINING_ONLY})
    except ValueError as error:
        raise InputError(f"{path}: {brief(error, 300)}") from None
    with np.errstate(over="ignore"):  # of absurd codebooks, which nobody trains on
        codec.quantizer.sums[...] = codec.quantizer.codebooks * codec.quantizer.counts[:, :, None]
    if digest is not None and digest.removeprefix(PUBLISHED_MARK) != codec.digest:
        raise InputError(f"{path}: is damaged: weights and configuration are not those that were saved")
    if digest is not None and digest.startswith(PUBLISHED_MARK):
        codec.published = codec.digest
    codec.eval()
    return codec


def why_untrained(run: Path) -> str:
    """What to say of a folder without a model: a training that was stopped before its codebooks began, or no run."""
    try:
        begin = json.loads((run / "run.json").read_text(encoding="utf-8"))["training"]["warmup_steps"]
        steps = [int(path.stem.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*.safetensors")]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ": is it a training run's folder, with a checkpoint saved?"
    if not steps:
        return ": the training has saved no checkpoint yet"
    go_on = f"go on with: minicodec train --resume {run} --steps N"
    return f": its codebooks begin at step {begin}, one after the other; it has {max(steps)}; {go_on}"


def load_language_model(path: str | PathLike[str], codec: Codec) -> LanguageModel:
    """The language model of a codec's codes, for entropy coding; what it is, the file's content says.

    a folder that `minicodec train-lm` filled, or the .safetensors file in it
    a .th file of the released EnCodec

    InputError, naming the file: it is not that, or it is the language model of other codes.
    """
    path = find(path)
    if path.is_dir():
        path = path / RUN_LM
        if not path.is_file():
            raise InputError(f"{path.parent}: has no {RUN_LM}; minicodec train-lm makes one")
    if path.suffix == ".safetensors":
        lm = language_model.load(path)
        check_fits(lm, codec.names, codec.config.layout, str(path))
        return lm
    return encodec.load_language_model(path, codec)


def decompress(
    packet: bytes,
    codec: Codec | None = None,
    source: str = "packet",
    lm: LanguageModel | None = None,
    start: float = 0.0,
    damaged: Callable[[str], None] = refuse,
) -> tuple[np.ndarray, int]:
    """The bytes of an .ecdc file -> (waveform (C,T) float32, sample rate), as `Codec.decompress`.

    codec: by default the bundled model. InputError, beginning with `source`: these bytes are no such file, or another
    model's. (The name in the file is somebody else's word, and not to be opened as a path.)
    """
    if codec is None:
        fields, _ = bitstream.read_fields(packet, bitstream.read_version(packet, source), {"m": str}, source)
        codec = load()
        if fields["m"] not in codec.names:
            raise InputError(f"{source}: needs the model {fields['m']}: load it, and pass it as codec")
    return codec.decompress(packet, source, lm, start, damaged), codec.sample_rate
