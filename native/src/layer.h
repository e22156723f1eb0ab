/* Finding a column by the name that the wire gives it. */
#ifndef FS_LAYER_NAMES_H
#define FS_LAYER_NAMES_H

#include "fs_layer.h"
#include "json.h"

/* The column of that name; layer->column_count when there is none. */
size_t fs_layer_find(const struct fs_layer *layer, const struct fs_json_string *name);

#endif
