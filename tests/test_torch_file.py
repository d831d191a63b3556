"""The reader of .th files: what it reads, and above all what it refuses. No PyTorch is needed here."""

import hashlib
import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from minicodec.codec.foreign.torch_file import read_torch_file
from minicodec.errors import InputError


class Call:
    """An object that pickles as a call, the way an attacker writes one."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


# The instructions of a tensor of 3 numbers, by hand. `text` and `number` push what they say.
def text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def number(n):
    return b"J" + struct.pack("<i", n)


def storage(key="0", length=3, kind=b"FloatStorage"):
    return b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu") + number(length) + b"tQ"


def tensor(stored=None, offset=0, shape=(3,), strides=(1,)):
    sizes = [b"(" + b"".join(map(number, numbers)) + b"t" for numbers in (shape, strides)]
    stored = storage() if stored is None else stored
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + number(offset) + b"".join(sizes) + b"\x89" + hooks + b"tR"


def state_dict(**values):
    return b"\x80\x02}" + b"".join(text(k) + v + b"s" for k, v in values.items()) + b"."


def archive(program, storages=None, *, compression=zipfile.ZIP_STORED, extra=()):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as z:
        z.writestr("model/data.pkl", program)
        for key, array in ({"0": np.arange(3, dtype="<f4")} if storages is None else storages).items():
            z.writestr(f"model/data/{key}", array.tobytes())
        for name, content in extra:
            z.writestr(name, content)
    return file.getvalue()


def read(content, tmp_path, name="m.th"):
    path = tmp_path / name
    path.write_bytes(content)
    return read_torch_file(path)


def test_views_of_storages(tmp_path):
    """Two tensors of one storage, one of them transposed; the four types of numbers."""
    rng = np.random.default_rng(0)
    storages = {
        "0": rng.normal(size=6).astype("<f4"),
        "1": rng.normal(size=2),
        "2": rng.normal(size=2).astype("<f2"),
        "3": rng.integers(0, 1 << 40, 2),
    }
    program = state_dict(
        whole=tensor(storage(length=6), 0, (2, 3), (3, 1)),
        transposed=tensor(storage(length=6), 2, (2, 2), (1, 2)),
        scalar=tensor(storage(length=6), 5, (), ()),
        empty=tensor(storage(length=6), 6, (0,), (1,)),
        double=tensor(storage("1", 2, b"DoubleStorage"), 0, (2,), (1,)),
        half=tensor(storage("2", 2, b"HalfStorage"), 0, (2,), (1,)),
        long=tensor(storage("3", 2, b"LongStorage"), 0, (2,), (1,)),
    )
    state = read(archive(program, storages), tmp_path)
    flat = storages["0"]
    expected = {
        "whole": flat.reshape(2, 3), "transposed": np.array([[flat[2], flat[4]], [flat[3], flat[5]]]),
        "scalar": flat[5], "empty": flat[:0], "double": storages["1"], "half": storages["2"], "long": storages["3"],
    }  # fmt: skip
    assert list(state) == list(expected)
    for name, array in expected.items():
        assert state[name].dtype == array.dtype
        np.testing.assert_array_equal(state[name], array)


def pickled_call(function, *arguments):
    return archive(pickle.dumps({"weight": Call(function, *arguments)}, protocol=2))


HUGE = 1 << 30
MALICIOUS = {  # what it tries: the file, and the reason that the message gives
    "os.system": (pickled_call(os.system, "touch owned"), f"asks for {os.name}.system"),
    "eval": (pickled_call(eval, "open('owned', 'w')"), "asks for __builtin__.eval"),
    "exec": (pickled_call(exec, "open('owned', 'w')"), "asks for __builtin__.exec"),
    "getattr": (pickled_call(getattr, "", "join"), "asks for __builtin__.getattr"),
    "subprocess": (archive(b"\x80\x02csubprocess\nPopen\n(" + text("ls") + b"tR."), "asks for subprocess.Popen"),
    "torch.load": (archive(b"\x80\x02ctorch\nload\n(" + text("x") + b"tR."), "asks for torch.load"),
    "STACK_GLOBAL": (archive(pickle.dumps(os.system, protocol=4)), "PROTO"),
    "STACK_GLOBAL in protocol 2": (archive(b"\x80\x02" + text("os") + text("system") + b"\x93."), "STACK_GLOBAL"),
    "INST": (archive(b"\x80\x02(" + text("ls") + b"ios\nsystem\n."), "INST"),
    "OBJ": (archive(b"\x80\x02(cos\nsystem\n" + text("ls") + b"o."), "asks for os.system"),
    "EXT1": (archive(b"\x80\x02\x82\x01."), "EXT1"),
    "NEWOBJ": (archive(b"\x80\x02ccollections\nOrderedDict\n)\x81."), "NEWOBJ"),
    "a class by BUILD": (archive(b"\x80\x02ctorch\nFloatStorage\n}b."), "sets attributes of what is no dict"),
    "a call of a type": (archive(b"\x80\x02ctorch\nFloatStorage\n(" + number(HUGE) + b"tR."), "calls what is no"),
    "a call of a text": (archive(b"\x80\x02" + text("os.system") + b")R."), "calls what is no function"),
    "OrderedDict of something": (archive(b"\x80\x02ccollections\nOrderedDict\n(" + text("x") + b"tR."), "calls what"),
    "a name over two lines": (archive(b"\x80\x02c\x1b[31m\n" + b"x" * 3000 + b"\n."), "asks for"),
    "a huge storage": (archive(state_dict(w=tensor(storage(length=HUGE)))), "another length, and has 3"),
    "a huge tensor": (archive(state_dict(w=tensor(shape=(HUGE,)))), "reaches 1073741824 numbers into a storage of 3"),
    "a tensor past the end": (archive(state_dict(w=tensor(offset=1))), "reaches 4 numbers into a storage of 3"),
    "a tensor before the start": (archive(state_dict(w=tensor(offset=-1))), "impossible shape"),
    "negative strides": (archive(state_dict(w=tensor(strides=(-1,)))), "impossible shape"),
    "more strides than axes": (archive(state_dict(w=tensor(strides=(1, 1)))), "impossible shape"),
    "a thousand axes": (archive(state_dict(w=tensor(shape=(1,) * 1000, strides=(1,) * 1000))), "impossible shape"),
    "2^90 numbers from one": (archive(state_dict(w=tensor(shape=(HUGE,) * 3, strides=(0,) * 3))), "cannot be read"),
    "2^45 numbers from one": (
        archive(state_dict(w=tensor(shape=((1 << 31) - 1, 1 << 14), strides=(0, 0)))),
        "more numbers than its storage of 3",
    ),
    "a storage outside": (archive(state_dict(w=tensor(storage("../../etc/passwd")))), "missing from the archive"),
    "a storage that is not there": (archive(state_dict(w=tensor(storage("7")))), "data/7 is missing"),
    "a type of numbers unknown": (archive(state_dict(w=tensor(storage(kind=b"UntypedStorage")))), "UntypedStorage"),
    "a storage of a name": (archive(state_dict(w=tensor(storage(kind=b"x\ntorch")))), "asks for torch.x"),
    "a zip bomb": (
        archive(state_dict(w=tensor()), {"0": np.zeros(1 << 22, "<f4")}, compression=zipfile.ZIP_DEFLATED),
        "is compressed",
    ),
    "a pickle of 5 MB": (archive(b"\x80\x02" + b")" * 5_000_000 + b"."), "more than the 4194304"),
    "tuples of tuples, 2^60 leaves": (archive(b"\x80\x02)" + b"q\x00h\x00\x86" * 60 + b"."), "is no state dict"),
    "a dict in itself": (archive(b"\x80\x02}q\x00" + text("x") + b"h\x00s."), "is no state dict"),
    "nested": (archive(state_dict(best_state=b"}" + text("w") + tensor() + b"s")), "is no state dict"),
    "a number": (archive(b"\x80\x02K\x01."), "is no state dict"),
    "a key that is no text": (archive(b"\x80\x02}K\x01K\x01s."), "damaged"),
    "an item of no dict": (archive(b"\x80\x02K\x01K\x01K\x01s."), "damaged"),
    "an empty stack": (archive(b"\x80\x02R."), "damaged"),
    "a mark that is missing": (archive(b"\x80\x02t."), "damaged"),
    "a memo that is missing": (archive(b"\x80\x02h\x07."), "damaged"),
    "no end": (archive(b"\x80\x02}"), "cannot be read"),
    "no pickle": (archive(b""), "cannot be read"),
    "two pickles": (archive(state_dict(), extra=[("other/data.pkl", b"")]), "several data.pkl"),
    "big-endian": (archive(state_dict(), extra=[("model/byteorder", b"big")]), "big-endian"),
    "another zip": (b"PK\x05\x06" + bytes(18), "no data.pkl"),
    "no zip": (pickle.dumps({"weight": 1}), "not a zip file"),
    "nothing": (b"", "not a zip file"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_malicious_files_are_refused_by_name(name, tmp_path, monkeypatch):
    """In one line that begins with the file; nothing is executed; no memory is taken beyond a few times the file."""
    content, reason = MALICIOUS[name]
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            read(content, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'm.th'}: ")
    assert reason in message
    assert "\n" not in message
    assert len(message) < 500
    assert os.listdir(tmp_path) == ["m.th"]
    assert peak < 3e6 + 2 * len(content)


def test_entries_that_overlap_are_not_read_twice(tmp_path):
    """A directory that lists one megabyte of the file a hundred times, under a hundred names."""
    count, size = 100, 1 << 18
    program = state_dict(**{f"w{i}": tensor(storage(str(i), size), 0, (size,), (1,)) for i in range(count)})
    content = archive(program, {str(i): np.zeros(size if i == 0 else 0, "<f4") for i in range(count)})
    patched = bytearray(content)
    with zipfile.ZipFile(io.BytesIO(content)) as z:
        first = z.getinfo("model/data/0")
        at = z.start_dir
    for _ in range(count + 1):
        name_length = struct.unpack_from("<H", patched, at + 28)[0]
        if patched[at + 46 : at + 46 + name_length].startswith(b"model/data/"):
            struct.pack_into("<III", patched, at + 16, first.CRC, first.file_size, first.file_size)
        at += 46 + name_length
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="cannot be read"):
            read(bytes(patched), tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(content)


def test_files_cut_off_or_damaged(tmp_path):
    """Cut anywhere, or with a byte changed: refused, or (where the byte says nothing) read as it was."""
    good = archive(state_dict(a=tensor(), b=tensor(offset=1, shape=(2,))))
    expected = read(good, tmp_path)
    for end in range(0, len(good), 11):
        with pytest.raises(InputError):
            read(good[:end], tmp_path)
    random.seed(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(good)
        damaged[random.randrange(len(good))] ^= 1 << random.randrange(8)
        try:
            state = read(bytes(damaged), tmp_path)
        except InputError:
            refused += 1
        else:
            assert list(state) == list(expected)
            for name, array in state.items():
                np.testing.assert_array_equal(array, expected[name])
    assert refused > 150


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # of pickletools, at a random name
def test_pickles_at_random(tmp_path):
    """The checksums of a zip catch most damage; so the machine is also given damaged programs in sound archives."""
    random.seed(0)
    good = state_dict(a=tensor(), b=tensor(offset=1, shape=(2,)))
    refused = 0
    for _ in range(800):
        damaged = bytearray(good)
        for _ in range(random.randrange(1, 4)):
            damaged[random.randrange(len(good))] = random.randrange(256)
        try:
            state = read(archive(bytes(damaged)), tmp_path)
        except InputError:
            refused += 1
        else:
            assert all(isinstance(v, np.ndarray) and v.size <= 3 for v in state.values())
    assert refused > 500


def test_digest_in_the_name(tmp_path):
    content = archive(state_dict(a=tensor()))
    digest = hashlib.sha256(content).hexdigest()
    for name in (f"encodec_24khz-{digest[:8]}.th", f"m-{digest}.th", "m-decade.th", "m-best.th"):
        assert list(read(content, tmp_path, name)) == ["a"]
    with pytest.raises(InputError, match=f"SHA-256 begins with {digest[:8]}, its name says d7cc33bc"):
        read(content, tmp_path, "encodec_24khz-d7cc33bc.th")


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_torch_file(tmp_path / "m.th")
    with pytest.raises(InputError, match="cannot be read"):
        read_torch_file(tmp_path)
