/* Faults at the n-th call of a kind under a path, for a whole process: loaded with LD_PRELOAD.
 * SHIM_UNDER: absolute path prefix. SHIM_KIND: write, sync, name, create, open or read. SHIM_AT: 0 only counts.
 * SHIM_DO: an errno as a number, "short" or "flip". SHIM_STICKY: from then on. SHIM_LOG: where the counts are written. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *const KINDS[] = {"write", "sync", "name", "create", "open", "read"};
enum { KINDS_THERE_ARE = sizeof KINDS / sizeof *KINDS };
static long counts[KINDS_THERE_ARE];

static int below(const char *path) {
  const char *under = getenv("SHIM_UNDER");
  return under && path && !strncmp(path, under, strlen(under));
}

static int fd_below(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return below(path);
}

static int at_below(int fd, const char *path) {
  return path && path[0] == '/' ? below(path) : fd_below(fd);
}

static int strikes(const char *kind) {
  const char *wanted = getenv("SHIM_KIND"), *at = getenv("SHIM_AT");
  long now = 0, when = at ? atol(at) : 0;
  for (int i = 0; i < KINDS_THERE_ARE; i++)
    if (!strcmp(KINDS[i], kind)) now = __sync_add_and_fetch(&counts[i], 1);
  return wanted && !strcmp(wanted, kind) && when && (now == when || (getenv("SHIM_STICKY") && now > when));
}

static const char *deed(void) {
  const char *what = getenv("SHIM_DO");
  return what ? what : "5";
}

static int fails(void) {
  int number = atoi(deed());
  if (number) errno = number;
  return number;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, #name))

#define WRITER(name, extra_params, extra_args)                                        \
  ssize_t name(int fd, const void *data, size_t length extra_params) {                \
    ssize_t (*real)(int, const void *, size_t extra_params) = dlsym(RTLD_NEXT, #name); \
    if (fd > 2 && fd_below(fd) && strikes("write")) {                                  \
      if (fails()) return -1;                                                          \
      if (length > 1) length /= 2;                                                     \
    }                                                                                  \
    return real(fd, data, length extra_args);                                          \
  }
#define NOTHING
#define COMMA ,
WRITER(write, NOTHING, NOTHING)
WRITER(pwrite, COMMA off_t at, COMMA at)
WRITER(pwrite64, COMMA off_t at, COMMA at)

#define SYNCER(name)                                                 \
  int name(int fd) {                                                 \
    int (*real)(int) = dlsym(RTLD_NEXT, #name);                      \
    if (fd_below(fd) && strikes("sync")) return fails() ? -1 : 0;    \
    return real(fd);                                                 \
  }
SYNCER(fsync)
SYNCER(fdatasync)

#define NAMER(name, params, args, fd, path)                              \
  int name params {                                                      \
    int(*real) params = dlsym(RTLD_NEXT, #name);                         \
    if (at_below(fd, path) && strikes("name") && fails()) return -1;     \
    return real args;                                                    \
  }
NAMER(rename, (const char *a, const char *b), (a, b), AT_FDCWD, b)
NAMER(renameat, (int x, const char *a, int y, const char *b), (x, a, y, b), y, b)
NAMER(link, (const char *a, const char *b), (a, b), AT_FDCWD, b)
NAMER(linkat, (int x, const char *a, int y, const char *b, int flags), (x, a, y, b, flags), y, b)
NAMER(unlink, (const char *a), (a), AT_FDCWD, a)
NAMER(unlinkat, (int x, const char *a, int flags), (x, a, flags), x, a)
NAMER(mkdir, (const char *a, mode_t mode), (a, mode), AT_FDCWD, a)
NAMER(mkdirat, (int x, const char *a, mode_t mode), (x, a, mode), x, a)
NAMER(ftruncate, (int fd, off_t size), (fd, size), fd, "")
NAMER(ftruncate64, (int fd, off_t size), (fd, size), fd, "")

#define OPENER(name)                                                                      \
  int name(int at, const char *path, int flags, ...) {                                    \
    int (*real)(int, const char *, int, ...) = dlsym(RTLD_NEXT, #name);                   \
    va_list rest;                                                                         \
    va_start(rest, flags);                                                                \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                             \
    va_end(rest);                                                                         \
    if (at_below(at, path) && (strikes("open") || ((flags & O_CREAT) && strikes("create"))) && fails()) return -1; \
    return real(at, path, flags, mode);                                                   \
  }
OPENER(openat)
OPENER(openat64)

/* The same without a folder: SQLite opens like this. */
#define OPENER_HERE(name)                                                            \
  int name(const char *path, int flags, ...) {                                       \
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);                   \
    va_list rest;                                                                    \
    va_start(rest, flags);                                                           \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                        \
    va_end(rest);                                                                    \
    if (below(path) && (strikes("open") || ((flags & O_CREAT) && strikes("create"))) && fails()) return -1; \
    return real(path, flags, mode);                                                  \
  }
OPENER_HERE(open)
OPENER_HERE(open64)

#define READER(name, params, args, spoil)                                       \
  ssize_t name params {                                                         \
    ssize_t(*real) params = dlsym(RTLD_NEXT, #name);                            \
    int strike = fd > 2 && fd_below(fd) && strikes("read");                     \
    if (strike && fails()) return -1;                                           \
    ssize_t got = real args;                                                    \
    if (strike && got > 0) spoil;                                               \
    return got;                                                                 \
  }
READER(read, (int fd, void *data, size_t length), (fd, data, length), ((char *)data)[got / 2] ^= 1)
READER(pread, (int fd, void *data, size_t length, off_t at), (fd, data, length, at), ((char *)data)[got / 2] ^= 1)
READER(pread64, (int fd, void *data, size_t length, off_t at), (fd, data, length, at), ((char *)data)[got / 2] ^= 1)
READER(preadv, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at), ((char *)v[0].iov_base)[0] ^= 1)
READER(preadv64, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at), ((char *)v[0].iov_base)[0] ^= 1)

__attribute__((destructor)) static void told(void) {
  const char *log = getenv("SHIM_LOG");
  if (!log) return;
  FILE *file = fopen(log, "w");
  if (file) {
    for (int i = 0; i < KINDS_THERE_ARE; i++) fprintf(file, "%s %ld\n", KINDS[i], counts[i]);
    fclose(file);
  }
}
