/* GUIDs in the one spelling that is kept: {UPPER-CASE}. */
#ifndef FS_GUID_H
#define FS_GUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FS_GUID_TEXT_SIZE 38
#define FS_GUID_SIZE 16

/* Whether it is spelled so already. */
bool fs_guid_is_normal(const uint8_t *text, size_t size);

/* Accepts any case, with or without braces and hyphens; 16 bytes in the order of the text. */
bool fs_guid_parse(const uint8_t *text, size_t size, uint8_t guid[FS_GUID_SIZE]);

void fs_guid_print(const uint8_t guid[FS_GUID_SIZE], char text[FS_GUID_TEXT_SIZE]);

/* Any spelling that can be parsed into the one; false for what is no GUID. */
bool fs_guid_normalise(const uint8_t *text, size_t size, char normal[FS_GUID_TEXT_SIZE]);

#endif
