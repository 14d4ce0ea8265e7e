"""The rules of the house: who imports whom, how long things may be, what an import costs."""

import ast
import io
import json
import os
import sys
import tokenize
from pathlib import Path

import numpy
import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGINE, KERNELS = ROOT / "minisgd", ROOT / "kernels" / "minisgd_kernels"
ROOMS = [
    ENGINE,
    ROOT / "kernels",
    ROOT / "tests",
    ROOT / "parity_tests",
    ROOT / "examples",
    ROOT / "benchmarks",
    ROOT / "docs",
    ROOT / ".ci",
]
SOURCES = sorted(path for room in ROOMS for path in room.rglob("*.py"))

# A module imports from lower floors only, and within its own package.
FLOORS = [
    ["operators"],
    ["tensor"],
    ["primitive", "utils"],
    ["config", "numerics"],
    ["saving"],
    ["ops", "plots"],
    ["random", "tape", "activations"],
    ["gradcheck"],
    [
        "constraints",
        "initializers",
        "losses",
        "regularizers",
    ],  # a metric is made of a loss's function
    ["layers", "metrics", "optimizers", "data", "datasets"],
    ["callbacks"],
    ["compiler"],
    ["trainer"],
    ["models"],
    ["runs", "sklearn"],
    ["cli"],
    ["__main__"],
]
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(path, inside_functions=True):
    """Full names of what a file imports at run time."""
    found, todo = [], [tree_of(path)]
    while todo:
        node = todo.pop()
        if is_type_checking(node):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        todo += ast.iter_child_nodes(node)
    return found


def code_lines(path):
    """Lines that hold code: no blanks, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    silent = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                lines.difference_update(range(value.lineno, value.end_lineno + 1))
    return len(lines)


# --- imports ---
@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=name_of)
def test_kernels_import_nothing_of_the_engine(path):
    allowed = {"numpy", "numba", "llvmlite", "minisgd_kernels"} | sys.stdlib_module_names
    assert {name.partition(".")[0] for name in imports(path)} <= allowed


def engine_modules():
    for path in sorted(ENGINE.rglob("*.py")):
        parts = path.relative_to(ENGINE).with_suffix("").parts
        if parts[0] not in ("parity", "__init__"):
            yield pytest.param(path, parts, id=".".join(parts))


@pytest.mark.parametrize(("path", "parts"), list(engine_modules()))
def test_imports_run_one_way(path, parts):
    own = parts[0]
    assert own in FLOOR, f"{own}: give the new module its floor"
    if parts == ("utils", "__init__"):
        return  # a list of public names, some of which live on higher floors
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package != "minisgd":
            continue
        if name == "minisgd" and parts == ("utils", "machine"):
            continue  # asks for the version, when called
        other = rest.partition(".")[0]
        if other in ("__version__", own):
            continue
        if other == "parity":
            assert own == "cli", f"{name_of(path)} imports minisgd.parity"
            continue
        assert other in FLOOR, f"{name_of(path)} imports {name}: not a module of the engine"
        assert FLOOR[other] < FLOOR[own], f"{name_of(path)} imports {name}: upwards or sideways"


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=name_of)
def test_the_reference_is_imported_only_by_parity_and_only_when_called(path):
    reference = {"keras", "tensorflow", "jax", "torch"}
    in_parity = path.is_relative_to(ENGINE / "parity")
    wrong = [
        name
        for name in imports(path, inside_functions=not in_parity)
        if name.partition(".")[0] in reference
    ]
    assert not wrong


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=name_of)
def test_parity_is_imported_only_when_asked_for(path):
    if not path.is_relative_to(ENGINE / "parity"):
        at_import = imports(path, inside_functions=False)
        assert not [name for name in at_import if name.startswith("minisgd.parity")]


def test_importing_minisgd_is_cheap(run_python, tmp_path):
    """How long it takes is measured by the benchmarks; here, by counting: what it brings along."""
    code = """
import sys
import numpy
before = set(sys.modules)
import minisgd
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
    brought = set(run_python(code, NUMBA_CACHE_DIR=tmp_path).split())
    others = brought - set(sys.stdlib_module_names) - {"minisgd", "minisgd_kernels", "numpy"}
    assert not others, "an import of another package costs every user's start"
    assert len(brought) < 60
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "an import compiled"


