"""ONNX text both ways over a folder of models, against onnx's own parser and printer.

usage: python3 tests/peers/onnx_text.py GMRUN FOLDER...     (needs the onnx package)

For each FOLDER/*/model.onnx
  reads:  what onnx.printer writes is converted by gmrun into ONNX, and is the same model;
  writes: what gmrun writes as ONNX text is parsed by onnx.parser, and is the same model.
The same: up to what onnx's text cannot say (see `bare`). Prints a line per failure and "N passed, N failed" for each way.
"""
import collections
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnx.numpy_helper
import onnx.parser
import onnx.printer


def bare_tensor(tensor):
    """Elements as raw bytes, so that the ways to store them do not matter."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return onnx.helper.make_tensor(tensor.name, tensor.data_type, tensor.dims, list(tensor.string_data))
    array = onnx.numpy_helper.to_array(tensor)
    return onnx.numpy_helper.from_array(numpy.ascontiguousarray(array), tensor.name) if tensor.data_type <= 16 else tensor


def bare_attribute(attribute):
    attribute.ClearField("doc_string")
    if attribute.type == onnx.AttributeProto.TENSOR:
        attribute.t.CopyFrom(bare_tensor(attribute.t))
    for tensor in attribute.tensors:
        tensor.CopyFrom(bare_tensor(tensor))
    if attribute.type == onnx.AttributeProto.GRAPH:
        bare_graph(attribute.g)
    for graph in attribute.graphs:
        bare_graph(graph)


def bare_nodes(nodes):
    for node in nodes:
        for field in ("name", "doc_string"):
            node.ClearField(field)
        if node.domain in ("", "ai.onnx"):
            node.ClearField("domain")
        if not node.overload:
            node.ClearField("overload")
        del node.metadata_props[:]
        del node.device_configurations[:]
        for names in (node.input, node.output):
            while names and not names[-1]:
                del names[-1]
        for attribute in node.attribute:
            bare_attribute(attribute)


def bare_graph(graph):
    graph.ClearField("doc_string")
    del graph.metadata_props[:]
    del graph.quantization_annotation[:]
    bare_nodes(graph.node)
    for tensor in graph.initializer:
        tensor.CopyFrom(bare_tensor(tensor))
        tensor.ClearField("doc_string")
    for info in list(graph.input) + list(graph.output) + list(graph.value_info):
        info.ClearField("doc_string")
        del info.metadata_props[:]


def bare(model):
    """A copy without what onnx's text does not say."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    del model.metadata_props[:]
    del model.training_info[:]
    del model.configuration[:]
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.ClearField("domain")
    bare_graph(model.graph)
    for function in model.functions:
        function.ClearField("doc_string")
        if not function.overload:
            function.ClearField("overload")
        for opset in function.opset_import:
            if opset.domain in ("", "ai.onnx"):
                opset.ClearField("domain")
        del function.metadata_props[:]
        bare_nodes(function.node)
        for attribute in function.attribute_proto:
            bare_attribute(attribute)
    for field in ("model_version", "doc_string", "producer_name", "producer_version", "domain"):
        model.ClearField(field)
    return model


def difference(a, b):
    """None, or the first line in which two models differ."""
    a, b = str(bare(a)).split("\n"), str(bare(b)).split("\n")
    for x, y in zip(a, b):
        if x != y:
            return f"{x.strip()} became {y.strip()}"[:200]
    return None if len(a) == len(b) else f"{len(a)} lines became {len(b)}"


def convert(gmrun, source, target, kind):
    done = subprocess.run([gmrun, "convert", source, target, "--to", kind], capture_output=True, text=True)
    return None if done.returncode == 0 else (done.stderr.strip().split("\n") or [""])[0].replace(str(source), "")[:250]


def reads(gmrun, model, path, folder):
    try:
        text = onnx.printer.to_text(model)
        onnx.parser.parse_model(text)
    except Exception as error:  # the package itself cannot
        return "unsupported: onnx's printer and parser: " + str(error).split("\n")[0][:100]
    source, target = folder / "in.txt", folder / "out.onnx"
    source.write_text(text)
    trouble = convert(gmrun, source, target, "onnx")
    return trouble or difference(onnx.parser.parse_model(text), onnx.load(target))


def writes(gmrun, model, path, folder):
    target = folder / "out.txt"
    trouble = convert(gmrun, path, target, "onnx-text")
    if trouble:
        return trouble
    try:
        return difference(model, onnx.parser.parse_model(target.read_text()))
    except Exception as error:
        return "onnx.parser: " + " ".join(str(error).split())[:200]


def main(gmrun, folders):
    good = True
    for way in (reads, writes):
        count = collections.Counter()
        for path in sorted(p for folder in folders for p in pathlib.Path(folder).glob("*/model.onnx")):
            with tempfile.TemporaryDirectory() as folder:
                trouble = way(gmrun, onnx.load(path), path, pathlib.Path(folder))
            verdict = "passed" if not trouble else "unsupported" if trouble.startswith("unsupported") else "failed"
            count[verdict] += 1
            if trouble:
                print(f"{way.__name__} {path.parent.name}: {trouble}", flush=True)
        print(f"{way.__name__}: {count['passed']} passed, {count['failed']} failed, {count['unsupported']} unsupported")
        good = good and not count["failed"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
