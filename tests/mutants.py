"""Changes the package in one place at a time, and shows which changes no test sees.

    python tests/mutants.py losses metrics samplers models training evaluation --count 60 --seed 0

Of each area, `--count` mutants are drawn at random. A mutant is one change: an operator swapped, a
condition negated, a number made one larger, min for max, and for or, True for False, the sign of
what a function returns, a call or an augmented assignment left out, an argument left out. It is
caught if a test fails, or if the tests take 20 seconds more than five times what they take without
it. First the module's own tests run, then all others of the area. `--log` keeps the verdicts: a
mutant that is in it does not run again.
"""

import argparse
import ast
import copy
import difflib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

# The files and folders of src/autoencoders that make an area.
AREAS = {
    "losses": ("losses.py", "divergences.py", "distributions"),
    **{room: (room,) for room in ("metrics", "samplers", "models", "training", "evaluation")},
}
# What no test should have to hold: messages and types.
SKIPPED = (ast.Raise, ast.JoinedStr)
SKIPPED_FIELDS = ("annotation", "returns", "decorator_list", "msg")
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
    **{ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult},
}
EXTREMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}
EXTREMES |= {"amin": "amax", "amax": "amin"}
# Return values with a sign, or that may have one.
SIGNED = (ast.Name, ast.Attribute, ast.Call, ast.BinOp, ast.Subscript, ast.IfExp, ast.UnaryOp)


class Mutant(NamedTuple):
    """One change of one file.

    path: from the project's root.
    line, column: counted from 1 and from 0.
    before, after: the piece of source that is changed.
    source: the file with the change.
    """

    path: str
    line: int
    column: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.before} -> {self.after}"

    def diff(self, root: Path) -> str:
        """Where it is, and the lines that it changes."""
        original = (root / self.path).read_text(encoding="utf-8").splitlines()
        changed = self.source.splitlines()
        _, _, _, *lines = difflib.unified_diff(original, changed, n=0, lineterm="")
        return "\n".join([f"{self.path}:{self.line}", *lines])


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one that may be changed, in the order of the source."""
    yield node
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            allowed = field not in SKIPPED_FIELDS and not isinstance(child, SKIPPED)
            if isinstance(child, ast.AST) and allowed:
                yield from nodes(child)


def with_field(node: Any, **fields: Any) -> Any:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def changes(node: Any) -> Iterator[tuple[Any, Any]]:
    """(a node, what may stand in its place) for each change that this node offers."""
    match node:
        case ast.Compare(ops=[op, *others]):
            yield node, with_field(node, ops=[SWAPPED[type(op)](), *others])
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) if type(op) in SWAPPED:
            yield node, with_field(node, op=SWAPPED[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield node, operand
        case ast.Constant(value=bool(value)):
            yield node, ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)) if value + 1 != value:
            yield node, ast.Constant(value + 1)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, ast.UnaryOp(ast.Not(), test)
        case ast.Return(value=value) if isinstance(value, SIGNED):
            yield value, ast.UnaryOp(ast.USub(), value)
        case ast.Call(func=ast.Name(id=name)) if name in EXTREMES:
            yield node, with_field(node, func=ast.Name(EXTREMES[name]))
        case ast.Call(func=ast.Attribute(attr=name) as function) if name in EXTREMES:
            yield node, with_field(node, func=with_field(function, attr=EXTREMES[name]))
    if isinstance(node, ast.Call):
        for given in node.keywords:
            yield node, with_field(node, keywords=[k for k in node.keywords if k is not given])
    is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if is_call or isinstance(node, ast.AugAssign):
        yield node, ast.Pass()


def mutants(path: str, source: str) -> list[Mutant]:
    """All mutants of a file."""
    text = source.encode()  # ast counts columns in bytes
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in nodes(ast.parse(source)):
        for old, new in changes(node):
            start = starts[old.lineno - 1] + old.col_offset
            end = starts[old.end_lineno - 1] + old.end_col_offset
            after = ast.unparse(ast.fix_missing_locations(new))
            piece = f"({after})" if isinstance(new, ast.expr) else after
            changed = (text[:start] + piece.encode() + text[end:]).decode()
            before = text[start:end].decode()
            found.append(Mutant(path, old.lineno, old.col_offset, before, after, changed))
    return found


def files_of(area: str, root: Path) -> list[Path]:
    paths = [root / "src/autoencoders" / name for name in AREAS[area]]
    return sorted(
        file for path in paths for file in ([path] if path.suffix else path.rglob("*.py"))
    )


def imported(file: Path) -> set[str]:
    """The modules of this package that a file imports, such as `autoencoders.models.wae`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.startswith("autoencoders.")}


