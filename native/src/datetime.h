/* Instants: Esri's epoch milliseconds <-> GeoPackage DATETIME text, proleptic Gregorian, UTC. */
#ifndef FS_DATETIME_H
#define FS_DATETIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_DATETIME_TEXT_SIZE 24

/* YYYY-MM-DDTHH:MM:SS.sssZ; false outside the years 0001 to 9999. */
bool fs_datetime_print(int64_t epoch_ms, char text[FS_DATETIME_TEXT_SIZE]);

/* Reads that form and what other writers put there: date only, a space for the T, no seconds, any
 * number of fraction digits (cut to milliseconds), no zone (taken as UTC), Z or +HH:MM. */
bool fs_datetime_parse(const uint8_t *text, size_t size, int64_t *epoch_ms);

#endif
