"""Speed and memory of gmodel: the table of benchmarks that docs/results.md quotes, and how both grow.

usage: python3 suite.py GMRUN [--peers PYTHON] [--runs K] [--turns T] [--threads N] [--scaling] [--only NAME]... [--json]

GMRUN is build/gmrun. PYTHON (or the variable GMODEL_PEERS) is an interpreter that has torch, onnxruntime and numpy: each row is then
also timed there, the two taking turns, and gets a ratio: the peer's time by ours. A time is the median of the runs of a turn
(short work runs K more often), and of the turns the median. Names for --only:

  dcgan, dcgan-infogan, gan, vae, classifier      training: one step, or one of the discriminator and one of the generator
  generator-1, generator-16, generator-256        DCGAN's generator as exported, so many pictures
  dcgan-detail                                    of its training step: arena, peak, kinds of work, one thread against two
  batch, width, depth                             with --scaling: DCGAN's step by batch; a VAE and a classifier by size

Needs nothing but Python's own library. Exit status 1 when gmodel could not be measured.
"""
import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

PEERS = pathlib.Path(__file__).resolve().parent
MODELS = PEERS.parent.parent / "models"
BATCHES = [16, 32, 64, 128, 256, 512, 1024]
SIZES = [1, 2, 4]
MEGA = 1e6


class Row:
    """One piece of work: how gmrun bench and the peer's script are called for it."""

    def __init__(self, name, title, bench, peer, often=1):
        self.name, self.title, self.bench, self.peer, self.often = name, title, bench, peer, often


def step(name, title, steps, batch, often):
    file = str(MODELS / f"{name}.gmodel")
    bench = [file, *(word for s in steps for word in ("--step", s)), "--batch", str(batch)]
    return Row(name, f"{title}, batch {batch}", bench, ["bench_torch.py", name], often)


def generation(file, batch, often):
    return Row(f"generator-{batch}", f"DCGAN generator, {batch} picture{'s' * (batch > 1)}",
               [file, "--network", "generator", "--batch", str(batch)],
               ["bench_onnxruntime.py", file, "--batch", str(batch)], often)


def speed_rows(onnx_file):
    return [step("dcgan", "dcgan, training step", ["adversarial"], 256, 1),
            step("dcgan-infogan", "dcgan-infogan, critic + artist", ["critic", "artist"], 128, 1),
            step("gan", "gan, critic + artist", ["critic", "artist"], 128, 4),
            step("vae", "vae, training step", ["elbo"], 128, 6),
            step("classifier", "classifier, training step", ["fit"], 128, 10),
            generation(onnx_file, 1, 40), generation(onnx_file, 16, 10), generation(onnx_file, 256, 1)]


NAMES = [row.name for row in speed_rows("")] + ["dcgan-detail"]
SCALING_NAMES = ["batch", "width", "depth"]


class Failure(Exception):
    pass


