"""The codes of chapters 14 and 15 are those that its codec gives, and follow the speech."""

import numpy as np

from minicodec import audio
from minicodec.course.speech_codes import NAMES, speech_codes
from minicodec.files import data_folder
from minicodec.metrics import entropy


def test_codes_are_the_codecs_own_and_can_be_predicted():
    codec, spoken = speech_codes(2, 16)
    wav, _ = audio.read(data_folder() / f"speech_{NAMES[0]}.flac")
    np.testing.assert_array_equal(codec.encode(wav)[0].codes, spoken[0])
    assert len(spoken) == len(NAMES)
    first = np.concatenate([codes[0] for codes in spoken])
    bits = entropy(np.bincount(first, minlength=16))
    assert bits < 3.7, "pauses repeat a code"
    stays = np.mean([np.mean(codes[0, 1:] == codes[0, :-1]) for codes in spoken])
    assert stays > 0.3, "so does a vowel"
    z = codec.encoder(wav.T[None].copy()).data[0]
    errors = [np.square(z - codec.quantizer.decode(spoken[0][:q])).mean() for q in (1, 2)]
    assert errors[1] < 0.9 * errors[0], "the second level is for what the first one left"
