#include "isa.h"

#include "report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum { PRESENT, ABSENT, UNKNOWN } presence;

#if defined(__aarch64__)

#include <sys/auxv.h>

/* The names' positions are the bits of AT_HWCAP and AT_HWCAP2: Linux, arch/arm64/include/uapi/asm/hwcap.h. */
static const char *const hwcap[] = {
    "fp", "asimd", "evtstrm", "aes", "pmull", "sha1", "sha2", "crc32", "atomics", "fphp", "asimdhp",
    "cpuid", "asimdrdm", "jscvt", "fcma", "lrcpc", "dcpop", "sha3", "sm3", "sm4", "asimddp", "sha512",
    "sve", "asimdfhm", "dit", "uscat", "ilrcpc", "flagm", "ssbs", "sb", "paca", "pacg",
};
static const char *const hwcap2[] = {
    "dcpodp", "sve2", "sveaes", "svepmull", "svebitperm", "svesha3", "svesm4", "flagm2", "frint", "svei8mm",
    "svef32mm", "svef64mm", "svebf16", "i8mm", "bf16", "dgh", "rng", "bti", "mte", "ecv", "afp", "rpres", "mte3",
    "sme", "smei16i64", "smef64f64", "smei8i32", "smef16f32", "smeb16f32", "smef32f32", "smefa64", "wfxt", "ebf16",
    "sveebf16", "cssc", "rprfm", "sve2p1",
};

static presence look_up(const char *name) {
    for (size_t bit = 0; bit < sizeof hwcap / sizeof *hwcap; bit++)
        if (strcmp(name, hwcap[bit]) == 0) return getauxval(AT_HWCAP) >> bit & 1 ? PRESENT : ABSENT;
    for (size_t bit = 0; bit < sizeof hwcap2 / sizeof *hwcap2; bit++)
        if (strcmp(name, hwcap2[bit]) == 0) return getauxval(AT_HWCAP2) >> bit & 1 ? PRESENT : ABSENT;
    return UNKNOWN;
}

#elif defined(__x86_64__)

#include <cpuid.h>

typedef enum { EAX, EBX, ECX, EDX } cpuid_register;
typedef enum { NO_STATE = 0, YMM_STATE = 0x6, ZMM_STATE = 0xe6, TILE_STATE = 0x60000 } os_state; /* bits of XCR0 */

/* Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2A, CPUID; AMD64 Architecture Programmer's
 * Manual, volume 3, appendix E. Features with registers of their own also need the kernel to save them. */
