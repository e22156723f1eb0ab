/* Numbers as JSON text: exact both ways, without the C library's locale. */
#ifndef FS_NUMBER_H
#define FS_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_NUMBER_TEXT_MAX 32 /* room that the printing functions may touch */

/* The shortest decimal text that reads back as the same double: plain from 0.000001 up to 16 digits
 * before the point, else with an exponent; a whole number has no point, negative zero is "-0.0".
 * The value must be finite. Returns the length; `text` is not terminated. */
size_t fs_number_print(double value, char *text);

size_t fs_integer_print(int64_t value, char *text);

/* One whole JSON number to the nearest double, ties to even. FS_ERR_SYNTAX: something else, or
 * more than a number. FS_ERR_NUMBER: too large for a double. */
int fs_number_parse(const uint8_t *text, size_t size, double *value);

#endif
