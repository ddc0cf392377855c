#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_string(const char *text) {
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') printf("\\%c", *c);
        else if (*c < 0x20 || *c >= 0x7f) printf("\\u%04x", *c); /* file names need not be UTF-8; JSON must be */
        else putchar(*c);
    }
    putchar('"');
}

static void print_key(const char *key) {
    putchar(',');
    print_string(key);
    putchar(':');
}

static void print_array(const uint64_t *values, size_t count) {
    putchar('[');
    for (size_t i = 0; i < count; i++) printf("%s%" PRIu64, i ? "," : "", values[i]);
    putchar(']');
}

void line_begin(const char *type) {
    printf("{\"type\":");
    print_string(type);
}

void field_text(const char *key, const char *text) {
    if (!text) {
        field_null(key);
        return;
    }
    print_key(key);
    print_string(text);
}

void field_integer(const char *key, int64_t value) {
    print_key(key);
    printf("%" PRId64, value);
}

void field_decimal(const char *key, double value) {
    print_key(key);
    printf("%.2f", value);
}

void field_null(const char *key) {
    print_key(key);
    printf("null");
}

void field_true(const char *key) {
    print_key(key);
    printf("true");
}

void field_times(const char *key, const uint64_t *ns, size_t count) {
    print_key(key);
    print_array(ns, count);
}

void field_table(const char *key, const uint64_t *values, size_t rows, size_t columns) {
    print_key(key);
    putchar('[');
    for (size_t row = 0; row < rows; row++) {
        if (row) putchar(',');
        print_array(values + row * columns, columns);
    }
    putchar(']');
}

void field_counts(const char *key, const char *const *names, const uint64_t *values, size_t count) {
    print_key(key);
    for (size_t i = 0; i < count; i++) {
        putchar(i ? ',' : '{');
        print_string(names[i]);
        printf(":%" PRIu64, values[i]);
    }
    putchar('}');
}

void line_end(void) {
    printf("}\n");
    /* A line that cannot be delivered leaves no one to report to; the exit status still says so. */
    if (fflush(stdout) != 0) exit(EXIT_FAILED);
}

void fail(const char *kind, const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    line_begin("error");
    field_text("kind", kind);
    field_text("message", message);
    line_end();
    exit(strcmp(kind, "usage") == 0 ? EXIT_USAGE : strcmp(kind, "isa") == 0 ? EXIT_ISA : EXIT_FAILED);
}
