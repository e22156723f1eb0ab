/* One attribute: from its JSON token to the value that the row holds. */
#ifndef FS_CELL_H
#define FS_CELL_H

#include "bytes.h"
#include "fs_decode.h"
#include "json.h"

/* Reads the value under the cursor into a cell that points into the text. */
int fs_cell_read(struct fs_json *json, struct fs_cell *cell);

/* Pickles the cell as a value of the column's type; a missing one and null are None.
 * FS_ERR_TYPE, FS_ERR_NUMBER, FS_ERR_NOT_FINITE, FS_ERR_TEXT, FS_ERR_GUID, FS_ERR_DATE. */
int fs_cell_pickle(const struct fs_cell *cell, int column_type, struct fs_out *out);

#endif
