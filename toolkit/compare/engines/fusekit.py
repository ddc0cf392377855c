"""fusekit itself, compiled and run in process as a Python caller would."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine import Job, Run


@dataclass(frozen=True)
class Fusekit:
    """One fusion level; the bundle, or else its kernels, come from the cache where they were compiled before."""

    fusion: str
    modules = ("fusekit.toolkit.api", "fusekit.toolkit.bundle_cache", "fusekit.toolkit.zoo_model")
    distributions = ()

    def load(self, job: Job) -> Run:
        from ...api import compile, load

        shapes = {name: array.shape for name, array in job.feeds.items()}
        model = load(compile(job.model, fusion=self.fusion, threads=job.threads, shapes=shapes))
        return lambda: list(model.run(job.feeds).values())
