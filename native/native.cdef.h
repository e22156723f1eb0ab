/* What Python sees of the core. Kept by hand beside the headers; the C compiler checks every value
 * and signature, a test compares the names with the typed stub. */

enum fs_status {
    FS_OK = 0,
    FS_NEED_OUTPUT = 1,
    FS_NEED_WORK = 2,
    FS_EMPTY = 3,
    FS_NEED_INPUT = 4,
    FS_NEED_ITEM = 5,
    FS_BATCH = 6,
    FS_DONE = 7,
    FS_ERR_TRUNCATED = -1,
    FS_ERR_SYNTAX = -2,
    FS_ERR_DEPTH = -3,
    FS_ERR_NUMBER = -4,
    FS_ERR_NOT_FINITE = -5,
    FS_ERR_TEXT = -6,
    FS_ERR_HEADER = -7,
    FS_ERR_GEOMETRY = -8,
    FS_ERR_CURVE = -9,
    FS_ERR_Z_MISSING = -10,
    FS_ERR_VERTEX = -11,
    FS_ERR_TRAILING = -12,
    FS_ERR_LIMIT = -13,
    FS_ERR_GUID = -14,
    FS_ERR_DATE = -15,
    FS_ERR_TYPE = -16,
    FS_ERR_LAYER = -17,
    FS_ERR_BASE64 = -18,
    FS_ERR_CHECKSUM = -19,
    FS_ERR_BASE = -20,
    FS_ERR_VERSION = -21
};

struct fs_result {
    size_t size;
    size_t offset;
};

enum fs_geometry_kind {
    FS_GEOMETRY_ANY = 0,
    FS_GEOMETRY_POINT = 1,
    FS_GEOMETRY_MULTIPOINT = 2,
    FS_GEOMETRY_POLYLINE = 3,
    FS_GEOMETRY_POLYGON = 4
};

enum fs_geometry_dims { FS_DIMS_XY = 0, FS_DIMS_Z = 1, FS_DIMS_M = 2, FS_DIMS_ZM = 3 };

int fs_geometry_from_esri(const uint8_t *json, size_t json_size, int kind, int32_t srs_id, int dims,
                          void *work, size_t work_size, uint8_t *out, size_t out_size,
                          struct fs_result *result);
int fs_geometry_to_esri(const uint8_t *blob, size_t blob_size, int kind, uint8_t *out,
                        size_t out_size, struct fs_result *result);
int fs_geometry_envelope(const uint8_t *blob, size_t blob_size, double bounds[4],
                         struct fs_result *result);

size_t fs_number_print(double value, char *text);
int fs_number_parse(const uint8_t *text, size_t size, double *value);

enum fs_column_type {
    FS_COLUMN_INTEGER = 1,
    FS_COLUMN_REAL = 2,
    FS_COLUMN_TEXT = 3,
    FS_COLUMN_GUID = 4,
    FS_COLUMN_DATE = 5
};

struct fs_column {
    const uint8_t *name;
    size_t name_size;
    const uint8_t *label;
    size_t label_size;
    int type;
};

struct fs_layer {
    int64_t id;
    const struct fs_column *columns;
    size_t column_count;
    size_t key_column;
    int geometry_kind;
    int32_t srs_id;
    int dims;
    uint16_t *slots;
    size_t slot_count;
    const uint8_t *reference;
    size_t reference_size;
};

int fs_layer_prepare(struct fs_layer *layer);

enum fs_batch_kind {
    FS_BATCH_NONE = 0,
    FS_BATCH_ROWS = 1,
    FS_BATCH_PARTIAL = 2,
    FS_BATCH_DELETES = 3,
    FS_BATCH_ATTACHMENT_DATA = 4,
    FS_BATCH_ATTACHMENTS = 5,
    FS_BATCH_RESULTS = 6,
    FS_BATCH_HEADER = 7,
    FS_BATCH_BAD = 8,
    FS_BATCH_LATE = 9
};

enum fs_operation { FS_DATA = 0, FS_ADDS = 1, FS_UPDATES = 2, FS_DELETES = 3 };

