/* Preloaded into the gate by tests/audit_trail.rs: fdatasync waits while the file $SYNC_ORDERS/hold exists and fails
   while $SYNC_ORDERS/fail does. While it waits, $SYNC_ORDERS/held exists. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *order(char *path, size_t size, const char *name) {
    snprintf(path, size, "%s/%s", getenv("SYNC_ORDERS"), name);
    return path;
}

int fdatasync(int fd) {
    char path[4096];
    if (access(order(path, sizeof path, "hold"), F_OK) == 0) {
        close(open(order(path, sizeof path, "held"), O_CREAT | O_WRONLY, 0600));
        while (access(order(path, sizeof path, "hold"), F_OK) == 0) usleep(500);
    }
    if (access(order(path, sizeof path, "fail"), F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
