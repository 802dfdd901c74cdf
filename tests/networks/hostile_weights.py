"""Weights files that are damaged, or made to harm: each is written by a function, and none may be accepted."""

import io
import json
import math
import os
import pickle
import socket
import struct
import subprocess
import warnings
import zipfile
from pathlib import Path

import torch

GIB = 2**30


class Call:
    """Asks for a function to be called when it is unpickled."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def archive(pickled, data=(), compression=zipfile.ZIP_STORED, name="archive"):
    """Return a ZIP file as torch.save writes it, of a pickle and the data of its storages."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as target:
        target.writestr(f"{name}/data.pkl", pickled)
        target.writestr(f"{name}/version", "3\n")
        for number, part in enumerate(data):
            target.writestr(f"{name}/data/{number}", part)
    return content.getvalue()


def saved(content):
    """Return what torch.save writes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(content, file)
    return file.getvalue()


def rewritten(data, change):
    """Return a torch.save file with another pickle."""
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        for name, part in parts.items():
            target.writestr(name, change(part) if name.endswith("data.pkl") else part)
    return content.getvalue()


def safetensors(header, data=b"", length=None):
    """Return a safetensors file of a header as it is, sound or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start, end, shape=None, dtype="F32"):
    """Return an entry of a safetensors header."""
    return {"dtype": dtype, "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


def executing(marker):
    """Return pickles that would call something: functions of the system, of Python, of torch, with huge arguments."""
    calls = {
        "open": Call(open, str(marker), "w"),
        "system": Call(os.system, f"touch {marker}"),
        "eval": Call(eval, f"open({str(marker)!r}, 'w')"),
        "exec": Call(exec, f"open({str(marker)!r}, 'w')"),
        "getattr": Call(getattr, "text", "upper"),
        "getattr of a class": Call(getattr, subprocess.Popen, "wait"),
        "touch": Call(Path.touch, Path(marker)),
        "load": Call(torch.load, str(marker)),
        "zeros": Call(torch.zeros, GIB * 4),
        "bytearray": Call(bytearray, GIB * 8),
        "tensor": Call(torch.Tensor, GIB),
        "untyped": Call(torch.UntypedStorage, GIB * 8),
        "set": Call(set, "ab"),
        "complex": Call(complex, 1, 2),
        "module": torch.nn.Linear(2, 2),
    }
    files = {}
    for name, call in calls.items():
        files[f"call {name}, beside"] = saved({"fc.weight": torch.zeros(2, 2), "extra": call})
        files[f"call {name}, in options"] = saved({"model": {"fc.weight": torch.zeros(2, 2)}, "args": {"x": [call]}})
        for protocol in (2, 4):
            files[f"call {name}, protocol {protocol}"] = pickle.dumps(call, protocol=protocol)
    return files


def bombs():
    """Return small files that would take much memory or time."""
    zeros = b"\0" * (300 * 2**20)
    chain = b"\x80\x02" + b"]" * 2_000_000 + b"."
    weights = saved({"fc.weight": torch.zeros(4, 4)})
    many = {f"layer.{number}.weight": entry(0, 0) for number in range(200_000)}
    nested = b"\x80\x02}q\x00" + b"".join(b"(X\x01\x00\x00\x00ah%cu}q%c" % (n, n + 1) for n in range(200)) + b"."
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    rebuild = b"\x80\x02}X\x09\x00\x00\x00fc.weightctorch._utils\n_rebuild_tensor_v2\n(" + storage
    shape = b"\x8a\x05\x00\x00\x00\x00\x01"
    one = b"tQK\x00K\x01\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs."
    expanded = b"tQK\x00" + shape + b"\x85K\x00\x85\x89ccollections\nOrderedDict\n)RtRs."
    return {
        "deflated data": archive(pickle.dumps({}, 2), [zeros], zipfile.ZIP_DEFLATED),
        "deflated pickle": archive(chain + zeros, [], zipfile.ZIP_DEFLATED),
        "long pickle": archive(chain),
        "long pickle, bare": chain,
        "nested": archive(nested),
        "large memo": archive(b"\x80\x02]r\xff\xff\xff\x7f."),
        "long text declared": archive(b"\x80\x02X\xff\xff\xff\x7fabc."),
        "encoding": archive(
            b"\x80\x02c_codecs\nencode\nX"
            + struct.pack("<I", 10**6)
            + b"a" * 10**6
            + b"X\x08\x00\x00\x00punycode\x86R."
        ),
        "storage longer than its data": archive(rebuild + shape + one, [b"\0" * 4]),
        "one number expanded": archive(rebuild + b"K\x01" + expanded, [b"\0" * 4]),
        "count changed": rewritten(weights, lambda text: text.replace(b"K\x10tq", b"M\x00\x10tq")),
        "entries of nothing": safetensors(many),
        "long header": safetensors(b"{" + b" " * (90 * 2**20), b""),
        "deep header": safetensors(b'{"a":' * 100_000, b""),
        "huge number": safetensors(b'{"a":' + b"9" * 100_000 + b"}", b""),
        "many members": many_members(),
    }


def text(words):
    """Return the instruction that pushes a text."""
    words = words.encode()
    return b"X" + struct.pack("<I", len(words)) + words


def number(value):
    """Return the instruction that pushes an integer of any size."""
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def tensor(shape, stride=None):
    """Return the instructions that push a float tensor of the storage '0', which has four numbers."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x04tQ"
    steps = [math.prod(shape[place + 1 :]) for place in range(len(shape))] if stride is None else stride
    sizes, strides = (b"(" + b"".join(map(number, values)) + b"t" for values in (shape, steps))
    hooks = b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + sizes + strides + hooks + b"tR"


def mapping(*items):
    """Return the instructions that push a mapping of keys and values, which are instructions themselves."""
    return b"}(" + b"".join(items) + b"u"


def pickled(*items):
    """Return a deflated torch.save file of a mapping."""
    return archive(b"\x80\x02" + mapping(*items) + b".", [b"\0" * 16], zipfile.ZIP_DEFLATED)


def repeating():
    """Return small files in which something stands once and is referred to, or declared, many times."""
    kept = text("first.weight") + tensor([2, 2]) + b"q\x00"
    again = b"h\x00"
    halves = b")q\x00" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
    letters = text("é" * 300_000) + b"q\x01"
    encoded = b"".join(text(str(n)) + b"c_codecs\nencode\nh\x01" + text("latin1") + b"\x86R" for n in range(2000))
    hashes = b"".join(number(n * (2**61 - 1) + 2**80) + b"K\x01" for n in range(30_000))
    pairs = b"]q\x01(" + b"".join(text(str(n)) + b"K\x01\x86" for n in range(10_000)) + b"e"
    doubled = b"".join(text(f"x{n}") + b"ccollections\nOrderedDict\nh\x01\x85R" for n in range(5000))
    names = (text(f"p{n // 100}.n{n}") + again for n in range(25_000))
    dicts = (text(f"m{n}") + mapping(text("fc.weight") + again, text("c") + again) for n in range(21_000))
    few = (text(f"m{n}") + mapping(text("fc.weight") + again, text("c") + again) for n in range(2_000))
    prefixes = (text(f"m{n}.fc.weight") + again + text(f"m{n}.c.weight") + again for n in range(9_000))
    dictionary = mapping(*(text(f"k{n}") + b"}" for n in range(10_000))) + b"q\x01"
    holders = [text(f"h{n}") + mapping(text("x") + b"K\x01", text("a") + b"h\x01") for n in range(5_000)]
    named = b"".join(text("x." * 100_000 + str(n)) + tensor([2, 2]) + b"\x86" for n in range(4))
    return {
        "keys doubled": pickled(halves + b"K\x01"),
        "values doubled": pickled(text("a") + halves),
        "places doubled": pickled(text("fc.weight") + tensor([2, 2]).replace(text("cpu"), halves)),
        "text encoded repeatedly": pickled(text("a") + letters, encoded),
        "keys of one hash": pickled(hashes),
        "options of one hash": pickled(text("args") + mapping(hashes)),
        "pairs repeated": pickled(text("a") + pairs, doubled),
        "tensor of many names": pickled(kept, *names),
        "tensor of many mappings": pickled(kept, *dicts),
        "many state dicts": pickled(kept, *few),
        "tensor of many prefixes": pickled(kept, *prefixes),
        "name of 1 MB": pickled(text("x." * 500_000 + "w") + tensor([2, 2])),
        "names of many dots": pickled(kept, *(text("x." * 1000 + f"w{n}") + again for n in range(500))),
        "number of 1 MB": pickled(text("a") + b"\x8b" + struct.pack("<i", 10**6) + b"\x7f" * 10**6),
        "list of many places": pickled(text("t") + pairs, *(text(f"h{n}") + b"](h\x01h\x01e" for n in range(9_000))),
        "mapping of many places": pickled(text("t") + dictionary, *holders),
        "pairs of long names": pickled(text("t") + b"](" + named + b"e"),
        "entries of one network": pickled(kept, *(text(f"n{n}") + again for n in range(6_000))),
        "classes of nothing": pickled(text("fc.weight") + tensor([20_000_000, 0])),
        "classes beyond all": pickled(text("fc.weight") + tensor([2**62, 0])),
        "more numbers than stored": pickled(text("fc.weight") + tensor([2**40, 2], [2, 1])),
        "many dimensions": pickled(text("fc.weight") + tensor([1] * 3000)),
        "classes of nothing, safetensors": safetensors({"fc.weight": entry(0, 0, [2**33, 0])}),
        "long metadata": safetensors({"__metadata__": {"a": "x" * (9 * 2**20)}}),
        "names of many dots, safetensors": safetensors({f"{'x.' * 1000}{n}": entry(0, 0) for n in range(300)}),
        "compressed otherwise": archive(pickle.dumps({}, 2), [b"\0" * 10**6], zipfile.ZIP_LZMA),
    }


def ambiguous(sound):
    """Return ZIP files that programs read in different ways, made of one that is sound."""
    other = rewritten(sound, lambda pickled: pickled)
    start = sound.index(b"PK\x01\x02")
    return {
        "two archives": other + sound,
        "two archives, sound first": sound + other,
        "something in front": b"PK\x03\x04" + b"\0" * 4092 + sound,
        "something behind": sound + b"\0" * 5000,
        "something before the directory": sound[:start] + b"\0" * 16 + sound[start:],
        "directory elsewhere": sound[:-6] + struct.pack("<L", 4) + sound[-2:],
    }


def many_members():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as target:
        for number in range(120_000):
            target.writestr(zipfile.ZipInfo(f"a/{number}"), b"")
    return content.getvalue()


def damaged():
    """Return files that are cut, flipped, or contradict themselves."""
    whole = saved({f"layer.{number}.weight": torch.rand(8, 8) for number in range(8)} | {"fc.weight": torch.rand(4, 4)})
    empty = '"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    files = {f"cut at {part}/8": whole[: len(whole) * part // 8] for part in range(8)}
    for number in range(8):
        place = whole.index(b"data/") + 64 + number * 200
        files[f"flipped {number}"] = whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :]
    two = {"fc.weight": entry(0, 16, [2, 2]), "b": entry(16, 24)}
    files |= {
        "overlapping": safetensors({**two, "b": entry(8, 16)}, b"\0" * 16),
        "hole": safetensors({**two, "b": entry(20, 28)}, b"\0" * 28),
        "beyond the end": safetensors({**two, "b": entry(16, 2**40)}, b"\0" * 24),
        "backwards": safetensors({**two, "b": entry(24, 16)}, b"\0" * 24),
        "negative": safetensors({**two, "b": entry(-8, 0)}, b"\0" * 24),
        "too long": safetensors(two, b"\0" * 64),
        "shape of another size": safetensors({**two, "b": entry(16, 24, [3])}, b"\0" * 24),
        "huge shape": safetensors({**two, "b": entry(16, 24, [2**40, 2**40])}, b"\0" * 24),
        "negative shape": safetensors({**two, "b": entry(16, 24, [-2])}, b"\0" * 24),
        "unknown type": safetensors({**two, "b": entry(16, 24, [2], "X9")}, b"\0" * 24),
        "twice": safetensors(f"{{{empty},{empty}}}".encode()),
        "list": safetensors([1, 2]),
        "no places": safetensors({"a": {}}),
        "text for a shape": safetensors({"a": {"dtype": "F32", "shape": "x", "data_offsets": [0, 0]}}),
        "header length": safetensors(two, b"\0" * 24, length=2**63),
        "empty": b"",
        "page": b"<!DOCTYPE html><html><body>404</body></html>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
        "noise": bytes(range(256)) * 64,
        "zeros": b"\0" * 4096,
        "empty ZIP": b"PK\x05\x06" + b"\0" * 18,
        "no pickle": archive(b""),
        "two names": archive(pickle.dumps({}, 2)) + b"PK",
        "tar": b"x" * 257 + b"ustar" + b"\0" * 512,
        "image": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    }
    return files


def unfit(own):
    """Return files that fit a network, and in which one entry holds what is no weight.

    Args:
        own: The network's state dict.
    """
    name = next(key for key, value in own.items() if value.ndim == 4)
    value = own[name]

    def with_entry(entry):
        return saved({**own, name: entry})

    changed = {
        "nan": torch.full_like(value, float("nan")),
        "infinity": torch.full_like(value, float("inf")),
        "too large": torch.full(value.shape, 1e300, dtype=torch.float64),
        "int": value.to(torch.int32),
        "byte": value.to(torch.uint8),
        "bool": value > 0,
        "complex": value.to(torch.complex64),
        "float8": value.to(torch.float8_e4m3fn),
        "float8 e5m2": value.to(torch.float8_e5m2),
        "sparse": value.to_sparse(),
        "quantised": torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        "meta": value.to("meta"),
        "expanded": torch.ones(1).expand(value.shape),
        "overlapping": torch.rand(value.numel()).as_strided(value.shape, (1, 1, 1, 1)),
    }
    files = {f"entry {kind}": with_entry(entry) for kind, entry in changed.items()}
    files["missing"] = saved({key: entry for key, entry in own.items() if key != name})
    files["unexpected"] = saved({**own, "surplus.weight": torch.zeros(2, 2)})
    files["escape"] = saved({**own, "\x1b[2Jevil\nerror: fake\u202e": torch.zeros(2, 2)})
    files["reshaped"] = saved({**own, name: value.flatten()})
    return files


def special_places(folder):
    """Make what is no file, or a file without end, in a folder; return the paths."""
    os.mkfifo(folder / "pipe.pth")
    (folder / "loop.pth").symlink_to(folder / "loop.pth")
    (folder / "device.pth").symlink_to("/dev/zero")
    (folder / "folder.pth").mkdir()
    with (folder / "holes.pth").open("wb") as file:
        file.write(b"PK\x03\x04")
        file.truncate(8 * GIB)
    with (folder / "zeros.pth").open("wb") as file:
        file.truncate(8 * GIB)
    listening = socket.socket(socket.AF_UNIX)
    try:
        os.chdir(folder)  # the name of a socket has at most some hundred characters
        listening.bind("socket.pth")
    finally:
        listening.close()
    names = ("pipe", "loop", "device", "folder", "holes", "zeros", "socket", "missing")
    return [folder / f"{name}.pth" for name in names]
