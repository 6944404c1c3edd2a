/* Plain Lua data as bytes: what goes from one Lua state to another, or is kept outside
 * of any.
 *
 * Plain are nil, booleans, integers, floats, strings, the null pointer (by which
 * libraries stand for an SQL or JSON null), and tables of these with keys of these.
 * Tables that occur twice, or hold themselves, do so in the copy too. Metatables are
 * left out, and no metamethod is called.
 *
 * The format: a byte, FORMAT or'ed with SHARED when some table occurs twice; then
 * values one after another. A value is a tag byte and what belongs to it:
 *
 *     NIL FALSE TRUE NULL   nothing
 *     INTEGER               size: its zigzag code
 *     FLOAT                 8 bytes, as this machine has them
 *     STRING                size: its length; its bytes
 *     TABLE                 size: elements; 4 bytes, as this machine has them: fields;
 *                           the values 1 to `elements`, then `fields` keys and values
 *     AGAIN                 size: number of a table, from 0 as their tags occur
 *
 * A size is seven bits a byte, the low ones first; all bytes but the last have the high
 * bit set. The bytes are for the same machine and the same FORMAT. */
#ifndef GN_COPY_H
#define GN_COPY_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

enum { GN_COPY_DEPTH = 128 }; /* tables inside each other, at most */

struct gn_seen; /* a table and its number */

/* Turns values into bytes. No call below raises a Lua error. */
struct gn_packer {
    char *data;                /* the bytes; from malloc() */
    size_t size, room;         /* of `data`: used, and there */
    struct gn_seen *seen;      /* hash table of the tables so far */
    uint32_t tables, capacity; /* how many, and places in `seen` */
    const char *what; /* after -EINVAL: the kind of thing that cannot be carried */
    char path[96];    /* after -EINVAL: where it is inside the value: ".name[2]" */
    bool in_key;      /* after -EINVAL: it is a key of the table there */
};

/* Begins. Returns 0 or -ENOMEM; gn_packer_term() is due either way. */
int gn_packer_init(struct gn_packer *);

/* Frees what it has. */
void gn_packer_term(struct gn_packer *);

/* Appends the value at a stack index. Returns 0; -ENOMEM; or -EINVAL when it is not
 * plain, see `what`. After an error the bytes are good for nothing. */
int gn_pack(struct gn_packer *, lua_State *, int index);

/* Append what gn_unpack() gives back as an integer and a string. Return 0 or -ENOMEM.
 */
int gn_pack_integer(struct gn_packer *, lua_Integer);
int gn_pack_string(struct gn_packer *, const char *, size_t n);

/* For a string that is not known at once: gn_pack_open(), then its pieces. Return 0 or
 * -ENOMEM; gn_pack_close() ends it. */
int gn_pack_open(struct gn_packer *, size_t *mark);
int gn_pack_piece(struct gn_packer *, const void *, size_t n);
void gn_pack_close(struct gn_packer *, size_t mark);

/* Writes why gn_pack() of `name`, such as "argument 2", returned -EINVAL. */
void gn_packer_explain(const struct gn_packer *, const char *name, char *text,
                       size_t room);

/* Packs the one value at a stack index, which `name` stands for in the text. Returns 0
 * and its bytes, owned; or -ENOMEM or -EINVAL with the reason in `why`. */
int gn_pack_one(lua_State *, int index, const char *name, char **data, size_t *n,
                char *why, size_t room);

/* Reads values back. */
struct gn_unpacker {
    const char *at, *end;
    int tables;     /* stack index of those so far by number from 1; 0: not needed */
    uint32_t count; /* of them */
};

/* Begins to read bytes, which are borrowed until the last value is read. Leaves a value
 * of its own on the stack. Raises a Lua error when memory is short or the bytes are not
 * of this format. */
void gn_unpack_begin(lua_State *, struct gn_unpacker *, const char *data, size_t n);

/* Pushes the next value. Raises a Lua error when memory is short or the bytes are
 * damaged. */
void gn_unpack(lua_State *, struct gn_unpacker *);

/* The next value, which must be an integer. Raises as gn_unpack(). */
lua_Integer gn_unpack_integer(lua_State *, struct gn_unpacker *);

/* The next value, which must be a string, in place. Raises as gn_unpack(). */
const char *gn_unpack_string(lua_State *, struct gn_unpacker *, size_t *n);

#endif
