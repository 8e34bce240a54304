// The two implementations between which cuda/kernels/attention.cu chooses: one for any type and any width, one for the
// tensor cores.
#pragma once

#include "cuda/device/attention.h"

namespace terrace::cuda {

/// cuda/kernels/attention_general_*.cu. Backward needs dlog_parts for query_tiles(scales, kGeneralQueryTile<T>).
template <class T>
void general_attention_forward(const AttentionCall<T>& call);
template <class T>
void general_attention_backward(const AttentionCall<T>& call);

/// cuda/kernels/attention_mma_*.cu: D = 64, a positive scale, rows in multiples of 16 bytes. Backward needs dlog_parts
/// for mma_query_tiles(scales).
void mma_attention_forward(const AttentionCall<BFloat16>& call);
void mma_attention_backward(const AttentionCall<BFloat16>& call);
int mma_query_tiles(const AttentionScales& scales);

}  // namespace terrace::cuda
