#!/usr/bin/env python3
"""ONNX's own backend tests, by tests/onnx_backend: runs them, holds the results against tests/conformance.txt, writes the table.

usage: python3 tests/conformance.py RUNNER SET=FOLDER ... [--write] [--table docs/conformance.md]

SET is a name of conformance.txt ("onnx-1.23.2/node", "onnx-1.12/node", ...); FOLDER has the tests in folders of their own.
--write replaces conformance.txt by what was seen; without it a test that passed there and does not now is an error.
Prints what changed and "N passed, N failed, N unsupported" per set; status 1 when a test fails or passes no more.

The 1.23.2 set is made by `python3 tests/conformance.py --make DIR`, which needs the onnx package of that version.
"""
import collections
import pathlib
import re
import subprocess
import sys

here = pathlib.Path(__file__).parent
record = here / "conformance.txt"


def make(folder):
    """Writes every node test of the installed onnx package as DIR/node/test_*/{model.onnx, test_data_set_0/*.pb}."""
    import warnings

    warnings.filterwarnings("ignore")
    from onnx import numpy_helper
    from onnx.backend.test.case.node import collect_testcases

    def tensor(value, info):
        kind = info.type.WhichOneof("value")
        if kind == "sequence_type":
            return numpy_helper.from_list(value, info.name)
        if kind == "optional_type":
            return numpy_helper.from_optional(value, info.name)
        return value if hasattr(value, "SerializeToString") else numpy_helper.from_array(value, info.name)

    count = 0
    for case in collect_testcases(None):
        target = pathlib.Path(folder) / "node" / case.name
        for i, (inputs, outputs) in enumerate(case.data_sets):
            data = target / f"test_data_set_{i}"
            data.mkdir(parents=True, exist_ok=True)
            for kind, values, infos in (("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)):
                for k, (value, info) in enumerate(zip(values, infos)):
                    (data / f"{kind}_{k}.pb").write_bytes(tensor(value, info).SerializeToString())
        (target / "model.onnx").write_bytes(case.model.SerializeToString())
        count += 1
    print(f"{count} tests in {folder}/node")


def read_record():
    """set -> {test: verdict}; only tests that do not pass are listed, with the reason."""
    sets, name = {}, None
    if record.exists():
        for line in record.read_text().splitlines():
            if line.startswith("["):
                name = line.strip("[]")
                sets[name] = {}
            elif line and not line.startswith("#"):
                verdict, test, *why = line.split(" ", 2)
                sets[name][test] = (verdict, why[0] if why else "")
    return sets


def run(runner, folder):
    """test -> (verdict, why)"""
    done = subprocess.run([runner, folder], capture_output=True, text=True)
    results = {}
    for line in done.stdout.splitlines():
        match = re.match(r"(ok|FAIL|unsupported) (test_\w+)(?:: (.*))?$", line)
        if match:
            why = re.sub(r"\S*/model\.onnx: ", "", match[3] or "")
            results[match[2]] = (match[1], re.sub(r"\S*/(test_data_set_\d/)", r"\1", why))
    if done.returncode not in (0, 1) or not results:
        sys.exit(f"{runner} ended with {done.returncode}: {done.stderr[-300:]}")
    return results


def compare(name, results, known):
    """Whether nothing became worse."""
    good = True
    for test, (verdict, why) in sorted(results.items()):
        before = known.get(test, ("ok", ""))[0]
        if verdict == "FAIL" and before != "wrong" or verdict == "unsupported" and before == "ok":
            print(f"{name}: {verdict} {test}: {why}")
            good = False
        elif verdict == "ok" and before != "ok":
            print(f"{name}: {test} passes now (was {before}): --write notes it")
    return good


def write_record(all_results, known):
    lines = ["# Tests of ONNX's backend suite that do not pass, and why. `wrong`: the data of the test are. Written by",
             "# tests/conformance.py --write; a change that loses a test must say so here."]
    for name in sorted(known.keys() | all_results.keys()):
        lines.append(f"[{name}]")
        results = all_results.get(name)
        if results is None:
            lines += [f"{verdict} {test} {why}".rstrip() for test, (verdict, why) in sorted(known[name].items())]
            continue
        for test, (verdict, why) in sorted(results.items()):
            if known.get(name, {}).get(test, ("",))[0] == "wrong" and verdict == "FAIL":
                lines.append(f"wrong {test} {known[name][test][1]}".rstrip())
            elif verdict != "ok":
                lines.append(f"{verdict} {test} {why}".rstrip())
    record.write_text("\n".join(lines) + "\n")


def operator_of(test, operators):
    """The operator that a test is named after: the longest that its name begins with."""
    bare = test[5:].replace("_", "").lower()
    fitting = [name for name in operators if bare.startswith(name.lower())]
    return max(fitting, key=len) if fitting else None


def table(path, runner, all_results):
    """Rewrites what stands between the two marks of the page."""
    gmrun = pathlib.Path(runner).parent.parent / "gmrun"
    listed = subprocess.run([gmrun, "ops"], capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    operators = [line.split()[0].split(".")[-1] for line in listed if line.split()]
    rows = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))
    names = sorted(all_results)
    for name in names:
        for test, (verdict, _) in all_results[name].items():
            row = rows[operator_of(test, operators) or "(others)"][name]
            row[0] += verdict == "ok"
            row[1] += 1
    lines = ["| operator | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for operator in sorted(rows):
        lines.append(f"| {operator} | " + " | ".join("{} of {}".format(*rows[operator][name]) if name in rows[operator] else ""
                                                     for name in names) + " |")
    page = pathlib.Path(path)
    text = page.read_text()
    page.write_text(re.sub(r"(<!-- table -->\n).*?(\n<!-- end -->)", lambda m: m[1] + "\n".join(lines) + m[2], text, flags=re.S))


def main(words):
    if words[:1] == ["--make"]:
        return make(words[1])
    page = words[words.index("--table") + 1] if "--table" in words else None
    words = [word for i, word in enumerate(words) if word not in ("--write", "--table") and words[i - 1] != "--table"]
    known, all_results, good = read_record(), {}, True
    for pair in words[1:]:
        name, folder = pair.split("=", 1)
        results = all_results[name] = run(words[0], folder)
        good &= compare(name, results, known.get(name, {}))
        counts = collections.Counter(verdict for verdict, _ in results.values())
        print(f"{name}: {counts['ok']} passed, {counts['FAIL']} failed, {counts['unsupported']} unsupported")
    if "--write" in sys.argv:
        write_record(all_results, known)
    elif not good:
        sys.exit(1)
    if page:
        table(page, words[0], all_results)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1:])
