#include "host.h"

#include "report.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* The file's first line into `line`, or false. */
static bool read_line(const char *path, char *line, int size) {
    FILE *file = fopen(path, "r");
    if (!file) return false;
    bool found = fgets(line, size, file) != NULL;
    fclose(file);
    if (found) line[strcspn(line, "\n")] = '\0';
    return found;
}

/* The value of the first "key : value" in /proc/cpuinfo, or false. */
static bool read_cpuinfo(const char *key, char *value, size_t size) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(value, size, "%s", colon + 1 + strspn(colon + 1, " "));
        found = true;
    }
    fclose(file);
    return found;
}

#if defined(__aarch64__)
static const char arch[] = "aarch64";

static bool read_cpu_part(char *part, size_t size) {
    const unsigned long hwcap_cpuid = 1UL << 11; /* the kernel answers reads of the identification registers */
    if (!(getauxval(AT_HWCAP) & hwcap_cpuid)) return read_cpuinfo("CPU part", part, size);
    uint64_t midr;
    __asm__("mrs %0, midr_el1" : "=r"(midr));
    snprintf(part, size, "0x%03x", (unsigned)(midr >> 4 & 0xfff));
    return true;
}
#else
static const char arch[] = "x86_64";

static bool read_cpu_part(char *part, size_t size) { return read_cpuinfo("model name", part, size); }
#endif

/* The Raspberry Pi firmware's throttle bits, as `vcgencmd get_throttled` tells them: bit 0 under-voltage now, 1 clock
 * capped, 2 throttled, 3 soft temperature limit; 16 to 19 the same since boot. From sysfs where the kernel has it, else
 * by the mailbox's property interface (tag 0x00030046), which the group `video` may use. */
static bool read_throttled(char *text, size_t size) {
    char line[32];
    if (read_line("/sys/devices/platform/soc/soc:firmware/get_throttled", line, sizeof line)) {
        snprintf(text, size, "0x%lx", strtoul(line, NULL, 16));
        return true;
    }
    int mailbox = open("/dev/vcio", O_RDONLY | O_CLOEXEC);
    if (mailbox < 0) return false;
    uint32_t message[8] = {sizeof message, 0, 0x00030046, 4, 0, 0, 0, 0};
    bool answered = ioctl(mailbox, _IOWR(100, 0, char *), message) >= 0 && message[1] == 0x80000000;
    close(mailbox);
    if (answered) snprintf(text, size, "0x%x", message[5]);
    return answered;
}

static void field_number_from(const char *key, const char *path) {
    char line[64];
    if (read_line(path, line, sizeof line)) field_integer(key, strtoll(line, NULL, 10));
    else field_null(key);
}

void describe_host(const char *type, int32_t cpu) {
    char path[128], text[256];
    line_begin(type);
    field_text("arch", arch);
    field_text("cpu_part", read_cpu_part(text, sizeof text) ? text : NULL);
    field_integer("n_cpus", sysconf(_SC_NPROCESSORS_ONLN));
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", (int)cpu);
    field_text("governor", read_line(path, text, sizeof text) ? text : NULL);
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq", (int)cpu);
    field_number_from("freq_khz", path);
    field_number_from("temp_mc", "/sys/class/thermal/thermal_zone0/temp");
    field_text("throttled", read_throttled(text, sizeof text) ? text : NULL);
    if (read_line("/proc/loadavg", text, sizeof text)) field_decimal("load1", strtod(text, NULL));
    else field_null("load1");
    line_end();
}
