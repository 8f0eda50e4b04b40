#!/usr/bin/env python3
"""A second reader of binary .gmodel files, written from docs/format.md alone: lists sources, settings, parameters, the state
of a training and the view, and checks the digest. Needs nothing but Python: it reads Protocol Buffers itself.

usage: read_gmodel.py FILE.gmodel [--source]     # --source: prints the model's own text and nothing else
"""
import math
import pathlib
import struct
import sys

TYPES = {1: "float", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "double",
         12: "uint32", 13: "uint64", 16: "bfloat16"}
SIZES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
NUMBERS = {1: "f", 6: "i", 7: "q", 11: "d", 2: "B", 9: "B"}


def varint(data, at):
    value = shift = 0
    while True:
        value, shift, at = value | (data[at] & 127) << shift, shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """(number, value, the bytes of the whole field) of a message, in their order."""
    at = 0
    while at < len(data):
        start = at
        tag, at = varint(data, at)
        if tag & 7 == 0:
            value, at = varint(data, at)
        else:
            size, at = varint(data, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            value, at = data[at:at + size], at + size
            assert len(value) == size, "the file is cut"
        yield tag >> 3, value, data[start:at]


def all_of(message, number):
    return [value for n, value, _ in fields(message) if n == number]


def texts(message, *numbers):
    return [all_of(message, number)[0].decode() if all_of(message, number) else "" for number in numbers]


def tensor(message, folder):
    """(name, type, dims, bytes)"""
    dims = []
    for value in all_of(message, 1):  # one varint, or many in one packed field
        while isinstance(value, bytes) and value:
            one, used = varint(value, 0)
            dims, value = dims + [one], value[used:]
        dims += [value] if isinstance(value, int) else []
    kind, size = all_of(message, 2)[0], math.prod(dims)
    if all_of(message, 14) == [1]:
        where = dict(texts(entry, 1, 2) for entry in all_of(message, 13))
        with open(folder / where["location"], "rb") as file:
            file.seek(int(where.get("offset", 0)))
            data = file.read(size * SIZES[kind])
    else:
        data = all_of(message, 9)[0]
    assert len(data) == size * SIZES[kind], "a tensor has another size than its shape says"
    return texts(message, 8)[0], kind, dims, data


def show(what, name, kind, dims, data):
    some = struct.unpack_from("<%d%s" % (min(4, math.prod(dims)), NUMBERS[kind]), data) if kind in NUMBERS else ()
    print(what, name, TYPES[kind] + (str(dims) if dims else ""), *("%g" % x if kind in (1, 11) else x for x in some))


def digest(graph, functions):
    h = 14695981039346656037

    def field(number, body):  # of wire type 2
        head, size = bytes([number << 3 | 2]), len(body)
        while size > 127:
            head, size = head + bytes([size & 127 | 128]), size >> 7
        return head + bytes([size]) + body
    parts = [field(5, b"".join(raw for n, _, raw in fields(value) if n not in (4, 5, 6, 7, 9, 10, 11, 13, 14))) if number == 5
             else whole for number, value, whole in fields(graph)]
    for byte in b"".join(parts + functions):
        h = (h ^ byte) * 1099511628211 % 2 ** 64
    return "%016x" % h


path = pathlib.Path(sys.argv[1])
model = path.read_bytes()
assert model[:1] == b"\x08" or b"\0" in model[:4096], "this is a text"
graph = all_of(model, 7)[0]
properties = dict(texts(entry, 1, 2) for entry in all_of(model, 14))
sources = {key[14:]: text for key, text in properties.items() if key.startswith("gmodel.source.")}
assert sources, "this is plain ONNX"
assert properties["gmodel.format"] == "1"
if "--source" in sys.argv:
    sys.stdout.write(next(iter(sources.values())))
    sys.exit()
assert digest(graph, all_of(model, 25)) == properties["gmodel.view"], "another tool changed the graph"
print("model", texts(graph, 2)[0], *("%s %d" % (texts(s, 1)[0] or "opset", all_of(s, 2)[0]) for s in all_of(model, 8)))
for name, text in sources.items():
    print("source", name, "of %d lines" % text.count("\n"))
for key in properties:
    if key.startswith("gmodel.set."):
        print("setting", key[11:], "=", properties[key])
for message in all_of(graph, 5):
    show("table" if texts(message, 8)[0].startswith(("gmodel.table.", "gmodel.words.")) else "parameter",
         *tensor(message, path.parent))
state = [message for info in all_of(model, 20) for a in all_of(info, 2) for message in all_of(a, 5)]
assert len(state) == int(properties["gmodel.training"]), "the file is cut before its training"
for message in state:
    show("position" if texts(message, 8)[0].startswith("gmodel.") else "slot", *tensor(message, path.parent))
print("view", len(all_of(graph, 1)), "nodes, inputs", [texts(v, 1)[0] for v in all_of(graph, 11)], "outputs",
      [texts(v, 1)[0] for v in all_of(graph, 12)])
