/* What the runner says: one JSON object a line on stdout, and how it gives up. */
#ifndef RUNNER_REPORT_H
#define RUNNER_REPORT_H

#include <stddef.h>
#include <stdint.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_ISA = 3 };

/* A line is line_begin, any number of fields, line_end; line_end flushes it. */
void line_begin(const char *type);
void field_text(const char *key, const char *text); /* NULL prints null */
void field_integer(const char *key, int64_t value);
void field_decimal(const char *key, double value);
void field_null(const char *key);
void field_true(const char *key);
void field_times(const char *key, const uint64_t *ns, size_t count);                    /* [1,2,3] */
void field_table(const char *key, const uint64_t *values, size_t rows, size_t columns); /* [[1,2],[3,4]] */
void field_counts(const char *key, const char *const *names, const uint64_t *values, size_t count);
void line_end(void);

/* Prints an error line with one sentence and exits: EXIT_USAGE for the kind "usage", EXIT_ISA for "isa", else EXIT_FAILED. */
_Noreturn void fail(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