struct fs_batch {
    int kind;
    int operation;
    int attachments;
    int64_t layer;
    size_t size;
    size_t count;
};

struct fs_cell { ...; };

struct fs_decode_config {
    const struct fs_layer *layers;
    size_t layer_count;
    const struct fs_layer *default_layer;
    const int64_t *entries;
    size_t entry_count;
    struct fs_cell *cells;
    uint8_t *item;
    size_t item_size;
    size_t item_limit;
    void *work;
    size_t work_size;
    size_t work_limit;
    uint8_t *out;
    size_t out_size;
    size_t out_limit;
    double *bounds;
    size_t rows_max;
    size_t raw_limit;
};

struct fs_decoder;
size_t fs_decoder_size(void);
int fs_decode_init(struct fs_decoder *decoder, const struct fs_decode_config *config);
int fs_decode_run(struct fs_decoder *decoder, const uint8_t *input, size_t size, _Bool last,
                  size_t *taken, struct fs_batch *batch, struct fs_result *result);
int fs_decode_give(struct fs_decoder *decoder, int need, void *buffer, size_t size);

enum fs_encode_form { FS_ENCODE_ADDS = 1, FS_ENCODE_UPDATES = 2 };

struct fs_encode_progress {
    size_t written;
    size_t at;
    size_t row;
    size_t column;
    size_t rows;
};

int fs_encode_rows(const struct fs_layer *layer, int form, const uint8_t *batch, size_t size,
                   struct fs_encode_progress *progress, uint8_t *out, size_t out_size,
                   struct fs_result *result);

enum fs_delta_stream { FS_DELTA_NUMBERS = 0, FS_DELTA_TEXTS = 1, FS_DELTA_RAW = 2 };

struct fs_delta_streams {
    uint8_t *data[3];
    size_t cap[3];
    size_t size[3];
    size_t at[3];
};

struct fs_delta_work { ...; };

struct fs_delta_list {
    const uint8_t *data;
    size_t size;
};

int fs_delta_put(int column_type, const struct fs_delta_list *values, const struct fs_delta_list *base,
                 struct fs_delta_work *work, struct fs_delta_streams *streams,
                 struct fs_result *result);
int fs_delta_get(int column_type, size_t count, const struct fs_delta_list *base,
                 struct fs_delta_work *work, struct fs_delta_streams *streams, uint8_t *out,
                 size_t out_size, struct fs_result *result);
int fs_delta_put_geometry(const struct fs_layer *layer, const struct fs_delta_list *values,
                          const struct fs_delta_list *base, struct fs_delta_work *work, void *shapes,
                          size_t shapes_size, struct fs_delta_streams *streams,
                          struct fs_result *result);
int fs_delta_get_geometry(const struct fs_layer *layer, size_t count, const struct fs_delta_list *base,
                          struct fs_delta_work *work, void *shapes, size_t shapes_size,
                          struct fs_delta_streams *streams, uint8_t *out, size_t out_size,
                          struct fs_result *result);

struct fs_box {
    int64_t key;
    float sides[4];
};

struct fs_rtree_plan {
    size_t node_size;
    size_t cells;
    size_t slice;
};

size_t fs_rtree_boxes(const uint8_t *bounds, size_t count, int64_t first_key, const int64_t *keys,
                      struct fs_box *boxes, double extent[4]);
void fs_rtree_sort(struct fs_box *boxes, size_t count, struct fs_box *work);
void fs_rtree_part(const struct fs_box *boxes, size_t count, const struct fs_box *limits,
                   size_t limit_count, struct fs_box *out, size_t *sizes);
int fs_rtree_node(const struct fs_box *boxes, size_t count, unsigned depth, size_t node_size,
                  uint8_t *node);
int fs_rtree_pack(const struct fs_rtree_plan *plan, struct fs_box *boxes, size_t count,
                  struct fs_box *work, int64_t first_node, size_t room, uint8_t *nodes,
                  struct fs_box *parents, int64_t *places, struct fs_result *result);
