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


def run(runner, folder, operators):
    """test -> (verdict, why); `operators` learns the one operator of a test's model"""
    done = subprocess.run([runner, "--operators", folder], capture_output=True, text=True)
    results = {}
    for line in done.stdout.splitlines():
        match = re.match(r"\[(\w*)\] (ok|FAIL|unsupported) (test_\w+)(?:: (.*))?$", line)
        if match:
            why = re.sub(r"\S*/model\.onnx: ", "", match[4] or "")
            results[match[3]] = (match[2], re.sub(r"\S*/(test_data_set_\d/)", r"\1", why))
            operators[match[3]] = match[1]
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
    """The one operator of its model; of a function written out, the operator that the same test without `_expanded` has."""
    return operators.get(test) or operators.get(re.sub(r"_expanded(_ver\d+)?$", "", test)) or "(several)"


def table(path, all_results, known, operators):
    """Rewrites what stands between the two marks of the page."""
    rows = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))
    names = sorted(all_results)
    for name in names:
        for test, (verdict, _) in all_results[name].items():
            row = rows[operator_of(test, operators)][name]
            row[0] += verdict == "ok"
            row[1] += 1
    lines = ["| operator | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for operator in sorted(rows):
        lines.append(f"| {operator} | " + " | ".join("{} of {}".format(*rows[operator][name]) if name in rows[operator] else ""
                                                     for name in names) + " |")
    sums = ["| set | tests | passed | failed | unsupported | data of the test wrong |", "|---|---|---|---|---|---|"]
    for name in names:
        counts = collections.Counter(verdict for verdict, _ in all_results[name].values())
        wrong = sum(known.get(name, {}).get(test, ("",))[0] == "wrong" for test in all_results[name])
        sums.append(f"| {name} | {len(all_results[name])} | {counts['ok']} | {counts['FAIL'] - wrong} | {counts['unsupported']} | {wrong} |")
    page = pathlib.Path(path)
    text = page.read_text()
    for mark, rows_of in (("sums", sums), ("table", lines)):
        end = "end sums" if mark == "sums" else "end"
        text = re.sub(f"(<!-- {mark} -->\n).*?(<!-- {end} -->)", lambda m: m[1] + "\n".join(rows_of) + "\n" + m[2], text,
                      flags=re.S)
    page.write_text(text)


def main(words):
    if words[:1] == ["--make"]:
        return make(words[1])
    page = words[words.index("--table") + 1] if "--table" in words else None
    words = [word for i, word in enumerate(words) if word not in ("--write", "--table") and words[i - 1] != "--table"]
    known, all_results, operators, good = read_record(), {}, {}, True
    for pair in words[1:]:
        name, folder = pair.split("=", 1)
        if not pathlib.Path(folder).is_dir():
            print(f"{name}: skipped, {folder} is not there")
            continue
        results = all_results[name] = run(words[0], folder, operators)
        good &= compare(name, results, known.get(name, {}))
        counts = collections.Counter(verdict for verdict, _ in results.values())
        print(f"{name}: {counts['ok']} passed, {counts['FAIL']} failed, {counts['unsupported']} unsupported")
    if not all_results:
        sys.exit(77)  # skipped, to meson
    if "--write" in sys.argv:
        write_record(all_results, known)
    elif not good:
        sys.exit(1)
    if page:
        table(page, all_results, known, operators)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1:])