def run_json(command):
    """The object that a command prints as one line of JSON; a Failure with the last line that it complained with."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        raise Failure(f"{command[0]}: {error.strerror}") from None
    complaint = (done.stderr.strip() or f"{command[0]} ended with status {done.returncode}").splitlines()[-1]
    if done.returncode:
        raise Failure(complaint)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise Failure(f"{command[0]} printed no JSON: {done.stdout[:80]!r}") from None


def median(measured):
    return statistics.median(each["median_ms"] for each in measured)


class Suite:
    def __init__(self, options):
        self.options = options
        self.result = {"cpu": cpu_name(), "threads": options.threads, "runs": options.runs, "turns": options.turns}
        self.told = set()
        self.rows = {}

    def say(self, text=""):
        if not self.options.json:
            print(text, flush=True)

    def bench(self, arguments, often=1, threads=None):
        return run_json([self.options.gmrun, "bench", *arguments, "--threads", str(threads or self.options.threads),
                         "--runs", str(self.options.runs * often), "--json"])

    def peer(self, row):
        """The peer's measurement; None, told once for each reason, where there is none."""
        if not self.options.peers:
            return None
        script, *arguments = row.peer
        try:
            return run_json([self.options.peers, str(PEERS / script), *arguments, "--threads", str(self.options.threads),
                             "--runs", str(self.options.runs * row.often)])
        except Failure as failure:
            if str(failure) not in self.told:
                self.told.add(str(failure))
                print(f"suite.py: {failure}: rows without a ratio", file=sys.stderr, flush=True)
            return None

    def measure(self, row):
        """Turns of gmodel and peer: (medians of gmodel's turns, the peer's); the latter is [] where there is none."""
        ours, theirs = [], []
        for _ in range(self.options.turns):
            ours.append(self.bench(row.bench, row.often))
            other = self.peer(row)
            theirs += [other] if other else []
        return ours, theirs

    # ---- Time and memory of each row

    def speed(self, rows):
        self.say(f"{'work':<42} {'ms':>9} {'peer ms':>9} {'ratio':>6} {'MB':>6} {'peer MB':>8}  peer")
        self.result["speed"] = []
        for row in rows:
            ours, theirs = self.measure(row)
            self.rows[row.name] = (ours, theirs)
            line = {"name": row.name, "work": row.title, "median_ms": median(ours),
                    "min_ms": min(each["min_ms"] for each in ours), "peak_rss_bytes": max(each["peak_rss_bytes"] for each in ours)}
            text = f"{row.title:<42} {line['median_ms']:9.3f}"
            if theirs:
                line.update(peer=theirs[0]["peer"], peer_median_ms=median(theirs),
                            peer_min_ms=min(each["min_ms"] for each in theirs), ratio=median(theirs) / median(ours),
                            peer_peak_rss_bytes=max(each["peak_rss_bytes"] for each in theirs))
                text += f" {line['peer_median_ms']:9.3f} {line['ratio']:6.2f} {line['peak_rss_bytes'] / MEGA:6.0f}"
                text += f" {line['peer_peak_rss_bytes'] / MEGA:8.0f}  {line['peer']}"
            else:
                text += f" {'-':>9} {'-':>6} {line['peak_rss_bytes'] / MEGA:6.0f} {'-':>8}"
            self.result["speed"].append(line)
            self.result["compute"] = ours[0]["compute"]
            self.say(text)
        self.say()

    # ---- DCGAN's step in detail

    def detail(self, row):
        ours, theirs = self.rows.get("dcgan") or self.measure(row)
        one, two = [], []
        for _ in range(self.options.turns):
            one.append(self.bench(row.bench, threads=1))
            two.append(self.bench(row.bench, threads=2))
        last = min(ours, key=lambda turn: turn["median_ms"])
        operators = last["operators"]
        products = sum(ms for name, ms in operators.items() if any(kind in name for kind in ("Conv", "Gemm", "MatMul")))
        detail = {"arena_bytes": last["arena_bytes"], "max_alive_bytes": last["max_alive_bytes"],
                  "arena_by_alive": last["arena_bytes"] / last["max_alive_bytes"],
                  "peak_rss_bytes": max(each["peak_rss_bytes"] for each in ours),
                  "outside_products_share": 1 - products / sum(operators.values()),
                  "one_thread_ms": median(one), "two_threads_ms": median(two), "threads_ratio": median(one) / median(two)}
        self.result["dcgan_detail"] = detail
        self.result["compute"] = last["compute"]
        self.say(f"{row.title}, in detail")
        self.say(f"  arena                                    {detail['arena_bytes']:>13,} bytes")
        self.say(f"  largest sum of sizes alive               {detail['max_alive_bytes']:>13,} bytes; arena / alive "
                 f"{detail['arena_by_alive']:.4f}")
        text = f"  peak memory of the process               {detail['peak_rss_bytes']:>13,} bytes"
        if theirs:
            detail["peer_peak_rss_bytes"] = max(each["peak_rss_bytes"] for each in theirs)
            detail["peak_share"] = detail["peak_rss_bytes"] / detail["peer_peak_rss_bytes"]
            text += f"; 1/{1 / detail['peak_share']:.1f} of the peer's {detail['peer_peak_rss_bytes']:,}"
        self.say(text)
        self.say(f"  outside convolutions and matrix products {100 * detail['outside_products_share']:>13.1f} % of the time")
        self.say(f"  one thread {detail['one_thread_ms']:.1f} ms, two {detail['two_threads_ms']:.1f} ms:"
                 f"{detail['threads_ratio']:>18.2f} x")
        for name, ms in operators.items():
            if ms >= 0.005 * sum(operators.values()):
                self.say(f"    {name:<38} {ms:>13.2f} ms")
        self.say()

    # ---- How time and memory grow

    def scale_batch(self):
        self.say("dcgan, training step, by batch\n"
                 f"{'batch':>8} {'ms':>10} {'ms/example':>11} {'arena MB':>10} {'KB/example':>11} {'peak MB':>9}")
        lines = self.result["by_batch"] = []
        for batch in BATCHES:
            seen = self.bench([str(MODELS / "dcgan.gmodel"), "--step", "adversarial", "--batch", str(batch)])
            lines.append({key: seen[key] for key in ("batch", "median_ms", "arena_bytes", "peak_rss_bytes", "compute")})
            self.say(f"{batch:>8} {seen['median_ms']:>10.2f} {seen['median_ms'] / batch:>11.3f} {seen['arena_bytes'] / MEGA:>10.1f} "
                     f"{seen['arena_bytes'] / batch / 1e3:>11.1f} {seen['peak_rss_bytes'] / MEGA:>9.1f}")
        self.say()

    def scale_size(self, what, folder):
        self.say(f"training step, batch 128, by {what}\n{'model':<12} {what:>6} {'parameters':>12} {'ms':>10} {'us/example':>11} "
                 f"{'ps/example/parameter':>21} {'arena MB':>10} {'peak MB':>9}")
        lines = self.result[f"by_{what}"] = []
        for name, text in ("vae", vae_text), ("classifier", classifier_text):
            for size in SIZES:
                depth = size if what == "depth" else 1
                width = size if what == "width" else 1
                file = pathlib.Path(folder) / f"{name}-{depth}.gmodel"
                file.write_text(text(depth), encoding="utf-8")
                seen = self.bench([str(file), "--step", "fit", "--batch", "128", "--set", f"width={width}"], 4)
                count = parameters(name, depth, width)
                lines.append({"model": name, what: size, "parameters": count,
                              **{key: seen[key] for key in ("median_ms", "arena_bytes", "peak_rss_bytes", "compute")}})
                each = seen["median_ms"] / 128
                self.say(f"{name:<12} {size:>5}x {count:>12,} {seen['median_ms']:>10.3f} {1e3 * each:>11.2f} {1e9 * each / count:>21.1f} "
                         f"{seen['arena_bytes'] / MEGA:>10.2f} {seen['peak_rss_bytes'] / MEGA:>9.1f}")
        self.say()


