/* zcbor asks for it, and uses only the types. */
#include <stdint.h>