static const struct {
    const char *name;
    uint32_t leaf, subleaf;
    cpuid_register where;
    uint32_t bit;
    os_state state;
} features[] = {
    {"fpu", 1, 0, EDX, 0, NO_STATE},
    {"cx8", 1, 0, EDX, 8, NO_STATE},
    {"cmov", 1, 0, EDX, 15, NO_STATE},
    {"mmx", 1, 0, EDX, 23, NO_STATE},
    {"fxsr", 1, 0, EDX, 24, NO_STATE},
    {"sse", 1, 0, EDX, 25, NO_STATE},
    {"sse2", 1, 0, EDX, 26, NO_STATE},
    {"pni", 1, 0, ECX, 0, NO_STATE},
    {"pclmulqdq", 1, 0, ECX, 1, NO_STATE},
    {"ssse3", 1, 0, ECX, 9, NO_STATE},
    {"fma", 1, 0, ECX, 12, YMM_STATE},
    {"cx16", 1, 0, ECX, 13, NO_STATE},
    {"sse4_1", 1, 0, ECX, 19, NO_STATE},
    {"sse4_2", 1, 0, ECX, 20, NO_STATE},
    {"movbe", 1, 0, ECX, 22, NO_STATE},
    {"popcnt", 1, 0, ECX, 23, NO_STATE},
    {"aes", 1, 0, ECX, 25, NO_STATE},
    {"xsave", 1, 0, ECX, 26, NO_STATE},
    {"avx", 1, 0, ECX, 28, YMM_STATE},
    {"f16c", 1, 0, ECX, 29, YMM_STATE},
    {"rdrand", 1, 0, ECX, 30, NO_STATE},
    {"bmi1", 7, 0, EBX, 3, NO_STATE},
    {"avx2", 7, 0, EBX, 5, YMM_STATE},
    {"bmi2", 7, 0, EBX, 8, NO_STATE},
    {"avx512f", 7, 0, EBX, 16, ZMM_STATE},
    {"avx512dq", 7, 0, EBX, 17, ZMM_STATE},
    {"adx", 7, 0, EBX, 19, NO_STATE},
    {"avx512ifma", 7, 0, EBX, 21, ZMM_STATE},
    {"avx512er", 7, 0, EBX, 27, ZMM_STATE},
    {"avx512cd", 7, 0, EBX, 28, ZMM_STATE},
    {"sha_ni", 7, 0, EBX, 29, NO_STATE},
    {"avx512bw", 7, 0, EBX, 30, ZMM_STATE},
    {"avx512vl", 7, 0, EBX, 31, ZMM_STATE},
    {"avx512vbmi", 7, 0, ECX, 1, ZMM_STATE},
    {"avx512_vbmi2", 7, 0, ECX, 6, ZMM_STATE},
    {"gfni", 7, 0, ECX, 8, NO_STATE},
    {"vaes", 7, 0, ECX, 9, YMM_STATE},
    {"vpclmulqdq", 7, 0, ECX, 10, YMM_STATE},
    {"avx512_vnni", 7, 0, ECX, 11, ZMM_STATE},
    {"avx512_bitalg", 7, 0, ECX, 12, ZMM_STATE},
    {"avx512_vpopcntdq", 7, 0, ECX, 14, ZMM_STATE},
    {"amx_bf16", 7, 0, EDX, 22, TILE_STATE},
    {"avx512_fp16", 7, 0, EDX, 23, ZMM_STATE},
    {"amx_tile", 7, 0, EDX, 24, TILE_STATE},
    {"amx_int8", 7, 0, EDX, 25, TILE_STATE},
    {"avx_vnni", 7, 1, EAX, 4, YMM_STATE},
    {"avx512_bf16", 7, 1, EAX, 5, ZMM_STATE},
    {"lahf_lm", 0x80000001, 0, ECX, 0, NO_STATE},
    {"abm", 0x80000001, 0, ECX, 5, NO_STATE},
    {"sse4a", 0x80000001, 0, ECX, 6, NO_STATE},
};

static uint32_t saved_state(void) {
    uint32_t eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx >> 27 & 1)) return 0; /* no OSXSAVE: XGETBV would trap */
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax;
}

static presence look_up(const char *name) {
    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (strcmp(name, features[i].name) != 0) continue;
        uint32_t r[4];
        if (!__get_cpuid_count(features[i].leaf, features[i].subleaf, &r[EAX], &r[EBX], &r[ECX], &r[EDX])) return ABSENT;
        bool by_cpu = r[features[i].where] >> features[i].bit & 1;
        bool by_kernel = (saved_state() & features[i].state) == features[i].state;
        return by_cpu && by_kernel ? PRESENT : ABSENT;
    }
    return UNKNOWN;
}

#endif

void require_features(const char *wanted, const char *needed_by) {
    for (const char *name = wanted; *name;) {
        size_t length = strcspn(name, ",");
        char one[64] = "";
        if (length >= sizeof one) fail("isa", "%s names a CPU feature of %zu characters", needed_by, length);
        memcpy(one, name, length);
        switch (length ? look_up(one) : PRESENT) {
        case ABSENT: fail("isa", "this CPU lacks %s, which %s needs", one, needed_by);
        case UNKNOWN: fail("isa", "this runner does not know the CPU feature '%s', which %s needs", one, needed_by);
        case PRESENT: break;
        }
        name += length + (name[length] == ',');
    }
}
