"""``graphmask bench --compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graphmask._console import checked, make_fact_table, split
from graphmask.benchmark.options import Common, collect, given, limited, split_sizes
from graphmask.benchmark.page import Chart
from graphmask.benchmark.scenes import MOLECULES, TORUS, mesh_scene, molecule_scene, reordered

from .comparisons import COMPARISONS, find_comparisons
from .report import print_report
from .study import Match, run

_CHARTS = (
    Chart(
        "Time of ours over theirs",
        "comparison",
        "ratio",
        ("graph",),
        ("nodes",),
        unit="ratio, below 1 ours is faster",
    ),
    Chart(
        "Time of ours over theirs, by nodes",
        "nodes",
        "ratio",
        ("comparison",),
        ("graph",),
        unit="ratio",
    ),
)


def run_comparisons(
    common: Common,
    nodes: str,
    only: str,
    meshes: Sequence[Path],
    molecules: Path | None,
    time_limit: float | None,
    repeats: int | None,
) -> bool:
    """Compare, print and write; whether the run came to its end."""
    chosen = checked("--only", lambda: find_comparisons(split(only))) if only else COMPARISONS
    scenes = [*checked("--mesh", lambda: [mesh_scene(path) for path in meshes]), TORUS]
    scenes = [order for scene in scenes for order in (scene, reordered(scene))]
    batch = (
        MOLECULES
        if molecules is None
        else checked("--molecules", lambda: molecule_scene(molecules))
    )
    sizes = checked("--nodes", lambda: split_sizes(nodes)) if nodes else Match.nodes
    limits = given(time_limit=time_limit, rounds=repeats)
    match = checked(
        "options",
        lambda: Match(
            chosen, sizes, scenes, batch, device=common.device, seed=common.seed, **limits
        ),
    )
    told = {
        "nodes": match.nodes,
        "graphs": {scene.name: scene.about for scene in (*match.scenes, match.molecules)},
        "comparisons": {each.name: each.about for each in chosen},
        "rounds": match.rounds,
        "time_limit": match.time_limit,
    }
    _ = common.machine
    with limited(common.threads):
        found, complete = collect(
            lambda progress: run(match, progress), lambda found: common.write(found, told)
        )
    if found:
        console = common.report("graphmask bench --compare")
        print_report(console, found, chosen)
        console.print(
            make_fact_table(
                "Graphs", {scene.name: scene.about for scene in (*match.scenes, match.molecules)}
            )
        )
        console.print(make_fact_table("Machine", common.machine))
        console.write([each.row() for each in found], _CHARTS)
    return complete
