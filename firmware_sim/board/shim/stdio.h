/* zcbor asks for it, and prints nothing. */
