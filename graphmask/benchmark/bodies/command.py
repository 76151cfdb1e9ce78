"""``graphmask bench --bodies``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graphmask._console import checked, make_fact_table, split
from graphmask.benchmark.options import Common, collect, given, limited, split_sizes
from graphmask.benchmark.page import Chart
from graphmask.benchmark.scenes import TORUS, mesh_scene

from .bodies import BODIES, find_bodies
from .report import print_report
from .study import Race, run

_CHARTS = (
    Chart("Forward", "body", "forward_s", ("operation",), ("graph", "nodes"), unit="ms", scale=1e3),
    Chart(
        "Forward and backward",
        "body",
        "forward_backward_s",
        ("operation",),
        ("graph", "nodes"),
        unit="ms",
        scale=1e3,
    ),
)


def run_bodies(
    common: Common,
    nodes: str,
    only: str,
    meshes: Sequence[Path],
    time_limit: float | None,
    repeats: int | None,
) -> bool:
    """Compare, print and write; whether the run came to its end."""
    chosen = checked("--only", lambda: find_bodies(split(only))) if only else BODIES
    scenes = checked("--mesh", lambda: [mesh_scene(path) for path in meshes])
    sizes = checked("--nodes", lambda: split_sizes(nodes)) if nodes else Race.nodes
    limits = given(time_limit=time_limit, rounds=repeats)
    race = checked(
        "options",
        lambda: Race(
            chosen, sizes, (*scenes, TORUS), device=common.device, seed=common.seed, **limits
        ),
    )
    told = {
        "nodes": race.nodes,
        "graphs": {scene.name: scene.about for scene in race.scenes},
        "bodies": {body.name: body.about for body in chosen},
        "rounds": race.rounds,
        "time_limit": race.time_limit,
    }
    _ = common.machine
    with limited(common.threads):
        found, complete = collect(
            lambda progress: run(race, progress), lambda found: common.write(found, told)
        )
    if found:
        console = common.report("graphmask bench --bodies")
        print_report(console, found, chosen)
        console.print(make_fact_table("Machine", common.machine))
        console.write([each.row() for each in found], _CHARTS)
    return complete
