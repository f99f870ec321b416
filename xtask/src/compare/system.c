// The operating system of a compared process, loaded with LD_PRELOAD: what differs from run to run
// is answered the same in every run.
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

// The clock of all processes stands still. Waiting goes by another clock, which runs.
int clock_gettime(clockid_t clock, struct timespec *out) {
    char *seconds = getenv("COMPARE_CLOCK");
    if (clock != CLOCK_REALTIME || !seconds) return (int)syscall(SYS_clock_gettime, clock, out);
    out->tv_sec = atoll(seconds);
    out->tv_nsec = 0;
    return 0;
}

// A ledger names the program that keeps it: every program is taken for this file.
ssize_t readlink(const char *path, char *out, size_t length) {
    char *program = getenv("COMPARE_PROGRAM");
    if (!program || strcmp(path, "/proc/self/exe")) {
        return syscall(SYS_readlink, path, out, length);
    }
    size_t needed = strlen(program);
    if (needed > length) needed = length;
    memcpy(out, program, needed);
    return (ssize_t)needed;
}

static atomic_ulong ids;
static __thread unsigned long id;

// A device asks for 32 bytes (rounding and noise), then 16 (contribution id), then 32 (mask). Noise
// is the same for all. The n-th id is n, and the mask follows from it, so that a round has the same
// ids and the same masks whichever device came first. Keys of rounds and names of ledgers are 32
// bytes too. Requests of other lengths or with flags (hash maps) are the kernel's.
ssize_t getrandom(void *out, size_t length, unsigned flags) {
    if (!getenv("COMPARE_RANDOM") || flags || (length != 16 && length != 32)) {
        return syscall(SYS_getrandom, out, length, flags);
    }
    memset(out, 0x5a, length);
    if (length == 16) id = atomic_fetch_add(&ids, 1) + 1;
    if (id) memcpy(out, &id, sizeof id);
    if (length == 32) id = 0;
    return (ssize_t)length;
}
