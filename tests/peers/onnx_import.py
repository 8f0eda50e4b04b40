#!/usr/bin/env python3
"""A generator that PyTorch's exporter writes gives the same pictures here.

usage: python3 tests/peers/onnx_import.py BUILD

Exports a DCGAN generator (random weights, running statistics of a few training passes) with a symbolic batch, runs it by
`gmrun run` and compares with PyTorch: the largest difference must be at most 1e-4. Needs torch, onnx and onnxscript.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torch import nn

gmrun = str(pathlib.Path(sys.argv[1]) / "gmrun")
torch.manual_seed(1)
generator = nn.Sequential(
    nn.Linear(100, 7 * 7 * 128, bias=False), nn.BatchNorm1d(7 * 7 * 128), nn.LeakyReLU(0.3), nn.Unflatten(1, (128, 7, 7)),
    nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.3),
    nn.ConvTranspose2d(64, 1, 4, 2, 1), nn.Tanh())
for _ in range(5):
    generator(torch.randn(32, 100))
generator.eval()
failed = 0
codes = torch.randn(16, 100)
with torch.no_grad():
    theirs = generator(codes).numpy()
with tempfile.TemporaryDirectory() as folder:
    np.save(f"{folder}/z.npy", codes.numpy())
    for dynamo in (True, False):
        name = f"{folder}/generator.onnx"
        kind = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)} if dynamo else {"dynamic_axes": {"z": {0: "batch"}}}
        try:
            torch.onnx.export(generator, (codes,), name, input_names=["z"], output_names=["image"], dynamo=dynamo,
                              external_data=False, **kind)
        except Exception as error:  # noqa: BLE001 - the old exporter goes away some day
            print(f"dynamo={dynamo}: PyTorch did not export: {error}")
            continue
        done = subprocess.run([gmrun, "run", name, "--input", f"z={folder}/z.npy", "--output-dir", folder],
                              capture_output=True, text=True)
        if done.returncode:
            print(done.stderr)
            failed = 1
            continue
        difference = float(np.abs(np.load(f"{folder}/image.npy") - theirs).max())
        failed |= not difference <= 1e-4
        print(f"dynamo={dynamo}: largest difference to PyTorch {difference:.2e}")
sys.exit(failed)
