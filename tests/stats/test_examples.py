"""Every function that is offered has an example, and every example in the package is true."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest

from dgccl import stats

MODULES = sorted(f"dgccl.stats.{found.name}" for found in pkgutil.iter_modules(stats.__path__))
FUNCTIONS = [name for name in stats.__all__ if inspect.isfunction(getattr(stats, name))]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), extraglobs={"np": np})
    assert result.failed == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_an_example_that_is_run(name: str) -> None:
    function = getattr(stats, name)
    module = importlib.import_module(function.__module__)
    found = {test.name: test for test in doctest.DocTestFinder().find(module)}
    test = found[f"{module.__name__}.{function.__name__}"]
    assert "Example:" in (function.__doc__ or "")
    assert any(example.want for example in test.examples)
