#include "poller.h"

#include "sched.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 256 }; /* events taken in one call */

int gn_poller_open(struct gn_poller *p)
{
    p->epfd = epoll_create1(EPOLL_CLOEXEC);
    return p->epfd < 0 ? -errno : 0;
}

void gn_poller_close(struct gn_poller *p)
{
    if (p->epfd >= 0)
        close(p->epfd);
    for (size_t i = 0; i < p->chunk_count; i++)
        free(p->chunks[i]);
    free(p->chunks);
}

/* ---- the table of descriptors ---- */

static struct gn_fd *find(const struct gn_poller *p, int fd)
{
    size_t chunk = (size_t)fd / GN_FD_CHUNK;
    if (fd < 0 || chunk >= p->chunk_count || !p->chunks[chunk])
        return NULL;
    return &p->chunks[chunk][fd % GN_FD_CHUNK];
}

static int grow(struct gn_poller *p, size_t count)
{
    struct gn_fd **chunks = realloc(p->chunks, count * sizeof *chunks);
    if (!chunks)
        return -ENOMEM;
    memset(chunks + p->chunk_count, 0, (count - p->chunk_count) * sizeof *chunks);
    p->chunks = chunks;
    p->chunk_count = count;
    return 0;
}

/* As find(), but makes the entry. Returns NULL for a negative number or when out of
 * memory. */
static struct gn_fd *find_or_make(struct gn_poller *p, int fd)
{
    size_t chunk = (size_t)fd / GN_FD_CHUNK;
    if (fd < 0 || (chunk >= p->chunk_count && grow(p, chunk + 1) < 0))
        return NULL;
    if (!p->chunks[chunk]) {
        struct gn_fd *made = calloc(GN_FD_CHUNK, sizeof *made);
        if (!made)
            return NULL;
        for (int i = 0; i < GN_FD_CHUNK; i++)
            gn_list_init(&made[i].waits);
        p->chunks[chunk] = made;
    }
    return &p->chunks[chunk][fd % GN_FD_CHUNK];
}

/* ---- events ---- */

static struct epoll_event event_for(const struct gn_fd *entry, int fd, uint32_t events)
{
    return (struct epoll_event){
        .events = events,
        .data.u64 = (uint64_t)entry->generation << 32 | (uint32_t)fd,
    };
}

/* Asks for one event in any of the waits' interest, whatever the kernel knew of this
 * number. */
static int arm(struct gn_poller *p, struct gn_fd *entry, int fd)
{
    uint32_t events = EPOLLONESHOT;
    for (struct gn_list *l = entry->waits.next; l != &entry->waits; l = l->next)
        events |= gn_container_of(l, struct gn_wait, link)->events;
    struct epoll_event e = event_for(entry, fd, events);
    int likely = entry->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int other = entry->known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    int r = epoll_ctl(p->epfd, likely, fd, &e);
    if (r < 0 && (errno == ENOENT || errno == EEXIST))
        r = epoll_ctl(p->epfd, other, fd, &e);
    entry->known = r == 0;
    return r < 0 ? -errno : 0;
}

static void wake_waits(struct gn_fd *entry, uint32_t events)
{
    struct gn_list *l = entry->waits.next;
    while (l != &entry->waits) {
        struct gn_wait *w = gn_container_of(l, struct gn_wait, link);
        l = l->next;
        uint32_t ready = events & (w->events | EPOLLERR | EPOLLHUP | EPOLLNVAL);
        if (!ready)
            continue;
        w->ready = ready;
        gn_list_del(&w->link);
        gn_wake(w->fiber);
    }
}

static void dispatch(struct gn_poller *p, const struct epoll_event *e)
{
    int fd = (int)(uint32_t)e->data.u64;
    struct gn_fd *entry = find(p, fd);
    if (!entry || entry->generation != e->data.u64 >> 32)
        return;
    if (entry->watch) {
        entry->watch->fn(entry->watch, e->events);
        return;
    }
    wake_waits(entry, e->events);
    if (!gn_list_empty(&entry->waits))
        arm(p, entry, fd);
}

