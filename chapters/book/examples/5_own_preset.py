"""A codec of your own sizes: a file of TOML, `minicodec train small.toml`.

The files of the presets that come with minicodec are the best templates: minicodec/codec/presets/*.toml. What
[training] leaves out has the value of minicodec/training/config.py.
"""

from pathlib import Path

from minicodec.cli import main
from minicodec.files import data_folder

PRESET = """
name = "small_16khz"
sample_rate = 16000
channels = 1
bandwidths = [0.3, 0.6, 1.2]          # kbit/s: 1, 2 and 4 codebooks of 6 bits, 50 times a second

[seanet]
filters = 4                           # channels of the first layer; each stride doubles them
latent = 16
strides = [2, 4, 5, 8]                # together 320 samples: 50 frames per second
lstm_layers = 1
causal = true
pad_mode = "zero"                     # streams without waiting

[quantizer]
levels = 4
entries = 64                          # 6 bits

[training]
steps = 14                            # some thousand, to hear something
warmup_steps = 3                      # without quantizer; then its codebooks begin, one after the other
batch = 4
seconds = 0.5
checkpoint_every = 7
validate_every = 14
valid_clips = 2
valid_seconds = 1.0
loss = { l1 = 50.0, mel_windows = [64, 256, 1024] }
"""

Path("small.toml").write_text(PRESET)
clip = str(data_folder() / "speech_en_1.flac")
# What you would type: minicodec train small.toml --data FOLDER --out runs/small
assert main(["train", "small.toml", "--data", str(data_folder()), "--out", "runs/small"]) == 0
assert main(["encode", clip, "small.ecdc", "-m", "runs/small", "-b", "1.2", "-f"]) == 0
assert main(["decode", "small.ecdc", "small.wav", "-m", "runs/small", "-f"]) == 0
