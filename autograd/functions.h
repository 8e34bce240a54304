// Every differentiable op, by include. Each structured op has its card in autograd/ops/NAME.h; the pointwise ones
// expand from tensor/base/formulas.h.
#pragma once

#include "autograd/ops/attention.h"
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/embedding.h"
#include "autograd/ops/feed_forward.h"
#include "autograd/ops/gated_residual.h"
#include "autograd/ops/group_norm.h"
#include "autograd/ops/interpolate.h"
#include "autograd/ops/l2_normalize.h"
#include "autograd/ops/layer_norm.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/pointwise.h"
#include "autograd/ops/pool2d.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/selection.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
