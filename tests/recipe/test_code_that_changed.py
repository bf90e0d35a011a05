"""Other code is another run: whatever a function, class or module is made of; what cannot be read equals nothing."""

from __future__ import annotations

import importlib.util
import json
import linecache
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdzoo.recipe.hashing import content, unknown_in

NAME, HELPER = "own_code", "own_helper"
NET = """
    import functools
    import torch
    from torch import nn

    def twice(x):
        return 2 * x

    class Base(nn.Module):
        GAIN = 1

        def prepared(self, x):
            return x + 14

        @staticmethod
        def scaled(x):
            return x * 3

        @property
        def shift(self):
            return 4

    class Block(nn.Module):
        def forward(self, x):
            return x - 5

    SCALE, TABLE, BIAS = 6, {"a": (7, 8)}, torch.zeros(13)

    class Net(Base):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block()])
            self.width = 9
            self.act = nn.functional.relu
            self.linear = nn.Linear(34, 35)
            self.register_buffer("own", torch.full((15,), 10), persistent=False)

        def forward(self, x, *, power=11):
            def inner(y):
                return [y + 12 for _ in range(16)][17]
            return self.act(inner(twice(self.blocks[18](self.prepared(x) * SCALE + TABLE["a"][19] + BIAS)))) ** power
"""
FACTORY = """
    import dataclasses, enum, functools
    import own_helper

    class Mode(enum.Enum):
        FAST = 21

    @dataclasses.dataclass
    class Config:
        depth: int = 22

    CONFIG = Config()

    def counted(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs) + 23
        return wrapper

    @functools.lru_cache
    def cached(x):
        return x + 24

    @counted
    def decorated(x):
        return x + 25

    def closing(value):
        def built(*, width=26):
            from own_helper import late
            own = late() + width + value + cached(1) + decorated(1)
            return own + CONFIG.depth + Mode.FAST.value + own_helper.WIDTH + made(1)
        return built

    made = functools.partial(lambda a, b: a + b + 27, b=28)
    pair = (lambda x: x + 29, lambda x: x + 30)
    Net = closing(31)
"""

HIDDEN = {
    "a function that goes by a library's name": """
        @functools.wraps(nn.functional.relu)
        def act(x): return 2 * x
        Net = act
    """,
    "a wrapper that is an object": """
        class Doubled:
            def __init__(self, function): functools.update_wrapper(self, function)
            def __call__(self, x): return 2 * self.__wrapped__(x)
        Net = Doubled(lambda x: x)
    """,
    "a method bound to an object": "Net = {1: 2}.get",
    "a method of an enumeration": """
        class Mode(enum.Enum):
            A = 1
            def factor(self): return 2
        Net = Mode.A
    """,
    **{
        f"a method of a {kind}": f"""
            class Own({kind}):
                def factor(self): return 2
            Net = Own()
        """
        for kind in ("str", "int", "float", "dict", "list", "tuple", "set", "bytes", "collections.OrderedDict")
    },
    "a named tuple's method": """
        class Own(typing.NamedTuple):
            a: int = 1
            def factor(self): return 2
        Net = Own()
    """,
    "what a mapping makes": "Net = collections.defaultdict(lambda: 2)",
    "a metaclass": """
        class Meta(type):
            def __call__(cls): return 2
        class Net(metaclass=Meta): pass
    """,
    "a descriptor": """
        class Read:
            def __get__(self, owner, kind): return 2
        class Net:
            value = Read()
    """,
    "a partial method": """
        class Net:
            def f(self, k): return k
            g = functools.partialmethod(f, 2)
    """,
    "an implementation for a type": """
        @functools.singledispatch
        def Net(x): return 1
        @Net.register
        def _(x: int): return 2
    """,
    "a function in a lambda": "Net = lambda xs: [(lambda y: y + 2)(x) for x in xs]",
    "a global by its name": "WIDTH = 2\ndef Net(): return globals()['WIDTH']",
    "a global in a text": "WIDTH = 2\ndef Net(): return eval('WID' + 'TH')",
    "an array of objects": "Net = np.array([{'a': 2}], dtype=object)",
    "a field of an array": "Net = np.array([(1, 2.0)], dtype=[('a', 'i4'), ('b', 'f8')])",
    "a sparse tensor": "Net = torch.eye(3).to_sparse() * 2",
    "a conjugated tensor": "Net = torch.tensor([2 + 1j]).conj()",
    "a tensor without content": "Net = torch.empty(2, device='meta')",
    "an attribute of a tensor": "Net = torch.zeros(1)\nNet.scale = 2",
    "what is put into a library's class": """
        class Net(nn.Linear): pass
        Net.__bases__[0].own = (lambda self: 2)
    """,
}
"""Other ways to write something that counts, each with one 2 in it."""
IMPORTS = "import collections, enum, functools, typing\nimport numpy as np\nimport torch\nfrom torch import nn\n"
BESIDE = {
    "by name": "import own_helper\ndef Net(): return getattr(own_helper, 'WID' + 'TH')",
    "in a dictionary": "import own_helper\nNet = {'ops': own_helper}",
    "as a default": "import own_helper\ndef Net(ops=own_helper): return ops.WIDTH",
    "in a closure": "import own_helper\ndef closing(ops):\n    return lambda: ops.WIDTH\nNet = closing(own_helper)",
    "while it runs": "import importlib\ndef Net(): return importlib.import_module('own_helper').WIDTH",
    "as an argument": "import own_helper\ndef other(ops): return ops.WIDTH\ndef Net(): return other(own_helper)",
    "as an argument, by name": "import own_helper\ndef get(o, n): return getattr(o, n)\ndef Net(): return get(own_helper, 'WIDTH')",  # noqa: E501
    "under another name": "import own_helper\ndef Net():\n    ops = own_helper\n    return ops.WIDTH",
    "by a getter": "import operator, own_helper\nGET = operator.attrgetter('WIDTH')\ndef Net(): return GET(own_helper)",
    "as a built-in does": "def Net(): return __import__('own_helper').WIDTH",
}


