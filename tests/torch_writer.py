"""Writes .th files as PyTorch does, without PyTorch: a zip archive with a pickle and the storages of the tensors."""

import io
import struct
import zipfile

import numpy as np


def text(s):
    """The instruction that pushes a text."""
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def number(n):
    """The instruction that pushes a number."""
    return b"J" + struct.pack("<i", n)


def th_file(state):
    """The bytes of a .th file with the float32 arrays of a state dict."""
    program, file = b"\x80\x02}", io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for key, (name, array) in enumerate(state.items()):
            array = np.ascontiguousarray(array, "<f4")
            strides = [n // 4 for n in array.strides]
            storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cpu")
            sizes = [b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (array.shape, strides)]
            tensor = b"(" + storage + number(array.size) + b"tQ" + number(0) + b"".join(sizes)
            tensor += b"\x89ccollections\nOrderedDict\n)RtR"
            program += text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + tensor + b"s"
            archive.writestr(f"model/data/{key}", array.tobytes())
        archive.writestr("model/data.pkl", program + b".")
    return file.getvalue()
