#include "file.h"

#include "options.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* An open file of exactly `bytes`. */
static int open_sized(const char *kind, const char *path, size_t bytes, struct stat *status) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) fail(kind, "%s cannot be opened: %s", path, strerror(errno));
    if (fstat(file, status) != 0) fail(kind, "%s cannot be examined: %s", path, strerror(errno));
    if ((uint64_t)status->st_size != bytes)
        fail(kind, "%s has %llu bytes, and the model needs %zu", path, (unsigned long long)status->st_size, bytes);
    return file;
}

void *allocate(const char *purpose, size_t bytes) {
    size_t rounded = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, rounded);
    if (!memory) fail("memory", "%zu bytes for %s are not available", bytes, purpose);
    return memset(memory, 0xff, rounded);
}

void *read_input(const char *path, size_t bytes) {
    struct stat status;
    int file = open_sized("input", path, bytes, &status);
    char *content = allocate("an input", bytes);
    for (size_t done = 0; done < bytes;) {
        ssize_t got = read(file, content + done, bytes - done);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) fail("input", "%s cannot be read: %s", path, got < 0 ? strerror(errno) : "it became shorter");
        done += (size_t)got;
    }
    close(file);
    return content;
}

const void *map_weights(const char *path, size_t bytes) {
    static struct {
        dev_t device;
        ino_t inode;
        const void *memory;
    } mapped[MAX_VARIANTS];
    static size_t n_mapped;

    struct stat status;
    int file = open_sized("weights", path, bytes, &status);
    for (size_t i = 0; i < n_mapped; i++) {
        if (mapped[i].device != status.st_dev || mapped[i].inode != status.st_ino) continue;
        close(file);
        return mapped[i].memory;
    }
    /* Populated now, so that no timed run waits for the disk. */
    const void *memory = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (memory == MAP_FAILED) fail("weights", "%s cannot be mapped: %s", path, strerror(errno));
    close(file);
    mapped[n_mapped].device = status.st_dev;
    mapped[n_mapped].inode = status.st_ino;
    mapped[n_mapped++].memory = memory;
    return memory;
}

void make_folder(const char *path) {
    if (mkdir(path, 0777) != 0 && errno != EEXIST) fail("output", "%s cannot be created: %s", path, strerror(errno));
}

void write_file(const char *path, const void *content, size_t bytes) {
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) fail("output", "%s cannot be written: %s", path, strerror(errno));
    for (size_t done = 0; done < bytes;) {
        ssize_t put = write(file, (const char *)content + done, bytes - done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0)
            fail(errno == ENOSPC ? "disk_full" : "output", "%s cannot be written: %s", path, strerror(errno));
        done += (size_t)put;
    }
    if (close(file) != 0) fail("output", "%s cannot be written: %s", path, strerror(errno));
}
