/* Intrusive circular doubly linked lists.
 *
 * A list head and a member are the same struct. A member that is in no list points to
 * itself, so gn_list_del() may be called twice. Nothing here allocates. */
#ifndef GN_LIST_H
#define GN_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct gn_list {
    struct gn_list *next, *prev;
};

#define gn_container_of(ptr, type, member) \
    ((type *)((char *)(ptr)-offsetof(type, member)))

static inline void gn_list_init(struct gn_list *l)
{
    l->next = l->prev = l;
}

static inline bool gn_list_empty(const struct gn_list *l)
{
    return l->next == l;
}

static inline void gn_list_add_after(struct gn_list *at, struct gn_list *m)
{
    m->prev = at;
    m->next = at->next;
    at->next->prev = m;
    at->next = m;
}

/* Puts `m` at the front of `head`: the next one that gn_list_pop() gives. */
static inline void gn_list_push(struct gn_list *head, struct gn_list *m)
{
    gn_list_add_after(head, m);
}

/* Puts `m` at the end of `head`. */
static inline void gn_list_append(struct gn_list *head, struct gn_list *m)
{
    gn_list_add_after(head->prev, m);
}

static inline void gn_list_del(struct gn_list *m)
{
    m->prev->next = m->next;
    m->next->prev = m->prev;
    gn_list_init(m);
}

/* Takes the first member out; NULL when the list is empty. */
static inline struct gn_list *gn_list_pop(struct gn_list *head)
{
    if (gn_list_empty(head))
        return NULL;
    struct gn_list *m = head->next;
    gn_list_del(m);
    return m;
}

/* Moves all members of `from` into the empty list `to`, in order. */
static inline void gn_list_take(struct gn_list *to, struct gn_list *from)
{
    gn_list_init(to);
    if (gn_list_empty(from))
        return;
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    gn_list_init(from);
}

#endif
