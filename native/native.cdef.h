/* What Python sees of the core. Kept by hand beside the headers; the C compiler checks every value
 * and signature, a test compares the names with the typed stub. */

enum fs_status {
    FS_OK = 0,
    FS_NEED_OUTPUT = 1,
    FS_NEED_WORK = 2,
    FS_EMPTY = 3,
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
    FS_ERR_LIMIT = -13
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
