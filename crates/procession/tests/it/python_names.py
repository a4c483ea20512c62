"""Prints the public names of multiprocessing and of concurrent.futures, and those of their classes, one a line."""
import concurrent.futures
import importlib
import multiprocessing
import types

# Those that the documentation of Python has. What they say of themselves counts; the packages say less than they have.
MODULES = ["connection", "managers", "pool", "process", "queues", "shared_memory", "sharedctypes", "synchronize"]


def public(names):
    return {name for name in names if not name.startswith("_")}


def names_in(module, names):
    for name in names:
        thing = getattr(module, name)
        if isinstance(thing, type):
            yield from public(dir(thing)) - set(dir(OSError))
        if not isinstance(thing, types.ModuleType):
            yield name


found = set()
for package in (multiprocessing, concurrent.futures):
    found.update(names_in(package, public(dir(package))))
for name in MODULES:
    module = importlib.import_module("multiprocessing." + name)
    found.update(names_in(module, module.__all__))
print(*sorted(found), sep="\n")
