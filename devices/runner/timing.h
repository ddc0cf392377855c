/* Times: whole runs of the variants in turn, and the steps within one. */
#ifndef RUNNER_TIMING_H
#define RUNNER_TIMING_H

#include "variant.h"

/* Each round visits every variant, forward in even rounds and backward in odd ones, so that a machine that warms up or
 * slows down does so for all of them alike. Prints one "samples" line a visit. */
void time_rounds(const options *o, const variant *variants, size_t count);

/* Times each step in each of o->profile runs, a few runs at a visit and the variants in turn as above. Prints one "steps"
 * line a visit. */
void profile_steps(const options *o, const variant *variants, size_t count);

#endif
