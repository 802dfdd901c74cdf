"""Work in this process and in others: the same results in the same order, whatever becomes of the others."""

import importlib
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from wsolbench.processes import Helper, ordered_map_beside

FUNCTIONS = '''
import os


def doubled(number):
    return 2 * number, os.getpid()


def ended(here, number):
    """Ends any process but one."""
    if os.getpid() != here:
        os._exit(1)
    return number


def refused(number):
    raise ValueError(f"not {number}")


def printed(number):
    print("this is no result")
    return number
'''

SCRIPT = """
from wsolbench.processes import ordered_map_beside
print(list(ordered_map_beside(abs, [-1, -2, -3, -4], helpers=1)))
"""


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A module that other processes import from where this one has it."""
    (tmp_path / "functions_of_a_test.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("functions_of_a_test")
    del sys.modules["functions_of_a_test"]


def mapped(function, items, helpers=1):
    with closing(ordered_map_beside(function, items, helpers=helpers)) as results:
        return list(results)


@pytest.mark.parametrize("helpers", [0, 1, 2])
def test_results_are_in_the_order_of_the_items(functions, helpers):
    assert [number for number, _ in mapped(functions.doubled, range(20), helpers)] == [*range(0, 40, 2)]


def test_a_helper_is_another_process(functions):
    with Helper(functions.doubled) as helper:
        (number, first), (_, second) = helper(4), helper(5)
    assert number == 8
    assert first == second != os.getpid()


def test_work_of_a_process_that_ends_is_done_here(functions):
    from functools import partial

    assert mapped(partial(functions.ended, os.getpid()), range(12)) == [*range(12)]


def test_work_is_done_here_where_no_process_starts(functions, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert {process for _, process in mapped(functions.doubled, range(6))} == {os.getpid()}


def test_an_error_of_the_function_is_raised(functions):
    with pytest.raises(ValueError, match="not 0"):
        mapped(functions.refused, range(3))


def test_what_a_function_prints_is_no_result(functions, capsys):
    with Helper(functions.printed) as helper:
        assert helper(3) == 3
    assert capsys.readouterr().out == ""


def test_a_script_without_a_guard_runs_once(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == "[1, 2, 3, 4]\n"
    assert done.stderr == ""