# --- kernels ---
NO_FLOAT_ARITHMETIC = {
    "where", "next_seed_inplace", "philox_stream", "philox_uint32", "philox_shuffle",
}  # fmt: skip


def decorated_with(function, name):
    return any(isinstance(d, ast.Name) and d.id == name for d in function.decorator_list)


def kernel_functions(decorator="kernel"):
    for path in sorted(KERNELS.glob("*.py")):
        for node in tree_of(path).body:
            if isinstance(node, ast.FunctionDef) and decorated_with(node, decorator):
                yield pytest.param(node, id=f"{path.stem}.{node.name}")


@pytest.mark.parametrize("function", list(kernel_functions()))
def test_kernels_flush_denormals_and_give_the_mode_back(function):
    if function.name in NO_FLOAT_ARITHMETIC:
        return
    body = [ast.unparse(statement) for statement in function.body[1:]]  # without the docstring
    assert body[0] == "mode = flush_denormals()"
    last = body[-2] if body[-1].startswith("return") else body[-1]
    assert last == "restore_denormals(mode)"
    exits = [n for n in ast.walk(function) if isinstance(n, ast.Return | ast.Raise)]
    assert len(exits) <= 1, "a way out that does not restore the mode"


@pytest.mark.parametrize("function", list(kernel_functions("part")))
def test_parts_of_a_step_name_their_thread_and_leave_the_mode_to_the_step(function):
    parameters = [a.arg for a in function.args.args]
    if function.name != "batch_loss":  # one thread does it
        assert parameters[:2] == ["thread", "threads"]
    assert "_denormals" not in ast.unparse(function)


def test_every_kernel_is_public_and_in_the_table():
    import minisgd_kernels

    defined = {param.values[0].name for param in kernel_functions()}
    assert defined == set(minisgd_kernels.__all__)
    table = (ROOT / "kernels" / "README.md").read_text(encoding="utf-8")
    defined |= {param.values[0].name for param in kernel_functions("part")}
    assert not [name for name in sorted(defined) if f"`{name}`" not in table]


def test_no_module_bears_a_kernels_name():
    """Importing such a module would put it in the kernel's place."""
    import minisgd_kernels

    assert not {path.stem for path in KERNELS.glob("*.py")} & set(minisgd_kernels.__all__)


# --- the compiler and its cache ---
DIGEST = """
import hashlib, sys
import numpy as np
import minisgd_kernels as kernels
a = np.random.default_rng(0).standard_normal((5, 785)).astype(np.float32)
b = np.random.default_rng(1).standard_normal((785, 3)).astype(np.float32)
digest = hashlib.sha256(kernels.matmul(a, b).tobytes())
w = a[0].copy()
kernels.momentum_inplace(w, a[1].copy(), a[2].copy(), np.float32(0.1), np.float32(0.9))
digest.update(w.tobytes())
print(digest.hexdigest())
"""


def test_cached_uncached_and_present_kernels_agree(run_python, tmp_path, capsys):
    exec(DIGEST, {})
    expected = capsys.readouterr().out.strip()
    folder = tmp_path / "cache"
    assert run_python(DIGEST, NUMBA_CACHE_DIR=folder) == expected

    def states():
        return {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}

    compiled = states()
    assert any(path.suffix == ".nbc" for path in compiled)
    assert run_python(DIGEST, NUMBA_CACHE_DIR=folder) == expected
    assert states() == compiled, "the second process compiled again"


def test_a_folder_that_cannot_be_written_only_costs_the_cache(run_python, tmp_path, capsys):
    exec(DIGEST, {})
    expected = capsys.readouterr().out.strip()
    obstacle = tmp_path / "file"
    obstacle.write_text("a file where the folder should be")
    assert run_python(DIGEST, NUMBA_CACHE_DIR=obstacle / "cache") == expected