# ---- Models of any depth and width

def hidden_sizes(name, depth):
    """Units of the hidden layers at width 1, each of models/NAME.gmodel `depth` times: (encoder's, decoder's)."""
    encoder, decoder = {"vae": ([512, 256, 128], [400, 600, 800]), "classifier": ([512, 512], [])}[name]
    return [[units for units in part for _ in range(depth)] for part in (encoder, decoder)]


def layers(sizes, given):
    """Statements of Relu layers; the last one's name."""
    lines = []
    for number, units in enumerate(sizes, 1):
        lines.append(f"  h{number} = Relu(Linear <{units} * width> ({given}))\n")
        given = f"h{number}"
    return "".join(lines), given


def vae_text(depth):
    encoder, decoder = hidden_sizes("vae", depth)
    encode, code = layers(encoder, "2 * image - 1")
    decode, last = layers(decoder, "z")
    return f"""model vae <gmodel = 1, opset = 21, seed = 1>
const width = 1
network encoder (float[N, 784] image) => (float[N, 20] mu, float[N, 20] logvar) {{
{encode}  mu, logvar = Split <axis = 1, num_outputs = 2> (Linear <40> ({code}))
}}
network decoder (float[N, 20] z) => (float[N, 784] logit) {{
{decode}  logit = Linear <784> ({last})
}}
step fit (float[N, 784] image) {{
  mu, logvar = encoder(image)
  loss = bernoulli(decoder(draw_normal(mu, logvar)), image) + kl_normal(mu, logvar)
  minimize loss over encoder, decoder with Adam <rate = 1e-4>
}}
"""


