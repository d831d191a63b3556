"""The released `encodec` package as a command. minicodec is not imported, so that the package alone is measured.

python released.py weights WEIGHTS               random weights for encodec_24khz, as the package saves them
python released.py encode WEIGHTS KBPS IN.wav OUT.ecdc
"""

import importlib.util
import sys
from types import ModuleType
from typing import Any

if importlib.util.find_spec("torchaudio") is None:  # the package imports it, but needs it for resampling alone
    sys.modules["torchaudio"] = ModuleType("torchaudio")

import soundfile
import torch
from encodec.compress import compress_to_file
from encodec.model import EncodecModel


@torch.no_grad()
def weights(path: str) -> None:
    """Weights that keep signals alive, and random codewords of about the latents' size, smaller from level to level."""
    torch.manual_seed(0)
    model = EncodecModel.encodec_model_24khz(pretrained=False)
    for name, p in model.encoder.named_parameters():
        if name.endswith("weight_g"):
            p *= 2
    size = model.encoder(0.1 * torch.randn(1, 1, 24000)).std()
    levels: Any = model.quantizer.vq.layers
    for n, level in enumerate(levels):
        level._codebook.embed.normal_().mul_(size * 0.8**n)
        level._codebook.inited.fill_(1)
    torch.save(model.state_dict(), path)


def encode(weights: str, kbps: str, recording: str, packet: str) -> None:
    """What the package's own command does, with these weights in place of those that it would download."""
    model = EncodecModel.encodec_model_24khz(pretrained=False)
    model.load_state_dict(torch.load(weights))
    model.name = "encodec_24khz"  # which it has only with the weights that it downloads
    model.eval()
    model.set_target_bandwidth(float(kbps))
    wav, _ = soundfile.read(recording, dtype="float32", always_2d=True)
    with open(packet, "wb") as file:
        compress_to_file(model, torch.from_numpy(wav.T), file, use_lm=False)


if __name__ == "__main__":
    command: Any = {"weights": weights, "encode": encode}[sys.argv[1]]
    command(*sys.argv[2:])