/* epoll counts in milliseconds: round up, or a sleeper would wake early and spin. */
static int timeout_ms(int64_t deadline, int64_t now)
{
    if (deadline == GN_NEVER)
        return -1;
    int64_t left = deadline ? deadline - now : 0;
    if (left <= 0)
        return 0;
    return left > INT32_MAX * GN_MS ? INT32_MAX : (int)((left + GN_MS - 1) / GN_MS);
}

void gn_poller_poll(struct gn_poller *p, int64_t deadline, int64_t now)
{
    struct epoll_event events[BATCH];
    int n = epoll_wait(p->epfd, events, BATCH, timeout_ms(deadline, now));
    for (int i = 0; i < n; i++)
        dispatch(p, &events[i]);
}

/* ---- watches ---- */

int gn_watch_add(struct gn_poller *p, struct gn_watch *w, uint32_t events)
{
    struct gn_fd *entry = find_or_make(p, w->fd);
    if (!entry)
        return -ENOMEM;
    struct epoll_event e = event_for(entry, w->fd, events | EPOLLET);
    if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, w->fd, &e) < 0)
        return -errno;
    entry->watch = w;
    w->key = e.data.u64;
    return 0;
}

void gn_watch_change(struct gn_poller *p, struct gn_watch *w, uint32_t events)
{
    struct epoll_event e = {.events = events | EPOLLET, .data.u64 = w->key};
    epoll_ctl(p->epfd, EPOLL_CTL_MOD, w->fd, &e);
}

void gn_fd_closed(struct gn_poller *p, int fd)
{
    struct gn_fd *entry = find(p, fd);
    if (!entry)
        return;
    entry->watch = NULL;
    entry->known = false;
    entry->generation++;
    wake_waits(entry, EPOLLNVAL);
}

void gn_watch_remove(struct gn_poller *p, struct gn_watch *w)
{
    epoll_ctl(p->epfd, EPOLL_CTL_DEL, w->fd, NULL);
    gn_fd_closed(p, w->fd);
}

/* ---- waits ---- */

/* What a descriptor that epoll refuses will always be. */
static uint32_t refused(int error, uint32_t events)
{
    switch (error) {
    case -EPERM:
        return events; /* a regular file or directory never blocks */
    case -EBADF:
        return EPOLLNVAL;
    default:
        return EPOLLERR;
    }
}

static int begin_wait(struct gn_poller *p, struct gn_wait *w)
{
    struct gn_fd *entry = find_or_make(p, w->fd);
    w->ready = 0;
    gn_list_init(&w->link);
    if (w->fd < 0)
        return 0; /* poll(2) ignores these */
    if (!entry)
        return -ENOMEM;
    gn_list_append(&entry->waits, &w->link);
    int r = arm(p, entry, w->fd);
    if (r < 0) {
        gn_list_del(&w->link);
        w->ready = refused(r, w->events);
    }
    return r;
}

static int count_ready(const struct gn_wait *waits, size_t n)
{
    int count = 0;
    for (size_t i = 0; i < n; i++)
        count += waits[i].ready != 0;
    return count;
}

int gn_wait_any(struct gn_wait *waits, size_t n, int64_t deadline)
{
    struct gn_fiber *self = gn_fiber_self();
    int r = 0;
    for (size_t i = 0; i < n; i++) {
        waits[i].fiber = self;
        if (begin_wait(&self->sched->poller, &waits[i]) == -ENOMEM)
            r = -ENOMEM;
    }
    self->sched->outside += n > 0;
    while (r == 0 && count_ready(waits, n) == 0)
        r = gn_park(deadline);
    self->sched->outside -= n > 0;
    for (size_t i = 0; i < n; i++)
        gn_list_del(&waits[i].link);
    int ready = count_ready(waits, n);
    if (ready > 0 || r == -ETIMEDOUT)
        return ready;
    return r;
}

int gn_wait_fd(int fd, uint32_t events, int64_t deadline)
{
    struct gn_fiber *self = gn_fiber_self();
    struct gn_wait w = {.fiber = self, .fd = fd, .events = events};
    if (fd < 0)
        return -EBADF;
    int r = begin_wait(&self->sched->poller, &w);
    if (r < 0)
        return r;
    self->sched->outside++;
    while (r == 0 && !w.ready)
        r = gn_park(deadline);
    self->sched->outside--;
    gn_list_del(&w.link);
    if (w.ready & EPOLLNVAL)
        return -EBADF;
    return w.ready ? 0 : r;
}