def classifier_text(depth):
    hidden, last = layers(hidden_sizes("classifier", depth)[0], "image")
    return f"""model classifier <gmodel = 1, opset = 21, seed = 1>
const width = 1
network classifier (float[N, 784] image) => (float[N, 10] logit) {{
{hidden}  logit = Linear <10> ({last})
}}
step fit (float[N, 784] image, int64[N] label) {{
  loss = cross_entropy(classifier(image), label)
  minimize loss over classifier with RMSProp <rate = 1e-4, decay = 0.9>
}}
"""


def parameters(name, depth, width):
    encoder, decoder = hidden_sizes(name, depth)
    chains = {"vae": ([784, *encoder, 40], [20, *decoder, 784]), "classifier": ([784, *encoder, 10],)}[name]
    count = 0
    for chain in chains:
        sizes = [chain[0], *(width * units for units in chain[1:-1]), chain[-1]]
        count += sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))
    return count


def cpu_name():
    try:
        for line in open("/proc/cpuinfo", encoding="utf-8"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def read_options():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("gmrun")
    options.add_argument("--peers", metavar="PYTHON", default=os.environ.get("GMODEL_PEERS"))
    options.add_argument("--runs", metavar="K", type=int, default=7)
    options.add_argument("--turns", metavar="T", type=int, default=2)
    options.add_argument("--threads", metavar="N", type=int, default=2)
    options.add_argument("--scaling", action="store_true")
    options.add_argument("--only", metavar="NAME", action="append", choices=NAMES + SCALING_NAMES)
    options.add_argument("--json", action="store_true")
    options = options.parse_args()
    if min(options.runs, options.turns, options.threads) < 1:
        sys.exit("suite.py: --runs, --turns and --threads want at least 1")
    options.gmrun = os.path.abspath(options.gmrun)
    options.only = options.only or (SCALING_NAMES if options.scaling else NAMES)
    return options


def main():
    options = read_options()
    suite = Suite(options)
    with tempfile.TemporaryDirectory() as folder:
        try:
            version = subprocess.run([options.gmrun, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
            suite.say(f"{cpu_name()}, {options.threads} threads; {' '.join(version.split())}; medians of {options.runs} runs or more\n")
            onnx_file = os.path.join(folder, "generator.onnx")
            subprocess.run([options.gmrun, "export", str(MODELS / "dcgan.gmodel"), "--network", "generator", "--to", onnx_file],
                           stdout=subprocess.DEVNULL, check=True)
            rows = speed_rows(onnx_file)
            if set(options.only) & {row.name for row in rows}:
                suite.speed([row for row in rows if row.name in options.only])
            if "dcgan-detail" in options.only:
                suite.detail(rows[0])
            if "batch" in options.only:
                suite.scale_batch()
            for what in "width", "depth":
                if what in options.only:
                    suite.scale_size(what, folder)
        except (Failure, OSError, subprocess.CalledProcessError) as failure:
            sys.exit(f"suite.py: {failure}")
    if options.json:
        print(json.dumps(suite.result))


if __name__ == "__main__":
    main()
