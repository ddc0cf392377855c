/* A crew: parked threads that enter one SPMD function together. */
#ifndef FUSEKIT_CREW_H
#define FUSEKIT_CREW_H

#include "fusekit.h"

typedef struct fk_crew fk_crew;

/* Starts threads - 1 workers; the thread that calls fk_crew_run is thread 0.
 * With `cpus` (one CPU number per thread) every thread is pinned to its CPU, the calling thread included; with NULL
 * no affinity is changed. Returns NULL when a thread cannot be started or pinned. In the child of a fork() the crew
 * starts new, unpinned workers on its first run. */
fk_crew *fk_crew_create(int64_t threads, const int32_t *cpus);

/* Runs entry(call, t) on every thread t and returns when all have returned. `entry` sees the crew's own copy of
 * *call, with `barrier` set. A crew runs one call at a time: callers that share a crew take turns by a lock. */
void fk_crew_run(fk_crew *crew, fk_call *call, void (*entry)(fk_call *, int64_t));

/* Ends and joins the workers; no run may be in flight. NULL is allowed. */
void fk_crew_destroy(fk_crew *crew);

#endif
