"""The command line: the commands of the README, and one clear sentence for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from qgraph.zoo.digits import split


def qgraph(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "qgraph", *words], capture_output=True, text=True, cwd=cwd, check=False)


def refused(*words: str, says: str, cwd: Path | None = None) -> None:
    done = qgraph(*words, cwd=cwd)
    assert done.returncode == 2, (done.stdout, done.stderr)
    message = done.stderr.strip()
    assert re.search(says, message), message
    assert "Traceback" not in message
    assert len([s for s in message.splitlines() if s.startswith("error")]) <= 1


@pytest.fixture(scope="module")
def work(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    for file in digits.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    np.savez(folder / "x.npz", input=split()[2][:8])
    return folder


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['qgraph', '--help']\nfrom qgraph.cli import main\n"
    code += "try:\n    main()\nexcept SystemExit:\n    pass\nprint([m for m in ('torch', 'onnx', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_a_program_is_known_by_its_content(work: Path) -> None:
    assert qgraph("compile", "digits_int8.onnx", "-o", "program", cwd=work).returncode == 0
    for words in ("inspect program", "run program --inputs x.npz -o y.npz", "compare digits.onnx program"):
        done = qgraph(*words.split(), cwd=work)
        assert done.returncode == 0, done.stderr
    with np.load(work / "y.npz") as arrays:
        assert len(next(iter(arrays.values()))) == 8


def test_report_and_compare_json(work: Path) -> None:
    done = qgraph(
        "transform",
        "digits.onnx",
        "-o",
        "t.onnx",
        "--preset",
        "int8",
        "--data",
        "qgraph.zoo:digits_data",
        "--report",
        "r.json",
        cwd=work,
    )
    assert done.returncode == 0, done.stderr
    assert "size:" in done.stdout and "output SQNR" in done.stdout and "worst values" in done.stdout
    report = json.loads((work / "r.json").read_text())
    assert report["passes"][0]["graph"]["nodes"] and report["layers"]
    done = qgraph("compare", "digits.onnx", "digits.qgp", "--data", "x.npz", "--json", cwd=work)
    rows = json.loads(done.stdout)
    assert rows["outputs"][0]["sqnr_db"] > 25 and rows["values"]


def test_same_answer_from_both_engines(work: Path) -> None:
    for model, out in (("digits_int8.onnx", "a.npz"), ("digits.qgp", "b.npz")):
        assert qgraph("run", model, "--inputs", "x.npz", "-o", out, cwd=work).returncode == 0
    a, b = (np.load(work / n)["linear"] for n in ("a.npz", "b.npz"))
    assert (a.argmax(1) == b.argmax(1)).all()


def test_wrong_files(work: Path) -> None:
    (work / "text.onnx").write_text("hello, this is no model")
    (work / "cut.onnx").write_bytes((work / "digits.onnx").read_bytes()[:5000])
    (work / "cut.qgp").write_bytes((work / "digits.qgp").read_bytes()[:3000])
    data = bytearray((work / "digits.qgp").read_bytes())
    preset = ("--preset", "int8", "--data", "x.npz")
    refused("transform", "none.onnx", "-o", "o.onnx", *preset, says="no such file", cwd=work)
    refused("transform", "text.onnx", "-o", "o.onnx", *preset, says="ONNX file", cwd=work)
    refused("transform", "cut.onnx", "-o", "o.onnx", *preset, says="not a complete ONNX file", cwd=work)
    refused("run", "cut.qgp", "--inputs", "x.npz", "-o", "y.npz", says="cut short|damaged", cwd=work)
    refused("run", "digits.onnx", "--inputs", "none.npz", "-o", "y.npz", says="no such file", cwd=work)
    version = data.find((1).to_bytes(4, "little"))
    while version >= 0:  # the version field is the first 1 that changes the message
        other = bytearray(data)
        other[version] = 9
        (work / "other.qgp").write_bytes(other)
        done = qgraph("inspect", "other.qgp", cwd=work)
        if "of version 9" in done.stderr:
            break
        version = data.find((1).to_bytes(4, "little"), version + 1)
        assert version < 4096, "no version field found"
    assert not (work / "o.onnx").exists()


def test_external_data_missing(work: Path) -> None:
    model = onnx.load(work / "digits.onnx")
    onnx.save(model, work / "ext.onnx", save_as_external_data=True, location="ext.data", size_threshold=0)
    assert qgraph("capture", "ext.onnx", "-o", "again.onnx", cwd=work).returncode == 0
    (work / "ext.data").unlink()
    refused("capture", "ext.onnx", "-o", "again.onnx", says="external data file .*ext.data .* is missing", cwd=work)


def test_unsupported_ops_and_opsets(work: Path) -> None:
    def save(name: str, text: str) -> None:
        onnx.save(onnx.parser.parse_model(text), work / name)

    save("new.onnx", '<ir_version: 10, opset_import: ["" : 99]> g (float[1] x) => (float[1] y) { y = Relu(x) }')
    refused("capture", "new.onnx", "-o", "o.onnx", says="newer than the installed onnx", cwd=work)
    save("custom.onnx", '<ir_version: 10, opset_import: ["" : 21, "my" : 1]> g (float[1] x) => (float[1] y) { y = my.Magic(x) }')
    refused("capture", "custom.onnx", "-o", "o.onnx", says="Magic node .* does not belong", cwd=work)
    save("typo.onnx", '<ir_version: 10, opset_import: ["" : 21]> g (float[1] x) => (float[1] y) { y = Relou(x) }')
    refused("capture", "typo.onnx", "-o", "o.onnx", says="Relou node .* is no op of ONNX opset 21", cwd=work)


def test_wrong_inputs(work: Path) -> None:
    image = split()[2][:2]
    cases = {
        "name": ({"inptu": image}, "did you mean|no input 'inptu'"),
        "rank": ({"input": image[0]}, r"dims|shape \[1, 8, 8\]"),
        "dtype": ({"input": image.astype(np.int64)}, "int64"),
    }
    for name, (arrays, says) in cases.items():
        np.savez(work / f"{name}.npz", **arrays)
        for model in ("digits.onnx", "digits.qgp"):
            refused("run", model, "--inputs", f"{name}.npz", "-o", "y.npz", says=says, cwd=work)


def test_wrong_data(work: Path) -> None:
    bad = split()[2][:2].copy()
    bad[0, 0, 0, 0] = np.nan
    np.savez(work / "nan.npz", input=bad)
    (work / "empty").mkdir(exist_ok=True)
    start = ("transform", "digits.onnx", "-o", "o.onnx", "--preset", "int8")
    refused(*start, says="needs real calibration data", cwd=work)
    refused(*start, "--data", "nan.npz", says="NaN or infinity", cwd=work)
    refused(*start, "--data", "empty", says="holds no .npz", cwd=work)
    refused(*start, "--data", "qgraph.zoo:digit_data", says="did you mean 'digits_data'", cwd=work)


def test_wrong_words(work: Path) -> None:
    refused("transfrom", says="did you mean 'transform'")
    start = ("transform", "digits.onnx", "-o", "o.onnx", "--data", "x.npz")
    refused(*start, "--passes", "canonicalise", says="did you mean 'canonicalize'", cwd=work)
    refused(*start, "--passes", "quantize{weigths=int4}", says="did you mean 'weights'", cwd=work)
    refused(*start, "--preset", "int7", says="presets: int8", cwd=work)


def test_unwritable_outputs(work: Path) -> None:
    refused("capture", "digits.onnx", "-o", "/nowhere/o.onnx", says="cannot write", cwd=work)
    refused("compile", "digits_int8.onnx", "-o", "/nowhere/o.qgp", says="cannot write", cwd=work)


def test_a_full_disk_leaves_nothing(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qgraph.errors import QGraphError
    from qgraph.ir import io

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    model = io.load(work / "digits.onnx")
    (work / "kept.onnx").write_text("old")
    before = sorted(p.name for p in work.iterdir())
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(QGraphError, match="No space left"):
        io.save(model, work / "kept.onnx")
    monkeypatch.undo()
    assert (work / "kept.onnx").read_text() == "old"
    assert sorted(p.name for p in work.iterdir()) == before


def test_a_ruined_model_is_not_written(work: Path) -> None:
    start = ("transform", "digits.onnx", "-o", "ruined.onnx", "--preset", "int8", "--data", "qgraph.zoo:digits_data")
    refused(*start, "--min-sqnr", "90", says="lost too much.*--force", cwd=work)
    assert not (work / "ruined.onnx").exists()
    assert qgraph(*start, "--min-sqnr", "90", "--force", cwd=work).returncode == 0


def test_pruning_says_what_went_and_refuses_what_it_cost(work: Path) -> None:
    line = ["transform", "digits.onnx", "-o", "pruned.onnx", "--passes", "canonicalize,prune-channels{ratio=0.5}"]
    done = qgraph(*line, cwd=work)
    assert done.returncode == 0 and "16 -> 8" in done.stdout, done.stderr
    done = qgraph(*line, "--data", "x.npz", cwd=work)
    assert done.returncode != 0 and "prune less, or write it with --force and train it" in done.stderr
    done = qgraph("inspect", "digits.onnx", "--groups", cwd=work)
    assert done.returncode == 0 and "units" in done.stdout and "channels" in done.stdout, done.stderr


def test_inputs_are_made_where_none_are_given(work: Path) -> None:
    for words in (("run", "digits_int8.onnx", "-o", "q.npz"), ("run", "digits.qgp", "-o", "p.npz")):
        done = qgraph(*words, cwd=work)
        assert done.returncode == 0 and "the inputs are random: input float32 [1, 1, 8, 8]" in done.stdout, done.stderr
    np.testing.assert_allclose(np.load(work / "p.npz")["linear"], np.load(work / "q.npz")["linear"], atol=0.2)
    done = qgraph("compare", "digits.onnx", "digits.qgp", "--json", cwd=work)
    assert "random" in done.stderr and json.loads(done.stdout)["outputs"][0]["sqnr_db"] > 15
    done = qgraph("bench", "digits.qgp", "--rounds", "2", "--json", cwd=work)
    assert "random" in done.stderr and len(json.loads(done.stdout)["engines"][0]["times_ms"]) == 2
    done = qgraph("report", "digits.onnx", "digits.qgp", "-o", "r.html", "--rounds", "0", cwd=work)
    assert done.returncode == 0 and "on random inputs" in (work / "r.html").read_text(), done.stderr


def test_numpy_files_of_doubles_are_data(work: Path) -> None:
    np.save(work / "x.npy", split()[2][:8].astype(np.float64))
    for model, out in (("digits_int8.onnx", "a.npz"), ("digits.qgp", "b.npz")):
        for data in ("x.npz", "x.npy"):
            done = qgraph("run", model, "--inputs", data, "-o", f"{data}.{out}", cwd=work)
            assert done.returncode == 0, done.stderr
        np.testing.assert_array_equal(*(np.load(work / f"{data}.{out}")["linear"] for data in ("x.npz", "x.npy")))


def test_debug_shows_the_traceback_wherever_it_stands(work: Path) -> None:
    for words in (("--debug", "run", "none.onnx", "-o", "y"), ("run", "none.onnx", "-o", "y", "--debug")):
        assert "Traceback" in qgraph(*words, cwd=work).stderr
