"""Stage, build, loop, runner, handover, checkpoint, optimisers, ranks.

What describes a recipe is here and imports no torch; the machine that runs it is in the modules:
:mod:`longtail.engine.runner` (``fit``, ``RunConfig``), :mod:`longtail.engine.run` (``Run``,
``load_run``), :mod:`longtail.engine.loop`.
"""

from longtail.engine.stage import Recipe, Stage, make_recipe, recipe

__all__ = ["Recipe", "Stage", "make_recipe", "recipe"]
