"""Mistakes by structure: which function, and what is replaced in it. Put into the production code
of this process only.

A change names a function, class or constant (`take_over`, `Day.at`; `timers._name` where two
modules have one of that name) and an expression or statement in it, as Python. What is compared is
the syntax tree: layout, comments and the file do not matter, so that code can be moved. In what is
looked for

- a single capital letter is any expression, the same one each time: `X.get(X)`;
- `arm_attempt(...)` is the call of whatever ends in that name, with whatever arguments:
  `world.timers.arm_attempt(job, due)`;
- `if slots is None: ...` is that `if`, whatever it does.

In what is put there, such a letter is what it stood for, and `IT` is all that was found. What is
not found exactly once, or as often as `times` says, raises Misfit: a mistake that does not fit the
code any more is never passed over.

Imports no production code itself.
"""

import ast
import copy
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TypeVar

ROOT = Path(__file__).parents[2]
PACKAGES = (("bbq/services", "bbq/shared"), ("bbq/cli",))
IT = "IT"
_WILD = re.compile("[A-Z]")
# fields of a node that are no part of what it says
_UNSEEN = {"ctx", "kind", "type_comment", "type_params"}
_BLOCKS = {"body", "orelse", "handlers", "finalbody"}

Node = TypeVar("Node", bound=ast.AST)
Bound = dict[str, ast.expr]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class Misfit(ValueError):
    """The code has no such place, or more of them than expected."""


class Code:
    """Modules, as trees to be changed. A name is looked for in the later groups of them only if the
    first have none.
    """

    def __init__(self, groups: "Groups") -> None:
        self._groups = groups
        self.changed: dict[str, ast.Module] = {}

    def definition(self, name: str) -> Definition:
        """The function, class or constant of this name, to be changed. Raises Misfit unless there
        is exactly one.
        """
        found: list[tuple[str, str]] = []
        for texts in self._groups:
            every = ((module, known) for module, text in texts.items() for known in _names(text))
            found = found or [
                (module, known)
                for module, known in every
                if f".{module}.{known}".endswith(f".{name}")
            ]
        if len(found) != 1:
            raise Misfit(
                f"{name} is defined {len(found)} times, not once: "
                f"{', '.join(f'{m}.{q}' for m, q in found)}"
            )
        ((module, qualified),) = found
        if module not in self.changed:
            self.changed[module] = ast.parse(
                next(texts[module] for texts in self._groups if module in texts)
            )
        return next(
            node for known, node in _definitions(self.changed[module]) if known == qualified
        )

    def place(self, where: str) -> ast.AST:
        """Where something is to be changed: a definition, or what an `if` (or `for`, `with` ...) in
        it governs. Raises Misfit.
        """
        name, _, head = where.partition(" > ")
        definition = self.definition(name)
        if not head:
            return definition
        pattern = _pattern(f"{head}: ...")
        found = [node for node in ast.walk(definition) if _matches(pattern, node, {})]
        _expect(len(found), 1, name, head)
        return ast.Module(body=getattr(found[0], "body"), type_ignores=[])  # noqa: B009 - of whatever kind the statement is


Change = Callable[[Code], None]
Groups = Sequence[Mapping[str, str]]  # the texts of modules, by name


