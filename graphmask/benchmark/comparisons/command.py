"""``graphmask bench --compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from graphmask.benchmark.options import Common, checked, collect, given, limited, split, split_sizes
from graphmask.benchmark.report import make_console, make_fact_table
from graphmask.benchmark.scenes import MOLECULES, TORUS, mesh_scene, molecule_scene, reordered

from .comparisons import COMPARISONS, find_comparisons
from .report import print_report
from .study import Match, run


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
    batch = MOLECULES if molecules is None else checked("--molecules", lambda: molecule_scene(molecules))
    sizes = checked("--nodes", lambda: split_sizes(nodes)) if nodes else Match.nodes
    limits = given(time_limit=time_limit, rounds=repeats)
    match = checked(
        "options",
        lambda: Match(chosen, sizes, scenes, batch, device=common.device, seed=common.seed, **limits),
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
        found, complete = collect(lambda progress: run(match, progress), lambda found: common.write(found, told))
    if found:
        console = make_console()
        print_report(console, found, chosen)
        console.print(make_fact_table("Graphs", {scene.name: scene.about for scene in (*match.scenes, match.molecules)}))
        console.print(make_fact_table("Machine", common.machine))
    return complete
