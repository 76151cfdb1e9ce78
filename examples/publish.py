r"""Save a trained model of a recipe as a folder that `from_pretrained` reads, with its card.

    python examples/publish.py examples/recipes/esol.toml "masked + local" pretrained/esol \
        --data DATA

Takes the checkpoint that validation chose, of a run of `train.py` with the same --out and --seed,
tests the saved model once more, and writes what it reached, and how it is trained again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import comparison
import lightning as L
import optimization
import torch
from train import RECIPES, Recipe

import graphmask as gm
from graphmask._atomic import write_text

CARD = """# {title}

`{model}` of {parameters:,} parameters: the row "{row}", seed {seed}, of
`{recipe}`.

| | {score} |
|---|--:|
| validation, by which the epoch was chosen | {validation:.4f} |
| test | {test:.4f} |

The data are read, prepared and split by `examples/{example}.py`, with the options of the recipe.

```python
model = gm.nn.TopologicalTransformer.from_pretrained("{folder}")
```

Trained and written by

```sh
{train}
{publish}
```
"""


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """What is saved, and where."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("recipe", type=Path, help="file of a recipe")
    add("row", help="of its rows")
    add("folder", type=Path, help="of the saved model")
    add("--seed", type=int, default=0)
    add("--data", type=Path, help="folder of the data of all recipes (default: generated data)")
    add("--out", type=Path, default=Path("runs"), help="folder of checkpoints, as for train.py")
    add("--smoke", action="store_true", help="of a tiny run")
    return parser.parse_args(arguments)


def publish(options: argparse.Namespace) -> dict[str, float]:
    """Save the model of a run and return its scores."""
    recipe = Recipe.read(options.recipe)
    settings, problem = recipe.load(options.data, options.out, options.smoke)
    choice = recipe.choices(problem, settings)[options.row]
    L.seed_everything(options.seed, verbose=False)
    task, loaders = problem.make(options.row, choice, options.seed)
    run = comparison.folder_of(settings, problem.name, options.row, options.seed)
    checkpoint = torch.load(run / "best.ckpt", weights_only=False)
    task.load_state_dict(checkpoint["state_dict"])
    optimization.use_plain_dropout(task.model)
    task.model.save_pretrained(options.folder)
    task.model = gm.nn.TopologicalTransformer.from_pretrained(options.folder)
    trainer = L.Trainer(
        logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu"
    )
    L.seed_everything(loaders.seed, verbose=False)  # of votes
    score = trainer.validate(task, loaders, verbose=False)[0]["val"]
    L.seed_everything(loaders.seed, verbose=False)
    scores = {"validation": score, **trainer.test(task, loaders, verbose=False)[0]}
    write_text(options.folder / "README.md", write_card(recipe, options, task, scores))
    return scores


def write_card(
    recipe: Recipe,
    options: argparse.Namespace,
    task: L.LightningModule,
    scores: dict[str, float],
) -> str:
    """The card of a saved model."""
    path = f"examples/recipes/{recipe.name}.toml"
    inside = options.recipe.resolve().is_relative_to(RECIPES)
    path, data = path if inside else str(options.recipe), " --data DATA" if recipe.data else ""
    common = f"{path}{{}}{data} --out runs --seed{{}} {options.seed}"
    rows = f' --rows "{options.row}"'
    where = f' "{options.row}" {options.folder.as_posix()}'
    return CARD.format(
        title=recipe.title,
        model=type(task.model).__name__,
        parameters=sum(parameter.numel() for parameter in task.model.parameters()),
        row=options.row,
        recipe=path,
        seed=options.seed,
        score=recipe.score,
        example=recipe.example,
        folder=options.folder.as_posix(),
        train=f"python examples/train.py {common.format(rows, 's')}",
        publish=f"python examples/publish.py {common.format(where, '')}",
        **scores,
    )


if __name__ == "__main__":
    print(publish(parse()))
