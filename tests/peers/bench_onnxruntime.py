"""Times one pass of an .onnx network in ONNX Runtime: the peer of the generator's rows of suite.py.

usage: python3 bench_onnxruntime.py FILE.onnx [--batch 1] [--runs 7] [--threads 2]
The first size of every input is the batch; other sizes must be numbers. Inputs are float32, standard normal. Prints one line of JSON:
median_ms, min_ms, peak_rss_bytes, peer.
"""
import argparse
import json
import resource
import sys
import time

try:
    import numpy
    import onnxruntime
except ImportError:
    sys.exit("bench_onnxruntime.py: %s has no ONNX Runtime (pip install onnxruntime numpy)" % sys.executable)

WARM_UPS = 3


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("file")
    options.add_argument("--batch", type=int, default=1)
    options.add_argument("--runs", type=int, default=7)
    options.add_argument("--threads", type=int, default=2)
    options = options.parse_args()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(options.file, settings, providers=["CPUExecutionProvider"])
    random = numpy.random.default_rng(1)
    inputs = {each.name: random.standard_normal([options.batch] + each.shape[1:], dtype=numpy.float32)
              for each in session.get_inputs()}
    times = []
    for _ in range(WARM_UPS + options.runs):
        before = time.perf_counter()
        session.run(None, inputs)
        times.append(1e3 * (time.perf_counter() - before))
    times = sorted(times[WARM_UPS:])
    median = (times[(len(times) - 1) // 2] + times[len(times) // 2]) / 2
    print(json.dumps({"name": options.file, "batch": options.batch, "runs": options.runs, "threads": options.threads,
                      "median_ms": median, "min_ms": times[0],
                      "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                      "peer": "ONNX Runtime " + onnxruntime.__version__}))


if __name__ == "__main__":
    main()
