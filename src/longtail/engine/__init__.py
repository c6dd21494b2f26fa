"""Stage, build, loop, runner, handover, checkpoint, optimisers, ranks."""
