#!/usr/bin/env python3
"""Exported generators give the same pictures in ONNX Runtime, and every model is valid ONNX.

usage: python3 tests/peers/onnx_export.py BUILD CHECKPOINT.gmodel [NETWORK]   # e.g. build runs/dcgan/checkpoint.gmodel

1. CHECKPOINT's NETWORK (default: generator) is exported to ONNX and run by ONNX Runtime on 16 random codes; `gmrun run`
   runs the checkpoint itself. The largest difference must be at most 1e-4.
2. Every model in models/ that needs no other file is converted to a binary .gmodel and to ONNX;
   onnx.checker.check_model(full_check=True) must accept both.
Needs numpy, onnx and onnxruntime.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

build, checkpoint = pathlib.Path(sys.argv[1]), sys.argv[2]
network = sys.argv[3] if len(sys.argv) > 3 else "generator"
gmrun = str(build / "gmrun")
models = pathlib.Path(__file__).parents[2] / "models"
failed = 0


def run(*words):
    return subprocess.run([gmrun, *map(str, words)], capture_output=True, text=True)


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    done = run("export", checkpoint, "--network", network, "--to", folder / "net.onnx")
    assert done.returncode == 0, done.stderr
    session = onnxruntime.InferenceSession(str(folder / "net.onnx"))
    first = session.get_inputs()[0]
    shape = [16 if not isinstance(size, int) else size for size in first.shape]
    codes = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    np.save(folder / "codes.npy", codes)
    done = run("run", checkpoint, "--network", network, "--input", f"{first.name}={folder}/codes.npy", "--output-dir", folder)
    assert done.returncode == 0, done.stderr
    for output, theirs in zip(session.get_outputs(), session.run(None, {first.name: codes})):
        ours = np.load(folder / f"{output.name}.npy")
        difference = float(np.abs(ours - theirs).max())
        failed += not difference <= 1e-4
        print(f"{network}.{output.name} {list(ours.shape)}: largest difference to ONNX Runtime {difference:.2e}")

    for path in sorted(models.glob("*.gmodel")):
        for kind, name in (("binary", "binary.gmodel"), ("onnx", "view.onnx")):
            done = run("convert", path, folder / name, "--to", kind)
            if done.returncode:
                print(f"{path.name} to {kind}: {done.stderr.strip().splitlines()[-1]}")
                continue
            try:
                onnx.checker.check_model(onnx.load(folder / name), full_check=True)
                print(f"{path.name} to {kind}: valid")
            except Exception as error:  # noqa: BLE001 - whatever the checker says
                failed += 1
                print(f"{path.name} to {kind}: {error}")
sys.exit(failed != 0)
