/* Numbers below the normal range. */
#ifndef RUNNER_DENORMALS_H
#define RUNNER_DENORMALS_H

/* Makes them zero, as operands and as results, for this thread and those that it starts: some CPUs compute with them a hundred times as slowly,
 * and a tail of zeros is as good an answer. */
void flush_denormals(void);

#endif