TINY_STEP = """
import json
import sys
import numpy as np
import minisgd as keras
keras.utils.set_random_seed(3)
model = keras.Sequential([
    keras.layers.Dense(4, activation="relu", input_shape=(6,)),
    keras.layers.Dense(3, activation="softmax"),
])
model.compile(optimizer=keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
              loss="categorical_crossentropy", metrics=["accuracy"])
x = np.linspace(-1, 1, 30, dtype=np.float32).reshape(5, 6)
y = np.eye(3, dtype=np.float32)[[0, 1, 2, 1, 0]]
with keras.GradientTape() as tape:
    loss = model.compute_loss(x, y, model(x, training=True))
gradients = tape.gradient(loss, model.trainable_variables)
history = model.fit(x, y, batch_size=2, epochs=2, verbose=0)
normals = keras.initializers.TruncatedNormal(seed=1)((9,))
values = [model.predict(x, verbose=0), loss, normals, *gradients, *model.get_weights()]
values += [history.history["loss"], keras.random.epoch_order(9)]
print(json.dumps([np.asarray(v).tolist() for v in values]))
"""


def test_without_the_compiler_a_training_step_is_the_same_to_1e_5(run_python, capsys):
    exec(TINY_STEP, {})
    compiled = json.loads(capsys.readouterr().out)
    interpreted = json.loads(run_python(TINY_STEP, NUMBA_DISABLE_JIT=1))
    assert len(interpreted) == len(compiled)
    for plain, fast in zip(interpreted, compiled, strict=True):
        numpy.testing.assert_allclose(plain, fast, rtol=1e-5, atol=1e-6)


def test_no_kernel_lets_the_compiler_reassociate():
    import minisgd_kernels

    for name in minisgd_kernels.__all__:
        assert getattr(minisgd_kernels, name).targetoptions["fastmath"] is False, name


# --- size ---
@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_is_longer_than_400_lines_of_code(path):
    assert code_lines(path) <= 400


# The lesson core and its kernels; what widens the surface lives in files of its own.
LESSON = """
    tensor primitive tape random trainer
    ops/convert ops/shape ops/elementwise ops/reduce ops/linear ops/classification
    layers/core losses/losses optimizers/sgd optimizers/schedules
""".split()
CORE_KERNELS = """
    _jit _intrinsics _math linear elementwise reduce classification update philox
""".split()


@pytest.mark.parametrize(
    ("folder", "names", "limit"),
    [(ENGINE, LESSON, 2000), (KERNELS, CORE_KERNELS, 1200)],
    ids=["lesson", "kernels"],
)
def test_the_lesson_is_an_afternoons_reading(folder, names, limit):
    paths = [path for name in names if (path := folder / f"{name}.py").exists()]
    assert len(paths) > 0.8 * len(names), "files were renamed: bring the list up to date"
    assert sum(code_lines(path) for path in paths) <= limit


def test_code_lines_are_counted_right(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        '"""Doc\n\nmore."""\n\nx = 1  # one\n# none\n\n\ndef f():\n    """D."""\n'
        '    return """two\n    lines"""\n'
    )
    assert code_lines(path) == 4


# --- habits ---
def test_there_are_no_symlinks():
    links = [p for p in ROOT.iterdir() if p.is_symlink() and p.name != ".venv"]
    for room in ROOMS:
        for folder, folders, files in os.walk(room):
            links += [p for f in folders + files if (p := Path(folder, f)).is_symlink()]
    assert not links


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_habits(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), "a star import"
        text = ast.unparse(node) if isinstance(node, ast.Call | ast.Attribute) else ""
        if isinstance(node, ast.Call) and text.startswith(
            ("pytest.mark.skip", "pytest.mark.xfail", "pytest.skip(")
        ):
            said = [k for k in node.keywords if k.arg == "reason"] or (
                text.startswith("pytest.skip(") and node.args
            )
            assert said, f"line {node.lineno}: {text}: a skip without a reason"
        if isinstance(node, ast.keyword) and node.arg == "fastmath":
            assert getattr(node.value, "value", None) is False, "fastmath"
    if path.is_relative_to(KERNELS):
        assert "fastmath=True" not in path.read_text(encoding="utf-8")


def test_a_skip_is_never_bare():
    for path in SOURCES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                bare = [ast.unparse(d) for d in node.decorator_list]
                assert not {"pytest.mark.skip", "pytest.mark.xfail"} & set(bare), name_of(path)
