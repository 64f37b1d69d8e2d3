/* What a compiler may call for, on a target without a C library. */
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    unsigned char *t = to;
    const unsigned char *f = from;
    for (; size > 0; size--) *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t <= f) return memcpy(to, from, size);
    for (; size > 0; size--) t[size - 1] = f[size - 1];
    return to;
}

void *memset(void *to, int value, size_t size) {
    for (unsigned char *t = to; size > 0; size--) *t++ = (unsigned char)value;
    return to;
}

int memcmp(const void *one, const void *other, size_t size) {
    const unsigned char *a = one, *b = other;
    for (; size > 0; size--, a++, b++) {
        if (*a != *b) return *a - *b;
    }
    return 0;
}

size_t strlen(const char *text) {
    size_t size = 0;
    while (text[size] != 0) size++;
    return size;
}
