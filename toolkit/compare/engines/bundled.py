"""fusekit on a board: a bundle that the host compiled, run in process as a Python caller would."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine import Job, Run


@dataclass(frozen=True)
class Bundled:
    """A bundle whose files lie beside the model, by their names there."""

    manifest: str
    code: str
    weights: str
    modules = ("fusekit.compiler.bundle", "fusekit.toolkit.model")
    distributions = ()

    def load(self, job: Job) -> Run:
        from ....compiler.bundle import Bundle, Manifest
        from ...model import Model

        folder = job.model.parent
        manifest = Manifest.from_json((folder / self.manifest).read_bytes())
        bundle = Bundle(manifest, {"model.so": (folder / self.code).read_bytes(), "weights.bin": b""})
        model = Model(bundle, weights_path=folder / self.weights)
        return lambda: list(model.run(job.feeds).values())