@cache
def production() -> Groups:
    """Our own modules, in the groups of PACKAGES."""
    paths = [
        [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
        for packages in PACKAGES
    ]
    return [
        {".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text() for path in group}
        for group in paths
    ]


def mutated(changes: Sequence[Change], groups: Groups | None = None) -> dict[str, ast.Module]:
    """The changed modules, by name; of our own code unless others are given. Raises Misfit."""
    code = Code(groups if groups is not None else production())
    for change in changes:
        change(code)
    return {module: ast.fix_missing_locations(tree) for module, tree in code.changed.items()}


def path_of(module: str) -> Path:
    """Its file."""
    return ROOT / f"{module.replace('.', '/')}.py"


def install(changes: Sequence[Change]) -> None:
    """From now on, imports find the changed modules. Must come before anything imports them. Raises
    Misfit, RuntimeError.
    """
    modules = mutated(changes)
    late = sorted(modules.keys() & sys.modules.keys())
    if late:
        raise RuntimeError(f"too late to change {', '.join(late)}: imported already")
    sys.meta_path.insert(0, _Finder(modules))


# What can be changed.


def expr(where: str, old: str, new: str, *, times: int = 1) -> Change:
    """An expression becomes another one."""
    pattern = _expression(old)

    def change(code: Code) -> None:
        swap = _Swap(pattern, _expression(new))
        swap.visit(code.place(where))
        _expect(swap.count, times, where, old)

    return change


def without(where: str, old: str) -> Change:
    """One part goes: an element of a list, tuple or set, an argument, or an operand of `and`, `or`,
    `&`, `|`, `+`.
    """
    pattern = _expression(old)

    def change(code: Code) -> None:
        cut = _Cut(pattern)
        cut.visit(code.place(where))
        _expect(cut.count, 1, where, old)

    return change


def argument(where: str, call: str, name: str | int, new: str, *, times: int = 1) -> Change:
    """An argument of a call, by name or by position from 0, becomes another one."""
    pattern = _expression(f"{call}(...)")

    def change(code: Code) -> None:
        calls = [
            node
            for node in ast.walk(code.place(where))
            if isinstance(node, ast.Call) and _matches(pattern, node, {})
        ]
        _expect(len(calls), times, where, f"{call}(...)")
        for found in calls:
            if isinstance(name, int):
                _expect(len(found.args[name : name + 1]), 1, where, f"argument {name} of {call}")
                found.args[name] = _filled(_expression(new), {IT: found.args[name]})
            else:
                keywords = [keyword for keyword in found.keywords if keyword.arg == name]
                _expect(len(keywords), 1, where, f"{call}({name}=...)")
                keywords[0].value = _filled(_expression(new), {IT: keywords[0].value})

    return change


def condition(where: str, mentions: str, new: str) -> Change:
    """The whole condition that mentions an expression becomes another one: of an `if` of any kind,
    a `while` or a `case`. Or that of one statement: `if slots is None: ...`.
    """
    pattern = _pattern(mentions)

    def change(code: Code) -> None:
        found = []
        for node in ast.walk(code.place(where)):
            for tested in _conditions(node):
                looked_at = node if isinstance(pattern, ast.stmt) else tested
                if _mentions(pattern, looked_at) is not None:
                    found.append((node, tested))
        _expect(len(found), 1, where, mentions)
        ((node, tested),) = found
        becoming = _filled(_expression(new), {IT: tested})
        match node:
            case ast.comprehension():
                node.ifs = [becoming if each is tested else each for each in node.ifs]
            case ast.match_case():
                node.guard = becoming
            case ast.If() | ast.While() | ast.IfExp():
                node.test = becoming
            case _:
                raise AssertionError(node)

    return change


def returned(where: str, new: str) -> Change:
    """What a function with a single `return` returns becomes something else."""

    def change(code: Code) -> None:
        found = [
            node
            for node in ast.walk(code.place(where))
            if isinstance(node, ast.Return) and node.value is not None
        ]
        _expect(len(found), 1, where, "return")
        found[0].value = _filled(
            _expression(new), {IT: found[0].value} if found[0].value is not None else {}
        )

    return change


def assigned(where: str, variable: str, new: str) -> Change:
    """What a variable (or attribute, `filling.taking`) is set to, in the only statement that does,
    becomes something else.
    """
    pattern = _expression(variable)

    def change(code: Code) -> None:
        found = [node for node in ast.walk(code.place(where)) if _assigns(pattern, node)]
        _expect(len(found), 1, where, f"{variable} = ...")
        (node,) = found
        assert isinstance(node, ast.Assign | ast.AnnAssign)
        node.value = _filled(_expression(new), {IT: node.value} if node.value is not None else {})

    return change


def constant(name: str, new: str) -> Change:
    """A constant of a module or class gets another value."""

    def change(code: Code) -> None:
        node = code.definition(name)
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            raise Misfit(f"{name} is no constant with a value")
        node.value = _filled(_expression(new), {IT: node.value})

    return change


def instead(where: str, mentions: str, code: str, *, times: int = 1) -> Change:
    """The innermost statement that is, or itself mentions, something becomes other statements."""
    return _statements(where, mentions, times, lambda _, bound: _code(code, bound))


def drop(where: str, mentions: str, *, times: int = 1) -> Change:
    """The innermost statement that is, or itself mentions, something goes. An `if` goes with all
    that hangs on it.
    """
    return instead(where, mentions, "pass", times=times)


def before(where: str, mentions: str, code: str) -> Change:
    """Other statements come before the innermost statement that mentions something."""
    return _statements(where, mentions, 1, lambda found, bound: [*_code(code, bound), found])


def after(where: str, mentions: str, code: str) -> Change:
    """Other statements come after it."""
    return _statements(where, mentions, 1, lambda found, bound: [found, *_code(code, bound)])


# How it is found.


@cache
def _names(text: str) -> list[str]:
    return [name for name, _ in _definitions(ast.parse(text))]


def _definitions(
    tree: ast.Module | ast.ClassDef, prefix: str = ""
) -> Iterator[tuple[str, Definition]]:
    """Functions, classes and constants of a module or class, with their qualified names."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name):
                yield f"{prefix}{name}", node
                yield from _definitions(node, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield f"{prefix}{name}", node
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield f"{prefix}{name}", node
            case _:
                pass


def _matches(pattern: object, node: object, bound: Bound) -> bool:
    """Whether a tree is what a pattern says; what its letters stand for is put into `bound`."""
    if isinstance(pattern, ast.Name) and _WILD.fullmatch(pattern.id) and isinstance(node, ast.expr):
        return _equal(bound.setdefault(pattern.id, node), node)
    if isinstance(pattern, ast.Call) and isinstance(node, ast.Call):
        called = (
            isinstance(pattern.func, ast.Name)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == pattern.func.id
        )
        if not called and not _matches(pattern.func, node.func, bound):
            return False
        return _whatever(pattern.args) or (
            _matches(pattern.args, node.args, bound)
            and _matches(pattern.keywords, node.keywords, bound)
        )
    if isinstance(pattern, list) and isinstance(node, list):
        return len(pattern) == len(node) and all(
            _matches(p, n, bound) for p, n in zip(pattern, node, strict=True)
        )
    if isinstance(pattern, ast.AST):
        unseen = _UNSEEN | _BLOCKS if _whatever(getattr(pattern, "body", None)) else _UNSEEN
        return type(pattern) is type(node) and all(
            _matches(getattr(pattern, name, None), getattr(node, name, None), bound)
            for name in pattern._fields
            if name not in unseen
        )
    return type(pattern) is type(node) and pattern == node


def _whatever(parts: object) -> bool:
    """Whether these arguments, or statements, are `...` alone."""
    match parts:
        case [ast.Constant(value=value)] | [ast.Expr(value=ast.Constant(value=value))]:
            return value is ...
        case _:
            return False


def _equal(one: ast.expr, other: ast.expr) -> bool:
    return one is other or ast.dump(one) == ast.dump(other)


def _conditions(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.If(test=tested) | ast.While(test=tested) | ast.IfExp(test=tested):
            return [tested]
        case ast.match_case(guard=ast.expr() as tested):
            return [tested]
        case ast.comprehension(ifs=several):
            return several
        case _:
            return []


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """A node and what it is made of, but for the statements in it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _own(child)


def _mentions(pattern: ast.AST, node: ast.AST) -> Bound | None:
    """What the pattern's letters stand for where the node is, or itself mentions, what it says;
    else None.
    """
    for part in _own(node):
        bound: Bound = {}
        if _matches(pattern, part, bound):
            return {**bound, IT: part} if isinstance(part, ast.expr) else bound
    return None


def _assigns(pattern: ast.expr, node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
            return _matches(pattern, target, {})
        case _:
            return False


def _expect(found: int, times: int, where: str, what: str) -> None:
    if found != times:
        raise Misfit(f"{where} has `{what}` {found} times, not {times}")


# How it is replaced.


def _expression(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def _pattern(text: str) -> ast.AST:
    """An expression, or a statement."""
    (statement,) = ast.parse(text.strip()).body
    return statement.value if isinstance(statement, ast.Expr) else statement


def _code(text: str, bound: Mapping[str, ast.expr]) -> list[ast.stmt]:
    return [_filled(statement, bound) for statement in ast.parse(text).body]


def _filled(tree: Node, bound: Mapping[str, ast.expr]) -> Node:
    """A copy, with what the letters stand for."""
    filled: Node = _Fill(bound).visit(copy.deepcopy(tree))
    return filled


class _Fill(ast.NodeTransformer):
    def __init__(self, bound: Mapping[str, ast.expr]) -> None:
        self._bound = bound

    def visit_Name(self, node: ast.Name) -> ast.AST:
        """A letter becomes what it stands for."""
        return copy.deepcopy(self._bound.get(node.id, node))


def _statements(
    where: str, mentions: str, times: int, become: Callable[[ast.stmt, Bound], list[ast.stmt]]
) -> Change:
    pattern = _pattern(mentions)

    def change(code: Code) -> None:
        count = 0
        for node in [*ast.walk(code.place(where))]:
            for name in ("body", "orelse", "finalbody"):
                statements = getattr(node, name, None)
                if not isinstance(statements, list):
                    continue
                becoming: list[ast.stmt] = []
                for statement in statements:
                    bound = _mentions(pattern, statement)
                    count += bound is not None
                    becoming += [statement] if bound is None else become(statement, bound)
                statements[:] = becoming
        _expect(count, times, where, mentions)

    return change


class _Swap(ast.NodeTransformer):
    """Puts an expression in the place of each that matches."""

    def __init__(self, pattern: ast.expr, new: ast.expr) -> None:
        self._pattern, self._new, self.count = pattern, new, 0

    def visit(self, node: ast.AST) -> ast.AST:
        """What the node becomes."""
        bound: Bound = {}
        if isinstance(node, ast.expr) and _reads(node) and _matches(self._pattern, node, bound):
            self.count += 1
            return ast.copy_location(_filled(self._new, {**bound, IT: node}), node)
        found: ast.AST = self.generic_visit(node)
        return found


def _reads(node: ast.expr) -> bool:
    return isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


class _Cut(ast.NodeTransformer):
    """Takes out each part that matches."""

    def __init__(self, pattern: ast.expr) -> None:
        self._pattern, self.count = pattern, 0

    def visit(self, node: ast.AST) -> ast.AST:
        """What the node becomes."""
        self.generic_visit(node)
        match node:
            case (
                ast.List(elts=parts)
                | ast.Tuple(elts=parts)
                | ast.Set(elts=parts)
                | ast.Call(args=parts)
            ):
                parts[:] = self._kept(parts)
            case ast.BoolOp(values=parts):
                parts[:] = self._kept(parts)
                if len(parts) == 1:
                    return parts[0]
            case ast.BinOp(left=left, right=right, op=ast.BitAnd() | ast.BitOr() | ast.Add()):
                kept = self._kept([left, right])
                if len(kept) == 1:
                    return kept[0]
            case _:
                pass
        return node

    def _kept(self, parts: Sequence[ast.expr]) -> list[ast.expr]:
        kept = [
            part
            for part in parts
            if not _matches(
                self._pattern, part.value if isinstance(part, ast.Starred) else part, {}
            )
        ]
        self.count += len(parts) - len(kept)
        return kept


class _Finder(MetaPathFinder):
    """Finds the changed modules before the real ones are looked for."""

    def __init__(self, modules: Mapping[str, ast.Module]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See MetaPathFinder."""
        if fullname not in self._modules:
            return None
        return spec_from_file_location(
            fullname, path_of(fullname), loader=_Loader(self._modules[fullname], path_of(fullname))
        )


class _Loader(Loader):
    def __init__(self, tree: ast.Module, path: Path) -> None:
        self._tree, self._path = tree, path

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed tree: no cached bytecode, which would be that of the real module."""
        exec(compile(self._tree, str(self._path), "exec"), module.__dict__)
