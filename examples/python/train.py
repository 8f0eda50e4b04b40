"""Trains on data made here, in a loop of its own, and runs the result: python3 train.py [OUT.gmodel]"""
import sys

import numpy

import gmodel

TEXT = """
model circle <gmodel = 1, opset = 21, seed = 1>
network inside (float[N, 2] x) => (float[N, 1] logit) { logit = Dense <1> (Tanh(Dense <32> (x))) }
step fit (float[N, 2] x, float[N, 1] target) {
  loss = binary_cross_entropy(inside(x), target)
  minimize loss over inside with Adam <rate = 1e-2>
  report loss
}
"""
random = numpy.random.default_rng(1)


def batch(count):
    x = random.uniform(-1, 1, (count, 2))
    return x, (x ** 2).sum(1, keepdims=True) < 0.5


with gmodel.Context() as context, context.load_memory(TEXT, "circle.gmodel") as model, model.trainer(batch=128) as trainer:
    for step in range(1, 1001):
        x, target = batch(128)
        trainer.step("fit", x=x, target=target)
        if step % 100 == 0:
            print(f"step {step}: loss {trainer.report('loss'):.4f}")
    out = sys.argv[1] if len(sys.argv) > 1 else "circle.gmodel"
    trainer.save(out)
    x, target = batch(1000)
    with context.load(out) as trained:
        right = (trained.run({"x": x})["logit"] > 0) == target
        print(f"{out}: right about {right.mean():.1%} of 1000 points")