def suite_of(area: str, root: Path) -> list[Path]:
    """The test files that import from an area, or carry a name of its."""
    rooms = {f"autoencoders.{name.removesuffix('.py')}" for name in AREAS[area]}
    own = {f"test_{name}" for name in (area, *(file.stem for file in files_of(area, root)))}
    return [
        file
        for file in sorted((root / "tests").glob("test_*.py"))
        if file.stem in own or {".".join(name.split(".")[:2]) for name in imported(file)} & rooms
    ]


def failure(
    root: Path, tests: list[Any], mutant: Mutant | None = None, limit: float | None = None
) -> str:
    """What pytest prints if a test of a copy of the package fails, or is not done after `limit`
    seconds; nothing if all pass."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "src")
        shutil.copytree(root / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
        if (root / "pyproject.toml").exists():  # by which the package knows that it is a checkout
            shutil.copy(root / "pyproject.toml", folder)
        if mutant:
            Path(folder, mutant.path).write_text(mutant.source, encoding="utf-8")
        # No compiled files: two mutants of a second and of one length would look the same.
        environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
        # In a session of its own, so that what the tests start ends with them.
        how: Any = {"cwd": root, "env": environment, "start_new_session": True, "text": True}
        output: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with subprocess.Popen([*command, *tests], **how, **output) as process:
            try:
                printed, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return f"stopped after {limit} s"
    passed = process.returncode in (0, 5)  # 5: all of these tests are slow
    return "" if passed else printed or f"pytest ended with {process.returncode}"


def caught(root: Path, tests: list[Path], mutant: Mutant, limit: float, mark: list[str]) -> bool:
    """Whether a test sees a mutant, its module's own tests asked first."""
    file = Path(mutant.path)
    stem = file.parent.name if file.stem == "__init__" else file.stem
    own = [test for test in tests if test.stem == f"test_{stem}"]
    others = [test for test in tests if test not in own]
    return any(part and failure(root, [*mark, *part], mutant, limit) for part in (own, others))


def examine(
    area: str, log: dict[str, bool], options: argparse.Namespace
) -> Iterator[tuple[Mutant, bool]]:
    """The mutants drawn of an area, each with whether it was caught."""
    root, tests = options.root, suite_of(area, options.root)
    mark = ["-m", "slow or not slow"] if options.slow else []
    every = [
        mutant
        for file in files_of(area, root)
        for mutant in mutants(str(file.relative_to(root)), file.read_text(encoding="utf-8"))
    ]
    drawn = random.Random(options.seed).sample(every, min(options.count, len(every)))
    start = time.monotonic()
    if any(m.name not in log for m in drawn) and (why := failure(root, [*mark, *tests])):
        sys.exit(f"error: the tests of {area} fail without any mutant:\n{why}")
    limit = 20 + 5 * (time.monotonic() - start)

    def verdict(mutant: Mutant) -> bool:
        known = log.get(mutant.name)
        return caught(root, tests, mutant, limit, mark) if known is None else known

    with ThreadPoolExecutor(options.jobs) as pool:
        yield from zip(drawn, pool.map(verdict, drawn), strict=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("areas", nargs="+", choices=AREAS)
    parser.add_argument("--count", type=int, default=60, help="mutants of each area")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--slow", action="store_true", help="run the slow tests, too")
    parser.add_argument("--log", type=Path, help="file of verdicts, a line of JSON for each")
    project = Path(__file__).parents[1]
    parser.add_argument("--root", type=Path, default=project, help="the project's")
    options = parser.parse_args()
    options.root = options.root.resolve()
    log: dict[str, bool] = {}
    if options.log and options.log.exists():
        for line in options.log.read_text(encoding="utf-8").splitlines():
            log |= {(entry := json.loads(line))["mutant"]: entry["caught"]}
    scores = []
    for area in options.areas:
        verdicts = []
        for mutant, found in examine(area, log, options):
            verdicts.append(found)
            if not found:
                print(f"{mutant.diff(options.root)}\n", flush=True)
            if options.log and mutant.name not in log:
                with options.log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"mutant": mutant.name, "caught": found}) + "\n")
        scores.append(f"{area}: {sum(verdicts)} / {len(verdicts)} caught")
    print("\n".join(scores))


if __name__ == "__main__":
    main()
