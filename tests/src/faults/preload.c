/* What a test does to a node's disk and clock: loaded into the node by LD_PRELOAD.
 *
 * It stands between the node (RocksDB included) and the C library, and does what a page of memory
 * says that the test writes while the node runs (see preload.rs for its layout):
 *   - fsync, fdatasync, sync_file_range: late by so many milliseconds, or failing;
 *   - write, pwrite, writev, pwritev to regular files: failing;
 *   - clock_gettime(CLOCK_REALTIME), gettimeofday, time: wrong by so many milliseconds.
 * Without SYMBOLON_FAULTS_PAGE in the environment it changes nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct page {
    _Atomic int64_t clock_ms;
    _Atomic int64_t sync_delay_ms;
    _Atomic int64_t sync_errno;
    _Atomic int64_t write_errno;
};

static struct page nothing;
static struct page *page = &nothing;

__attribute__((constructor)) static void find_page(void) {
    const char *path = getenv("SYMBOLON_FAULTS_PAGE");
    if (path == NULL) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) abort();
    void *mapped = mmap(NULL, sizeof(struct page), PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) abort();
    close(fd);
    page = mapped;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static int before_sync(void) {
    int64_t ms = atomic_load(&page->sync_delay_ms);
    if (ms > 0) {
        struct timespec pause = {ms / 1000, (ms % 1000) * 1000000};
        nanosleep(&pause, NULL);
    }
    errno = (int)atomic_load(&page->sync_errno);
    return errno == 0 ? 0 : -1;
}

int fsync(int fd) {
    REAL(fsync);
    return before_sync() != 0 ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return before_sync() != 0 ? -1 : real(fd);
}

int sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags) {
    REAL(sync_file_range);
    return before_sync() != 0 ? -1 : real(fd, offset, count, flags);
}

/* Sockets and pipes go on: a broken disk does not mute a node. */
static int before_write(int fd) {
    int error = (int)atomic_load(&page->write_errno);
    if (error == 0) return 0;
    struct stat what;
    if (fd <= 2 || fstat(fd, &what) != 0 || !S_ISREG(what.st_mode)) return 0;
    errno = error;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    return before_write(fd) != 0 ? -1 : real(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    return before_write(fd) != 0 ? -1 : real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    return before_write(fd) != 0 ? -1 : real(fd, bytes, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    return before_write(fd) != 0 ? -1 : real(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(pwritev);
    return before_write(fd) != 0 ? -1 : real(fd, parts, count, offset);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        int64_t ms = atomic_load(&page->clock_ms);
        int64_t ns = now->tv_nsec + ms % 1000 * 1000000;
        now->tv_sec += ms / 1000;
        if (ns < 0) {
            ns += 1000000000;
            now->tv_sec -= 1;
        }
        if (ns >= 1000000000) {
            ns -= 1000000000;
            now->tv_sec += 1;
        }
        now->tv_nsec = ns;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (where != NULL) *where = precise.tv_sec;
    return precise.tv_sec;
}
