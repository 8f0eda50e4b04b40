#!/usr/bin/env python3
"""examples/python/gmodel.py on the shared library: test_python.py LIBRARY SOURCE. Without NumPy it is skipped (status 77)."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy
except ImportError:
    print("there is no numpy")
    sys.exit(77)
library = pathlib.Path(sys.argv[1]).resolve()
if library.suffix == ".a" or re.search(rb"__(asan|tsan|ubsan)_", library.read_bytes()):
    print("Python cannot load this library")
    sys.exit(77)
examples = pathlib.Path(sys.argv[2]).resolve() / "examples/python"
os.environ["GMODEL_LIBRARY"] = str(library)
sys.path.insert(0, str(examples))
sys.dont_write_bytecode = True
import gmodel  # noqa: E402 - found by what stands above

TEXT = """model m <gmodel = 1, opset = 21, seed = 3>
network ae (float[N, K] x, float[K, 3] w) => (float[N, 3] y, int64[N] best) {
  param b : float[3] = [1, 2, 3]
  y = MatMul(x, w) + b
  best = ArgMax <axis = 1, keepdims = 0> (y)
}
step fit (float[N, 4] x, float[4, 3] w, float[N, 3] target) {
  y, best = ae(x, w)
  loss = mean((y - target) ^ 2)
  minimize loss over ae with Momentum <rate = 0.5, momentum = 0.5>
  report loss
}
"""


class Module(unittest.TestCase):
    def setUp(self):
        self.context = gmodel.Context(threads=1)
        self.model = self.context.load_memory(TEXT, "m.gmodel")
        random = numpy.random.default_rng(5)
        self.x, self.w = random.normal(size=(5, 4)).astype("float32"), random.normal(size=(4, 3)).astype("float32")

    def tearDown(self):
        self.context.close()  # and the rest

    def refused(self, part, call, *arguments, **names):
        with self.assertRaises(gmodel.Error) as caught:
            call(*arguments, **names)
        self.assertIn(part, str(caught.exception))
        return caught.exception.status

    def test_a_network_runs_on_arrays_of_any_size(self):
        self.assertEqual(self.model.inputs(), {"x": (numpy.float32, ("N", "K")), "w": (numpy.float32, ("K", 3))})
        for rows in (5, 1):
            found = self.model.run({"x": self.x[:rows], "w": self.w})
            wanted = self.x[:rows] @ self.w + [1, 2, 3]
            numpy.testing.assert_allclose(found["y"], wanted, rtol=1e-5, atol=1e-6)
            self.assertEqual(found["best"].dtype, numpy.int64)
            numpy.testing.assert_array_equal(found["best"], wanted.argmax(1))

    def test_arrays_need_not_be_dense_nor_float32(self):
        turned = numpy.asfortranarray(self.x.astype("float64"))
        numpy.testing.assert_array_equal(self.model.run({"x": turned, "w": self.w})["y"],
                                         self.model.run({"x": self.x, "w": self.w})["y"])

    def test_parameters_are_read_and_written(self):
        self.assertEqual(self.model.parameters(), {"ae.b": (numpy.float32, (3,))})
        numpy.testing.assert_array_equal(self.model["ae.b"], [1, 2, 3])
        self.model["ae.b"] = numpy.zeros(3)
        numpy.testing.assert_allclose(self.model.run({"x": self.x, "w": self.w})["y"], self.x @ self.w, rtol=1e-5, atol=1e-6)
        self.refused("no parameter", self.model.__getitem__, "ae.c")
        self.refused("shape", self.model.__setitem__, "ae.b", numpy.zeros(4))
        with self.model.session(N=1, K=4):
            self.refused("while", self.model.__setitem__, "ae.b", numpy.zeros(3))

    def test_steps_train_and_a_checkpoint_holds_what_they_made(self):
        target = numpy.zeros((5, 3), "float32")
        with self.model.trainer(batch=5) as trainer, tempfile.TemporaryDirectory() as folder:
            self.assertEqual(trainer.feeds("fit")["target"], (numpy.float32, (5, 3), False))
            y = self.x @ self.w + [1, 2, 3]
            gradient = 2 * y.mean(0) / 3
            trainer.step("fit", x=self.x, w=self.w, target=target)
            self.assertAlmostEqual(trainer.report("loss"), (y ** 2).mean(), places=4)
            numpy.testing.assert_allclose(trainer["ae.b"], [1, 2, 3] - 0.5 * gradient, rtol=1e-5)
            numpy.testing.assert_allclose(trainer["fit.ae.b.m"], gradient, rtol=1e-5)
            numpy.testing.assert_array_equal(self.model["ae.b"], [1, 2, 3])
            self.assertEqual(trainer.reports(), ["loss"])
            self.refused("no input of 'fit'", trainer.step, "fit", z=target)
            trainer.save(folder + "/c.gmodel")
            with self.context.load(folder + "/c.gmodel") as trained:
                numpy.testing.assert_array_equal(trained["ae.b"], trainer["ae.b"])
            trainer["ae.b"] = [0, 0, 0]
            numpy.testing.assert_array_equal(trainer["ae.b"], [0, 0, 0])

    def test_errors_are_exceptions_with_the_librarys_words(self):
        self.assertEqual(self.refused("nothing.onnx", self.context.load, "nothing.onnx"), gmodel.FILE)
        self.assertEqual(self.refused("t:1:", self.context.load_memory, "modle m", "t"), gmodel.MODEL)
        self.refused("'w' is missing", self.model.run, {"x": self.x})
        self.refused("'z' is no input", self.model.run, {"x": self.x, "w": self.w, "z": self.x})
        self.refused("did you mean", self.model.session, NN=1)
        self.refused("shape", self.model.run, {"x": self.x, "w": self.w[:3]})
        self.refused("must be", self.model.run, {"x": self.x.astype(complex), "w": self.w})

    def test_what_is_closed_is_not_used(self):
        session = self.model.session(N=1, K=4)
        self.model.close()  # closes its sessions first
        self.assertFalse(session.handle)
        self.refused("closed", self.model.session, N=1)

    def test_the_programs_run(self):
        with tempfile.TemporaryDirectory() as folder:
            for words in (["train.py", "c.gmodel"], ["run.py", "c.gmodel"]):
                done = subprocess.run([sys.executable, "-B", str(examples / words[0]), *words[1:]], cwd=folder,
                                      capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("c.gmodel: right" if words[0] == "train.py" else "gives logit float32 (4, 1)", done.stdout)


unittest.main(argv=sys.argv[:1])
