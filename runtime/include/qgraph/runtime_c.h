/* The C interface of the qgraph runtime. Every function returns 0 on success; qgraph_last_error() explains the rest. */
#ifndef QGRAPH_RUNTIME_C_H
#define QGRAPH_RUNTIME_C_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qgraph_session qgraph_session;

/* type: 0 float32, 1 int64, 2 int32, 3 int16, 4 int8, 5 uint8, 6 bool */
typedef struct {
  int32_t type;
  int32_t rank;
  int64_t shape[8];
  const void* data;
} qgraph_array;

/* threads: 0 means all cores; isa: NULL means the best. */
int qgraph_open(const char* path, int threads, const char* isa, qgraph_session** out);
void qgraph_close(qgraph_session* session);
int qgraph_input_count(const qgraph_session* session, size_t* out);
int qgraph_output_count(const qgraph_session* session, size_t* out);
const char* qgraph_input_name(const qgraph_session* session, size_t index);
const char* qgraph_output_name(const qgraph_session* session, size_t index);
/* Outputs stay valid until the next run or close of the session. */
int qgraph_run(qgraph_session* session, const qgraph_array* inputs, size_t n_inputs, qgraph_array* outputs, size_t n_outputs);
/* Let an input take what an output was in the run before, where its array's data is NULL; zeros in the first run, of length 0
   along free dims that no other input says. It stays in the session. */
int qgraph_bind(qgraph_session* session, const char* output, const char* input);
/* Forget the values of bound inputs. */
int qgraph_reset(qgraph_session* session);
/* The message of this thread's last failure. */
const char* qgraph_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
