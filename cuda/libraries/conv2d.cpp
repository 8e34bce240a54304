// Convolutions through cuDNN, NCHW, in f32 (no TF32), f64, or bf16 with f32 sums. Only algorithms that give the same
// bits every time; the one that cuDNN's heuristics put first among them is kept for each geometry. Where there is none,
// cuda/kernels/conv2d.cu computes. cuDNN pads both sides alike: other padding is put around the images beforehand.
//
// Networks that only run forward have theirs with bias and ReLU in one call, channels last, which is what tensor cores
// read without conversion (tensor/kernels/inference.h).
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "cuda/device/scratch.h"
#include "cuda/device/this_device.h"
#include "cuda/kernels/conv2d.h"
#include "cuda/kernels/inference.h"
#include "cuda/libraries/handles.h"
#include "cuda/runtime/error.h"
#include "cuda/runtime/range.h"
#include "tensor/device/device_memory.h"
#include "tensor/kernels/copy.h"

namespace terrace {
namespace {

constexpr size_t kMaxWorkspace = size_t{1} << 30;

template <class T>
constexpr cudnnDataType_t element_type() {
  if constexpr (std::is_same_v<T, double>) { return CUDNN_DATA_DOUBLE; }
  if constexpr (std::is_same_v<T, BFloat16>) { return CUDNN_DATA_BFLOAT16; }
  return CUDNN_DATA_FLOAT;
}
template <class T>
constexpr cudnnDataType_t sum_type() {
  return std::is_same_v<T, double> ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
}

// --- Padding ---------------------------------------------------------------------------------------------------------

bool pads_alike(const Conv2dGeometry& g) { return g.top == g.bottom && g.left == g.right; }

/// The geometry of the same convolution over images that contain their padding.
Conv2dGeometry without_padding(Conv2dGeometry g) {
  g.height += g.top + g.bottom;
  g.width += g.left + g.right;
  g.top = g.bottom = g.left = g.right = 0;
  return g;
}

/// Copies images between two arrays, of which one has padding around each image.
template <class T>
void copy_inside(const Conv2dGeometry& g, T* to, int64_t to_height, int64_t to_width, const T* from,
                 int64_t from_height, int64_t from_width) {
  const Shape shape{g.batch * g.in_channels, g.height, g.width};
  const auto plan =
      plan_loops<2>(shape, {Shape{to_height * to_width, to_width, 1}, Shape{from_height * from_width, from_width, 1}});
  strided_copy(cuda::kThisDevice, to, from, plan, sizeof(T));
}

template <class T>
size_t bytes_of_images(const Conv2dGeometry& g) {
  return static_cast<size_t>(g.batch * g.in_channels * g.height * g.width) * sizeof(T);
}

/// The images of `g` inside zeros; `padded` is without_padding(g).
template <class T>
struct PaddedImages : cuda::Scratch {
  PaddedImages(const Conv2dGeometry& g, const Conv2dGeometry& padded, const T* x)
      : Scratch(bytes_of_images<T>(padded)) {
    device_memory(cuda::kThisDevice).zero(as<T>(), bytes_of_images<T>(padded));
    copy_inside(g, as<T>() + g.top * padded.width + g.left, padded.height, padded.width, x, g.height, g.width);
  }
};

// --- What is kept for a geometry -------------------------------------------------------------------------------------

/// Descriptors of a convolution, and the algorithm of each direction once it has been needed.
struct Plan {
  cuda::Owned<cudnnTensorDescriptor_t, cudnnDestroyTensorDescriptor> x, y, bias;
  cuda::Owned<cudnnFilterDescriptor_t, cudnnDestroyFilterDescriptor> weight;
  cuda::Owned<cudnnConvolutionDescriptor_t, cudnnDestroyConvolutionDescriptor> convolution;
  Plan() {
    for (auto* tensor : {&x, &y, &bias}) { TERRACE_CUDA(cudnnCreateTensorDescriptor(tensor->address())); }
    TERRACE_CUDA(cudnnCreateFilterDescriptor(weight.address()));
    TERRACE_CUDA(cudnnCreateConvolutionDescriptor(convolution.address()));
  }
  template <class Algorithm>
  struct Choice {
    bool asked = false;
    std::optional<Algorithm> best;  // none: cuDNN has nothing deterministic
  };
  Choice<cudnnConvolutionFwdAlgoPerf_t> forward;
  Choice<cudnnConvolutionBwdDataAlgoPerf_t> data;
  Choice<cudnnConvolutionBwdFilterAlgoPerf_t> filter;
};

using Key = std::array<int64_t, 11>;

template <class T>
Key key_of(const Conv2dGeometry& g) {
  return {element_type<T>(), g.batch,        g.in_channels, g.height, g.width, g.out_channels,
          g.kernel_height,   g.kernel_width, g.stride,      g.top,    g.left};
}

int narrow(int64_t extent) {
  if (extent > INT32_MAX) { throw ShapeError(cat("conv2d: an extent of ", extent, " is beyond cuDNN's 2^31")); }
  return static_cast<int>(extent);
}

template <class T>
void describe(Plan& plan, const Conv2dGeometry& g, cudnnTensorFormat_t format = CUDNN_TENSOR_NCHW) {
  const auto images = [&](cudnnTensorDescriptor_t descriptor, int64_t b, int64_t c, int64_t h, int64_t w) {
    TERRACE_CUDA(
        cudnnSetTensor4dDescriptor(descriptor, format, element_type<T>(), narrow(b), narrow(c), narrow(h), narrow(w)));
  };
  images(plan.x.get(), g.batch, g.in_channels, g.height, g.width);
  images(plan.y.get(), g.batch, g.out_channels, g.out_height(), g.out_width());
  images(plan.bias.get(), 1, g.out_channels, 1, 1);
  TERRACE_CUDA(cudnnSetFilter4dDescriptor(plan.weight.get(), element_type<T>(), format, narrow(g.out_channels),
                                          narrow(g.in_channels), narrow(g.kernel_height), narrow(g.kernel_width)));
  const int stride = narrow(g.stride);
  TERRACE_CUDA(cudnnSetConvolution2dDescriptor(plan.convolution.get(), narrow(g.top), narrow(g.left), stride, stride, 1,
                                               1, CUDNN_CROSS_CORRELATION, sum_type<T>()));
  constexpr auto kMath = std::is_same_v<T, BFloat16> ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH;  // FMA: no TF32
  TERRACE_CUDA(cudnnSetConvolutionMathType(plan.convolution.get(), kMath));
}

/// Never destroyed: at the end of the process cuDNN may be unloaded before it would be.
std::mutex& plans_mutex() {
  static auto* const mutex = new std::mutex;
  return *mutex;
}

/// Hold plans_mutex(). `g` pads both sides alike.
template <class T>
Plan& plan_for(const Conv2dGeometry& g) {
  static auto* const kept = new std::map<Key, std::unique_ptr<Plan>>;
  std::unique_ptr<Plan>& plan = (*kept)[key_of<T>(g)];
  if (!plan) {
    auto made = std::make_unique<Plan>();
    describe<T>(*made, g);
    plan = std::move(made);
  }
  return *plan;
}

/// The first usable one of what ask(max_count, &count, results) lists, best first.
template <class Algorithm, class Ask>
const std::optional<Algorithm>& choose(Plan::Choice<Algorithm>& choice, const Ask& ask) {
  if (choice.asked) { return choice.best; }
  constexpr int kMaxResults = 16;
  Algorithm results[kMaxResults];
  int count = 0;
  const cudnnStatus_t status = ask(kMaxResults, &count, results);
  if (status != CUDNN_STATUS_SUCCESS && status < CUDNN_STATUS_NOT_SUPPORTED) { cuda::check(status, "conv2d: choice"); }
  for (int i = 0; i < count && !choice.best; ++i) {
    const Algorithm& r = results[i];
    if (r.status == CUDNN_STATUS_SUCCESS && r.determinism == CUDNN_DETERMINISTIC && r.memory <= kMaxWorkspace) {
      choice.best = r;
    }
  }
  choice.asked = true;
  return choice.best;
}

// --- The three directions; false where cuDNN has no deterministic algorithm ------------------------------------------

const std::optional<cudnnConvolutionFwdAlgoPerf_t>& choose_forward(Plan& p) {
  return choose(p.forward, [&](int max_count, int* count, auto* results) {
    return cudnnGetConvolutionForwardAlgorithm_v7(cuda::cudnn(), p.x.get(), p.weight.get(), p.convolution.get(),
                                                  p.y.get(), max_count, count, results);
  });
}

template <class T>
bool run_forward(const Conv2dGeometry& g, const T* x, const T* weight, const T* bias, T* y) {
  const std::lock_guard lock(plans_mutex());
  Plan& p = plan_for<T>(g);
  const auto& best = choose_forward(p);
  if (!best) { return false; }
  const Accumulator<T> one = 1, zero = 0;
  const cuda::Scratch workspace(best->memory);
  cuda::Range range("conv2d");
  TERRACE_CUDA(cudnnConvolutionForward(cuda::cudnn(), &one, p.x.get(), x, p.weight.get(), weight, p.convolution.get(),
                                       best->algo, workspace.as<void>(), best->memory, &zero, p.y.get(), y));
  if (bias != nullptr) { TERRACE_CUDA(cudnnAddTensor(cuda::cudnn(), &one, p.bias.get(), bias, &one, p.y.get(), y)); }
  TERRACE_CUDA(range.finish());
  return true;
}

template <class T>
bool run_gradient_of_x(const Conv2dGeometry& g, const T* weight, const T* dy, T* dx) {
  const std::lock_guard lock(plans_mutex());
  Plan& p = plan_for<T>(g);
  const auto& best = choose(p.data, [&](int max_count, int* count, auto* results) {
    return cudnnGetConvolutionBackwardDataAlgorithm_v7(cuda::cudnn(), p.weight.get(), p.y.get(), p.convolution.get(),
                                                       p.x.get(), max_count, count, results);
  });
  if (!best) { return false; }
  const Accumulator<T> one = 1, zero = 0;
  const cuda::Scratch workspace(best->memory);
  cuda::Range range("conv2d gradient of x");
  TERRACE_CUDA(cudnnConvolutionBackwardData(cuda::cudnn(), &one, p.weight.get(), weight, p.y.get(), dy,
                                            p.convolution.get(), best->algo, workspace.as<void>(), best->memory, &zero,
                                            p.x.get(), dx));
  TERRACE_CUDA(range.finish());
  return true;
}

template <class T>
bool run_gradient_of_weight(const Conv2dGeometry& g, const T* x, const T* dy, T* dweight) {
  const std::lock_guard lock(plans_mutex());
  Plan& p = plan_for<T>(g);
  const auto& best = choose(p.filter, [&](int max_count, int* count, auto* results) {
    return cudnnGetConvolutionBackwardFilterAlgorithm_v7(cuda::cudnn(), p.x.get(), p.y.get(), p.convolution.get(),
                                                         p.weight.get(), max_count, count, results);
  });
  if (!best) { return false; }
  const Accumulator<T> one = 1, zero = 0;
  const cuda::Scratch workspace(best->memory);
  cuda::Range range("conv2d gradient of weight");
  TERRACE_CUDA(cudnnConvolutionBackwardFilter(cuda::cudnn(), &one, p.x.get(), x, p.y.get(), dy, p.convolution.get(),
                                              best->algo, workspace.as<void>(), best->memory, &zero, p.weight.get(),
                                              dweight));
  TERRACE_CUDA(range.finish());
  return true;
}

// --- The slots -------------------------------------------------------------------------------------------------------

template <class T>
void forward(const Conv2dGeometry& g, const T* x, const T* weight, const T* bias, T* y) {
  if (!pads_alike(g)) {
    const Conv2dGeometry padded = without_padding(g);
    const PaddedImages<T> images(g, padded, x);
    return forward<T>(padded, images.template as<T>(), weight, bias, y);
  }
  if (!run_forward(g, x, weight, bias, y)) { cuda::tiled_convolution(g, x, weight, bias, y); }
}

template <class T>
void gradient_of_x(const Conv2dGeometry& g, const T* weight, const T* dy, T* dx) {
  if (!pads_alike(g)) {
    const Conv2dGeometry padded = without_padding(g);
    const cuda::Scratch whole(bytes_of_images<T>(padded));
    gradient_of_x<T>(padded, weight, dy, whole.as<T>());
    return copy_inside<T>(g, dx, g.height, g.width, whole.as<T>() + g.top * padded.width + g.left, padded.height,
                          padded.width);
  }
  if (!run_gradient_of_x(g, weight, dy, dx)) { cuda::tiled_gradient_of_x(g, weight, dy, dx); }
}

template <class T>
void gradient_of_weight(const Conv2dGeometry& g, const T* x, const T* dy, T* dweight) {
  if (!pads_alike(g)) {
    const Conv2dGeometry padded = without_padding(g);
    const PaddedImages<T> images(g, padded, x);
    return gradient_of_weight<T>(padded, images.template as<T>(), dy, dweight);
  }
  if (!run_gradient_of_weight(g, x, dy, dweight)) { cuda::tiled_gradient_of_weight(g, x, dy, dweight); }
}

template <class T>
void backward(const Conv2dGeometry& g, const T* x, const T* weight, const T* dy, T* dx, T* dweight, T* dbias) {
  if (dx != nullptr) { gradient_of_x(g, weight, dy, dx); }
  if (dweight != nullptr) { gradient_of_weight(g, x, dy, dweight); }
  if (dbias != nullptr) { cuda::gradient_of_bias(g, dy, dbias); }
}

// --- With bias and ReLU, channels last -------------------------------------------------------------------------------

struct InferencePlan : Plan {
  cuda::Owned<cudnnActivationDescriptor_t, cudnnDestroyActivationDescriptor> relu;
  bool refused = false;  // by cuDNN, when it was run
};

/// Hold plans_mutex().
template <class T>
InferencePlan& inference_plan_for(const Conv2dGeometry& g, int64_t pixel_stride) {
  static auto* const kept = new std::map<std::pair<Key, int64_t>, std::unique_ptr<InferencePlan>>;
  std::unique_ptr<InferencePlan>& plan = (*kept)[{key_of<T>(g), pixel_stride}];
  if (plan) { return *plan; }
  auto made = std::make_unique<InferencePlan>();
  describe<T>(*made, g, CUDNN_TENSOR_NHWC);
  const int64_t row = g.out_width() * pixel_stride;
  TERRACE_CUDA(cudnnSetTensor4dDescriptorEx(made->y.get(), element_type<T>(), narrow(g.batch), narrow(g.out_channels),
                                            narrow(g.out_height()), narrow(g.out_width()), narrow(g.out_height() * row),
                                            1, narrow(row), narrow(pixel_stride)));
  TERRACE_CUDA(cudnnCreateActivationDescriptor(made->relu.address()));
  // The only kind that cuDNN fuses: a sum that is NaN may become 0.
  TERRACE_CUDA(cudnnSetActivationDescriptor(made->relu.get(), CUDNN_ACTIVATION_RELU, CUDNN_NOT_PROPAGATE_NAN, 0));
  plan = std::move(made);
  return *plan;
}

/// False where cuDNN does not take it: it need not support results with gaps between their pixels.
template <class T>
bool run_inference(const Conv2dGeometry& g, int64_t pixel_stride, const T* x, const T* weight, const T* bias, T* y) {
  const std::lock_guard lock(plans_mutex());
  InferencePlan& p = inference_plan_for<T>(g, pixel_stride);
  if (p.refused) { return false; }
  const auto& best = choose_forward(p);
  if (!best) { return false; }
  const Accumulator<T> one = 1, zero = 0;
  const cuda::Scratch workspace(best->memory);
  cuda::Range range("inference conv");
  const cudnnStatus_t status = cudnnConvolutionBiasActivationForward(
      cuda::cudnn(), &one, p.x.get(), x, p.weight.get(), weight, p.convolution.get(), best->algo, workspace.as<void>(),
      best->memory, &zero, p.y.get(), y, p.bias.get(), bias, p.relu.get(), p.y.get(), y);
  const auto category = CUDNN_STATUS_CATEGORY(status);
  p.refused = category == CUDNN_STATUS_NOT_SUPPORTED || category == CUDNN_STATUS_BAD_PARAM;
  if (!p.refused) { cuda::check(status, "cudnnConvolutionBiasActivationForward"); }
  TERRACE_CUDA(range.finish());
  return !p.refused;
}

/// Copies packed pixels to their places in a wider image.
template <class T>
void spread_pixels(const Conv2dGeometry& g, int64_t pixel_stride, const T* packed, T* y) {
  constexpr int64_t kWord = sizeof(int64_t), kEach = kWord / sizeof(T);
  const bool words =
      g.out_channels % kEach == 0 && pixel_stride % kEach == 0 && reinterpret_cast<uintptr_t>(y) % kWord == 0;
  const int64_t each = words ? kEach : 1, places = g.batch * g.out_height() * g.out_width();
  const auto plan = plan_loops<2>(Shape{places, g.out_channels / each},
                                  {Shape{pixel_stride / each, 1}, Shape{g.out_channels / each, 1}});
  strided_copy(cuda::kThisDevice, y, packed, plan, words ? kWord : static_cast<int64_t>(sizeof(T)));
}

template <class T>
void inference(const Conv2dGeometry& g, int64_t pixel_stride, const T* x, const T* weight, const T* bias, T* y) {
  if (pads_alike(g)) {
    if (run_inference(g, pixel_stride, x, weight, bias, y)) { return; }
    const auto results = static_cast<size_t>(g.batch * g.out_height() * g.out_width() * g.out_channels);
    const cuda::Scratch packed(pixel_stride == g.out_channels ? 0 : results * sizeof(T));
    if (pixel_stride != g.out_channels && run_inference(g, g.out_channels, x, weight, bias, packed.as<T>())) {
      return spread_pixels<T>(g, pixel_stride, packed.as<T>(), y);
    }
  }
  cuda::tiled_inference_conv(g, pixel_stride, x, weight, bias, y);
}

TERRACE_REGISTER(inference_conv<float>, inference<float>);
TERRACE_REGISTER(inference_conv<BFloat16>, inference<BFloat16>);
TERRACE_REGISTER_FLOATS(conv2d_forward, forward);
TERRACE_REGISTER_FLOATS(conv2d_backward, backward);

}  // namespace
}  // namespace terrace
