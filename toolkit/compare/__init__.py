"""fusekit beside other engines on this machine: a worker process each, in turn, every answer checked first."""
