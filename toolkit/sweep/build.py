"""From a recipe to its bundles, inputs and right answers, kept in the cache by the recipe's key.

cache/sweep/<key>/0, 1, …        a bundle a level and thread count
cache/sweep/<key>/reference.npz  the inputs and the answers to check by
"""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...cache import cache_dir
from ...errors import UserError
from ..reference import Arrays, read_reference, reference_file, reference_outputs, seeded_inputs
from ..zoo_model import model_path
from .job import Recipe
from .plan import compiler_hash, model_sha256

if TYPE_CHECKING:
    from ...compiler.bundle import Bundle

_REFERENCE = "reference.npz"


@dataclass(frozen=True)
class Build:
    """What a recipe comes to: bundles in the order of levels within thread counts, one set of inputs and answers."""

    bundles: tuple[Bundle, ...]
    feeds: Arrays
    want: Arrays

    @property
    def hashes(self) -> tuple[str, ...]:
        return tuple(bundle.manifest.hash for bundle in self.bundles)


class CompilerDied(Exception):
    """A compiling process ended without a word to its user: a signal, or an error of fusekit's own."""


def obtain(recipe: Recipe, files: Mapping[str, bytes] | None = None) -> Build:
    """The build of a recipe, from the cache or from a process that compiles it.

    `files` are the model's, the first its own, where `recipe.model` may not be on this machine. A process of its own, so
    that a crash or a lack of memory costs one recipe. Raises UserError where the model does not compile or is another
    by now, and CompilerDied.
    """
    found = _cached(recipe)
    if found is not None:
        return found
    if files is None:
        _compile_elsewhere(recipe)
    else:
        with tempfile.TemporaryDirectory(prefix="fusekit-sweep-") as folder:
            for name, content in files.items():
                file = Path(folder, name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            recipe = replace(recipe, model=str(Path(folder, next(iter(files)))))
            _compile_elsewhere(recipe)
    built = _cached(recipe)
    assert built is not None
    return built


def folder_of(recipe: Recipe) -> Path:
    """Where the build of a recipe is kept."""
    return cache_dir() / "sweep" / recipe.key


def _cached(recipe: Recipe) -> Build | None:
    from ...compiler.bundle import Bundle

    folder = folder_of(recipe)
    if not folder.is_dir():
        return None
    try:
        seen: dict[bytes, bytes] = {}
        bundles = []
        for number in range(len(recipe.fusions) * len(recipe.threads)):
            bundle = Bundle.read(folder / str(number))
            # Levels with the same packing have the same weights: they are in memory once.
            bundles.append(replace(bundle, files={n: seen.setdefault(b, b) for n, b in bundle.files.items()}))
        return Build(tuple(bundles), *read_reference(folder / _REFERENCE, bundles[0].manifest))
    except UserError:
        shutil.rmtree(folder, ignore_errors=True)  # damaged: it is made again
        return None


def _compile_elsewhere(recipe: Recipe) -> None:
    from ...compiler.kernel_cache import worker_environment

    done = subprocess.run(
        [sys.executable, "-P", "-m", f"{__package__}.build"],
        input=pickle.dumps(recipe),
        capture_output=True,
        env=worker_environment(),
        check=False,
    )
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == 2:
        raise UserError(said)
    if done.returncode < 0:
        raise CompilerDied(
            f"the process that compiled {recipe.name} for {recipe.target} died of signal {-done.returncode}"
        )
    if done.returncode:
        raise CompilerDied(said or f"the process that compiled {recipe.name} ended with {done.returncode}")


def compile_into_cache(recipe: Recipe) -> None:
    """Compile every variant of a recipe and ask the reference; the folder appears whole or not at all."""
    from ...compiler.compile import Options, compile_model

    if recipe.compiler != compiler_hash():
        raise UserError(
            f"this machine's compiler is {compiler_hash()} where the sweep was planned with {recipe.compiler}: install "
            f"the same fusekit on every worker"
        )
    if model_sha256(recipe.model) != recipe.model_sha256:
        raise UserError(f"model {recipe.model} has changed since the sweep was planned: start it again")
    final = folder_of(recipe)
    final.parent.mkdir(parents=True, exist_ok=True)
    with (
        model_path(recipe.model) as path,
        tempfile.TemporaryDirectory(dir=final.parent, prefix=".part-", ignore_cleanup_errors=True) as part,
    ):
        manifests = []
        for number, (threads, fusion) in enumerate(
            (threads, fusion) for threads in recipe.threads for fusion in recipe.fusions
        ):
            options = Options(
                recipe.target, fusion, threads, recipe.bands, dict(recipe.shapes), recipe.winograd
            )
            bundle = compile_model(path, options)
            bundle.write(Path(part, str(number)))
            manifests.append(bundle.manifest)
        feeds = seeded_inputs(manifests[0], recipe.seed)
        answers = reference_file(manifests[0], feeds, reference_outputs(path, feeds))
        Path(part, _REFERENCE).write_bytes(answers)
        try:
            Path(part).rename(final)
        except OSError:
            if not final.is_dir():  # else another process has just made the same
                raise


def main() -> None:
    """Compile the pickled recipe on standard input; exit code 2 and one line for what a user has to mend."""
    try:
        compile_into_cache(pickle.load(sys.stdin.buffer))
    except UserError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
