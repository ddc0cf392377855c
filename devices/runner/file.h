/* Files in, files out; every function fails with a sentence that names the file. */
#ifndef RUNNER_FILE_H
#define RUNNER_FILE_H

#include <stddef.h>

enum { ALIGNMENT = 64 };

/* 64-byte aligned memory of at least `bytes`, every byte 0xff (float NaN): a model that reads what it never wrote, or
 * leaves an output unwritten, gives a wrong answer every time instead of now and then. */
void *allocate(const char *purpose, size_t bytes);

/* The whole file, which must have exactly `bytes`. Kinds: "input" */
void *read_input(const char *path, size_t bytes);

/* The file mapped read-only, which must have exactly `bytes`; one mapping however often the file is asked for.
 * Kind: "weights" */
const void *map_weights(const char *path, size_t bytes);

/* Creates the folder unless it is there. Kind: "output" */
void make_folder(const char *path);

/* Kinds: "output", or "disk_full" */
void write_file(const char *path, const void *content, size_t bytes);

#endif