def load(folder: Path, text: str, name: str = NAME) -> types.ModuleType:
    """The module of a file with this text, as a script would import it."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(textwrap.dedent(text))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path) -> Iterator[None]:
    load(tmp_path, "WIDTH = 32\ndef late():\n    return 33\n", HELPER)
    yield
    for name in (NAME, HELPER):
        sys.modules.pop(name, None)


def seen(obj: Any) -> str:
    return json.dumps(content(obj), sort_keys=True)


@pytest.mark.parametrize("whole", [NET, FACTORY])
def test_the_same_code_in_another_place_is_the_same(whole: str, tmp_path: Path) -> None:
    first = seen(load(tmp_path / "a", whole).Net)
    assert seen(load(tmp_path / "b", f"# a line more\n{textwrap.dedent(whole)}").Net) == first
    assert unknown_in(seen(sys.modules[NAME].Net)) == []


@pytest.mark.parametrize("number", [*range(1, 20), "relu", "zeros"])
def test_a_change_anywhere_in_a_module_is_another_module(number: int | str, tmp_path: Path) -> None:
    changed = _changed(NET, number)
    torch.manual_seed(0)
    before, after = load(tmp_path / "a", NET).Net(), load(tmp_path / "b", changed).Net()
    assert seen(before) != seen(after)


@pytest.mark.parametrize("number", [*range(1, 5), *range(6, 13), *range(14, 20), "relu", "zeros"])
def test_a_change_anywhere_in_a_class_is_another_plugin(number: int | str, tmp_path: Path) -> None:
    assert seen(load(tmp_path / "a", NET).Net) != seen(load(tmp_path / "b", _changed(NET, number)).Net)


@pytest.mark.parametrize("number", [21, 22, 23, 24, 25, 26, 27, 28, 31])
def test_a_change_anywhere_behind_a_function_is_another_plugin(number: int, tmp_path: Path) -> None:
    assert seen(load(tmp_path / "a", FACTORY).Net) != seen(load(tmp_path / "b", _changed(FACTORY, number)).Net)


@pytest.mark.parametrize("number", [32, 33])
def test_a_change_in_a_module_beside_it_is_another_plugin(number: int, tmp_path: Path) -> None:
    net = load(tmp_path / "a", FACTORY).Net
    before = seen(net)
    text = (tmp_path / f"{HELPER}.py").read_text()
    load(tmp_path / "b", text.replace(str(number), "99"), HELPER)
    assert seen(load(tmp_path / "a", FACTORY).Net) != before


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    yield
    if hasattr(nn.Linear, "own"):
        del nn.Linear.own


@pytest.mark.usefixtures("_as_it_was")
@pytest.mark.parametrize("way", HIDDEN)
def test_a_change_counts_however_it_is_written(way: str, tmp_path: Path) -> None:
    text = IMPORTS + textwrap.dedent(HIDDEN[way])
    before = seen(load(tmp_path / "a", text).Net)
    assert seen(load(tmp_path / "b", f"# a line more\n{text}").Net) == before
    assert unknown_in(before) == []
    assert seen(load(tmp_path / "c", _changed(text, 2)).Net) != before


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("way", BESIDE)
def test_a_module_counts_however_it_is_reached(way: str, loaded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for number in (32, 99):
        folder = tmp_path / str(number)
        load(folder, f"WIDTH = {number}\n", HELPER)
        monkeypatch.syspath_prepend(str(folder))
        if not loaded and "import own_helper" not in BESIDE[way]:
            del sys.modules[HELPER]
        found.append(seen(load(tmp_path / "a", BESIDE[way]).Net))
    assert found[0] != found[1]


@pytest.mark.parametrize("name", ["statistics", "kdzoo_beside"])
def test_a_module_of_ones_own_counts_whatever_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for number in (32, 99):
        monkeypatch.setitem(
            sys.modules, name, load(tmp_path / str(number), f"def width(): return {number}\n", f"{NAME}_helper")
        )
        sys.modules[name].__name__ = name
        sys.modules[name].width.__globals__["__name__"] = name
        found.append(seen(load(tmp_path / "a", f"import {name}\ndef Net(): return {name}.width()").Net))
    sys.modules.pop(f"{NAME}_helper")
    assert found[0] != found[1]


READING = {
    "a text": "def Net(): return os.environ.get('OWN_WIDTH')",
    "a constant": "KEY = 'OWN_WIDTH'\ndef Net(): return os.environ[KEY]",
    "a default": "def Net(key='OWN_WIDTH'): return os.getenv(key)",
    "a default of a function within": "def Net():\n    key = 'OWN_WIDTH'\n    return (lambda: os.environ[key])()",
    "an argument of another function": "def env(key): return os.environ[key]\ndef Net(): return env('OWN_WIDTH')",
    "a composed text": "def Net(what='WIDTH'): return os.environ[f'OWN_{what}']",
    "a text to expand": "def Net(): return os.path.expandvars('${OWN_WIDTH}/x')",
    "bytes": "def Net(): return os.environb[b'OWN_WIDTH']",
}


@pytest.mark.parametrize("way", READING)
def test_variables_of_the_environment_count_where_they_are_read(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = load(tmp_path, f"import os\n{READING[way]}").Net
    before = seen(net)
    monkeypatch.setenv("ANOTHER", "1")
    assert seen(net) == before
    monkeypatch.setenv("OWN_WIDTH", "1")
    assert seen(net) != before


def test_functions_put_into_a_librarys_module_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = load(tmp_path, "import torch.nn.functional as F\ndef Net(x): return F.mse_loss(x, x)").Net
    before = seen(net)
    monkeypatch.setattr(torch.nn.functional, "mse_loss", lambda a, b: 2)
    assert seen(net) != before


def test_a_module_that_answers_to_any_name_is_looked_at_all_the_same(tmp_path: Path) -> None:
    load(tmp_path, "def __getattr__(name): return 1\n", HELPER)
    assert seen(load(tmp_path / "a", "import own_helper\ndef Net(): return own_helper.X").Net)


def test_two_lambdas_of_one_line_are_two(tmp_path: Path) -> None:
    one, other = load(tmp_path, FACTORY).pair
    assert seen(one) != seen(other)


def test_a_comment_elsewhere_changes_nothing(tmp_path: Path) -> None:
    before = seen(load(tmp_path / "a", NET).Net)
    assert seen(load(tmp_path / "b", textwrap.dedent(NET) + "\n\ndef unused():\n    return 0\n").Net) == before


def _patch_instance(net: nn.Module) -> None:
    net.forward = types.MethodType(lambda self, x: x, net)  # type: ignore[method-assign]


def _patch_class(net: nn.Module) -> None:
    type(net).forward = lambda self, x: x  # type: ignore[method-assign]


def _hook(net: nn.Module) -> None:
    net.register_forward_hook(lambda module, inputs, output: output + 1)


def _attribute(net: nn.Module) -> None:
    net.width = 1  # type: ignore[assignment]


def _activation(net: nn.Module) -> None:
    net.act = torch.tanh  # type: ignore[assignment]


def _buffer(net: nn.Module) -> None:
    net.own.add_(1)  # type: ignore[operator,union-attr]


def _constant(net: nn.Module) -> None:
    sys.modules[NAME].SCALE = 0.5  # type: ignore[attr-defined]


def _function(net: nn.Module) -> None:
    sys.modules[NAME].twice = lambda x: x  # type: ignore[attr-defined]


def _frozen(net: nn.Module) -> None:
    net.linear.requires_grad_(False)  # type: ignore[operator,union-attr]


def _gradient_hook(net: nn.Module) -> None:
    net.register_full_backward_hook(lambda module, before, after: before)


def _parameter_hook(net: nn.Module) -> None:
    net.linear.weight.register_hook(lambda gradient: 2 * gradient)  # type: ignore[operator,union-attr]


def _shared(net: nn.Module) -> None:
    net.again = net.linear


CHANGES = [
    *(_patch_instance, _patch_class, _hook, _attribute, _activation, _buffer, _constant, _function),
    *(_frozen, _gradient_hook, _parameter_hook, _shared),
]


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_changed_while_a_notebook_runs_counts(change: Callable[[nn.Module], None], tmp_path: Path) -> None:
    net = load(tmp_path, NET).Net()
    before = seen(net)
    assert seen(net) == before
    change(net)
    assert seen(net) != before


def test_a_compiled_graph_counts_by_its_code() -> None:
    class Times(nn.Module):
        def __init__(self, factor: int) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.factor

    assert seen(torch.fx.symbolic_trace(Times(2))) != seen(torch.fx.symbolic_trace(Times(3)))


def test_a_notebook_cell_counts_by_its_text() -> None:
    def cell(number: int) -> Any:
        text, name = f"def build():\n    return {number}\n", f"<ipython-input-{number}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, name, "exec"), space)
        return space["build"]

    assert seen(cell(1)) == seen(cell(1))
    assert seen(cell(1)) != seen(cell(2))
    assert not unknown_in(seen(cell(1)))


def typed_in(text: str) -> Any:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(text, space)
    return space["build"]


@pytest.mark.parametrize("text", ["def build(): return 1", "class build:\n    def go(self): return 1", "build = lambda: 1"])
def test_what_was_typed_in_is_never_found_again(text: str) -> None:
    one, other = typed_in(text), typed_in(text)
    assert seen(one) == seen(one), "it is the same in this process"
    assert seen(one) != seen(other)
    assert unknown_in(seen(one))


def test_a_file_that_changed_after_its_import_is_never_found_again(tmp_path: Path) -> None:
    old = load(tmp_path, NET).Net
    (tmp_path / f"{NAME}.py").write_text(textwrap.dedent(_changed(NET, 12)))
    linecache.checkcache()
    found = seen(old)
    assert any("changed since it was loaded" in why for why in unknown_in(found))
    assert seen(load(tmp_path, _changed(NET, 12)).Net) != found


def _changed(text: str, number: int | str) -> str:
    """The text with one number, or word, replaced."""
    old, new = {"relu": ("functional.relu", "functional.silu"), "zeros": ("torch.zeros", "torch.ones")}.get(
        str(number), (rf"\b{number}\b", "99")
    )
    changed, places = re.subn(old, new, text)
    assert places == 1
    return changed
