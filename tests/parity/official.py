"""The two released models as the `encodec` package builds them, with weights that test something.

The released weights are not to be had everywhere. Random ones, as they come, are so small that every latent is almost
the same vector, and every code with it. So they are scaled until signals keep their power, the norms get scales and
shifts of their own, and the codebooks are fitted to latents of real audio.
"""

import functools

import numpy as np
import torch
from encodec.model import EncodecModel

from minicodec import audio, files
from minicodec.codec.quantizer import kmeans

NAMES = ("encodec_24khz", "encodec_48khz")
BUILDERS = {"encodec_24khz": EncodecModel.encodec_model_24khz, "encodec_48khz": EncodecModel.encodec_model_48khz}
CLIPS = ("speech_en_1", "speech_en_2", "music_song_44k_stereo", "music_strings", "drums_1", "sea")
FITTED_VECTORS = 1536  # for 1024 entries


def clip(model, name, samples, start=2):
    """Samples of a clip of ours from `start` seconds on, (C,samples), at the rate and with the channels of a model."""
    wav, rate = audio.read(files.data_folder() / f"{name}.flac")
    wav = wav[:, start * rate : int((start + samples / model.sample_rate) * rate) + 10]
    wav = audio.resample(audio.remix(wav, model.channels), rate, model.sample_rate)
    assert wav.shape[1] >= samples
    return np.ascontiguousarray(wav[:, :samples])


@functools.cache
def official(name):
    """The `encodec` package's model, in evaluation mode."""
    torch.manual_seed(0)
    model = BUILDERS[name](pretrained=False)
    model.name = name
    with torch.no_grad():
        for key, p in model.named_parameters():
            if key.endswith("weight_g"):
                p *= 2 if key.startswith("encoder") else 1.6
            if ".norm." in key:
                p += 0.2 * torch.randn_like(p)
        clips = [clip(model, c, model.sample_rate // 2) for c in CLIPS]
        if model.normalize:
            clips = [c / c.std() for c in clips]
        latents = model.encoder(torch.from_numpy(np.stack(clips))).transpose(1, 2).reshape(-1, 128).numpy()
        fit_codebooks(model, latents)
    return model


def fit_codebooks(model, latents):
    """Each level by k-means on vectors like those that the levels before it leave of the latents (n,D).

    Three seconds have fewer latents than a codebook has entries, and k-means would learn them by heart: the next level
    would be fitted to nothing but rounding. So it is given Gaussian vectors with their mean and covariance.
    """
    rng = np.random.default_rng(0)
    residual = latents
    for layer in model.quantizer.vq.layers:
        mean, n = residual.mean(axis=0), len(residual)
        vectors = mean + rng.normal(size=(FITTED_VECTORS, n)) @ (residual - mean) / np.sqrt(n)
        codebook, counts = kmeans(vectors.astype(np.float32), layer._codebook.embed.shape[0], 1, rng)
        distances = (codebook**2).sum(1) - 2 * residual @ codebook.T
        residual = residual - codebook[distances.argmin(1)]
        layer._codebook.embed[:] = torch.from_numpy(codebook)
        layer._codebook.embed_avg[:] = torch.from_numpy(codebook * counts[:, None])
        layer._codebook.cluster_size[:] = torch.from_numpy(counts)
        layer._codebook.inited[:] = 1


def arrays(module):
    """A state dict as NumPy arrays."""
    return {key: value.detach().numpy() for key, value in module.state_dict().items()}
