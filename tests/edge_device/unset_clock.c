/* A wall clock as on a Raspberry Pi without a clock battery, for one process (LD_PRELOAD): it counts
 * from 1970 and is unsynchronised until the file named by HEMOWIRE_TEST_CLOCK_SET appears.
 * Monotonic clocks are left alone. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static int is_set(void)
{
    const char *path = getenv("HEMOWIRE_TEST_CLOCK_SET");
    return path != NULL && access(path, F_OK) == 0;
}

int clock_gettime(clockid_t id, struct timespec *at)
{
    static time_t start;
    int code = syscall(SYS_clock_gettime, id, at);
    if (code == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) && !is_set()) {
        if (start == 0)
            start = at->tv_sec - 60; /* the device has been up for a minute */
        at->tv_sec -= start;
    }
    return code;
}

time_t time(time_t *out)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    if (out != NULL)
        *out = at.tv_sec;
    return at.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec at;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &at);
    out->tv_sec = at.tv_sec;
    out->tv_usec = at.tv_nsec / 1000;
    return 0;
}

int adjtimex(struct timex *facts)
{
    (void)facts;
    return is_set() ? TIME_OK : TIME_ERROR;
}
