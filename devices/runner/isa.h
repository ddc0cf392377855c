/* Which instruction sets this CPU and kernel offer. */
#ifndef RUNNER_ISA_H
#define RUNNER_ISA_H

/* Fails with the kind "isa" unless the CPU has every feature of the comma-separated list `features` (named as in
 * /proc/cpuinfo). `needed_by` names the model in the message. */
void require_features(const char *features, const char *needed_by);

#endif
