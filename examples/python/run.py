"""Runs a model on random numbers, several times with one plan: python3 run.py MODEL.onnx|MODEL.gmodel [BATCH]"""
import sys

import numpy

import gmodel

with gmodel.Context() as context, context.load(sys.argv[1]) as model:
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    random, sizes = numpy.random.default_rng(1), {}
    for name, (kind, shape) in model.inputs().items():
        print("takes", name, kind, shape)
        sizes.update((symbol, size) for symbol in shape if isinstance(symbol, str))
    with model.session(**sizes) as session:
        for _ in range(3):
            outputs = session.run({name: random.normal(size=[sizes.get(d, d) for d in shape]).astype(kind)
                                   for name, (kind, shape) in model.inputs().items()})
    for name, array in outputs.items():
        print("gives", name, array.dtype, array.shape, array.ravel()[:4])
