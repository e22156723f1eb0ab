/* A library to preload that lets the n-th change of a file fail, or ends the process there.
 *
 * It counts write, pwrite, fsync, fdatasync, ftruncate and rename calls on files whose path begins
 * with one of the prefixes it was armed with; SQLite's own are among them, for it calls the C library
 * like everybody else. Pure forwarding until it is armed. Linux only: it asks /proc for paths.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { MAX_PREFIXES = 4, MAX_PATH = 4096 };

enum fault_kind { FAULT_KILL = -1, FAULT_TORN_KILL = -2 }; /* else: an errno */

static struct {
    int is_armed;
    int kind;
    int is_lasting; /* every call from the n-th on fails, not only the n-th */
    long at;
    long count;
    long fired;
    char last[32];
    char prefixes[MAX_PREFIXES][MAX_PATH];
} state;

void disk_faults_arm(int kind, long at, int is_lasting, const char *prefixes);
void disk_faults_disarm(void);
long disk_faults_count(void);
long disk_faults_fired(void);
const char *disk_faults_call(void);

/* prefixes: separated by line ends. */
void disk_faults_arm(int kind, long at, int is_lasting, const char *prefixes) {
    memset(&state, 0, sizeof state);
    for (int i = 0; i < MAX_PREFIXES && *prefixes; i++) {
        size_t length = strcspn(prefixes, "\n");
        if (length < MAX_PATH) memcpy(state.prefixes[i], prefixes, length);
        prefixes += length + (prefixes[length] == '\n');
    }
    state.kind = kind;
    state.at = at;
    state.is_lasting = is_lasting;
    state.is_armed = 1;
}

void disk_faults_disarm(void) { state.is_armed = 0; }

long disk_faults_count(void) { return state.count; }

long disk_faults_fired(void) { return state.fired; }

const char *disk_faults_call(void) { return state.last; }

static int is_ours(const char *path) {
    for (int i = 0; i < MAX_PREFIXES && state.prefixes[i][0]; i++)
        if (!strncmp(path, state.prefixes[i], strlen(state.prefixes[i]))) return 1;
    return 0;
}

static int is_our_file(int fd) {
    char link[64], path[MAX_PATH];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_ours(path);
}

/* What becomes of this call: 0 = nothing happens to it, else the errno; may not return. */
static int fault(const char *call) {
    long number = __atomic_add_fetch(&state.count, 1, __ATOMIC_SEQ_CST);
    int is_hit = state.at && (state.is_lasting ? number >= state.at : number == state.at);
    if (!is_hit) return 0;
    __atomic_add_fetch(&state.fired, 1, __ATOMIC_SEQ_CST);
    snprintf(state.last, sizeof state.last, "%s", call);
    if (state.kind == FAULT_KILL) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    return state.kind;
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

typedef ssize_t (*write_function)(int, const void *, size_t);
typedef ssize_t (*pwrite_function)(int, const void *, size_t, off64_t);
typedef int (*sync_function)(int);
typedef int (*truncate_function)(int, off64_t);
typedef int (*rename_function)(const char *, const char *);
typedef int (*renameat_function)(int, const char *, int, const char *);

static ssize_t checked_write(int fd, const void *data, size_t size, off64_t at, int has_place,
                             const char *call) {
    static write_function real_write;
    static pwrite_function real_pwrite;
    if (!real_write) real_write = REAL(write_function, "write");
    if (!real_pwrite) real_pwrite = REAL(pwrite_function, "pwrite64");
    if (state.is_armed && is_our_file(fd)) {
        int error = fault(call);
        if (error == FAULT_TORN_KILL) { /* half of it reached the disk */
            if (has_place) real_pwrite(fd, data, size / 2, at);
            else real_write(fd, data, size / 2);
            kill(getpid(), SIGKILL);
            for (;;) pause();
        }
        if (error) {
            errno = error;
            return -1;
        }
    }
    return has_place ? real_pwrite(fd, data, size, at) : real_write(fd, data, size);
}

/* For calls that are carried out whole or not at all. */
static int is_refused(const char *call) {
    int error = fault(call);
    if (error == FAULT_TORN_KILL) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (error) errno = error;
    return error != 0;
}

ssize_t write(int fd, const void *data, size_t size) {
    return checked_write(fd, data, size, 0, 0, "write");
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return checked_write(fd, data, size, at, 1, "pwrite");
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return checked_write(fd, data, size, at, 1, "pwrite");
}

static int checked_sync(int fd, const char *call) {
    sync_function real = REAL(sync_function, call);
    if (state.is_armed && is_our_file(fd) && is_refused(call)) return -1;
    return real(fd);
}

int fsync(int fd) { return checked_sync(fd, "fsync"); }

int fdatasync(int fd) { return checked_sync(fd, "fdatasync"); }

static int checked_truncate(int fd, off64_t size) {
    truncate_function real = REAL(truncate_function, "ftruncate64");
    if (state.is_armed && is_our_file(fd) && is_refused("ftruncate")) return -1;
    return real(fd, size);
}

int ftruncate64(int fd, off64_t size) { return checked_truncate(fd, size); }

int ftruncate(int fd, off_t size) { return checked_truncate(fd, size); }

int rename(const char *from, const char *to) {
    rename_function real = REAL(rename_function, "rename");
    if (state.is_armed && (is_ours(from) || is_ours(to)) && is_refused("rename")) return -1;
    return real(from, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    renameat_function real = REAL(renameat_function, "renameat");
    if (state.is_armed && (is_ours(from) || is_ours(to)) && is_refused("rename")) return -1;
    return real(from_fd, from, to_fd, to);
}
