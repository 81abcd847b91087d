# SPDX-License-Identifier: MIT
"""The private world's program as a module: its cache of closures, its users and its cgroups are the lab host's, too."""

import importlib.machinery
import importlib.util
import os

_path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "system", "world")
_loader = importlib.machinery.SourceFileLoader("world", _path)
world = importlib.util.module_from_spec(importlib.util.spec_from_loader("world", _loader))
_loader.exec_module(world)
