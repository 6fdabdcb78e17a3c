"""Begins each worker of a private Ray session: Ray imports this module there before any work
(`preload_python_modules`), and that is all that it can be asked to do so early."""

from __future__ import annotations

from pipeline.garbage import look_for_garbage_seldom

look_for_garbage_seldom()
