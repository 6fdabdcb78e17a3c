"""Python imports this as it starts, in each process of a test that `python_path` was given to: it
looks for garbage seldom.

A suite starts Python some hundred times, for Ray, for Prefect, for our command, and each of them
walked again and again through what its imports make and keep: an eighth of the processor time.
"""

import gc

gc.set_threshold(40_000, 20, 50)
