#include "tensor/convolution/onednn_conv.h"

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "tensor/convolution/onednn_engine.h"
#include "tensor/device/allocator.h"
#include "tensor/device/buffer.h"

namespace terrace {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using onednn::cpu;
using onednn::stream;
using onednn::wrap;

constexpr const char* kScratchName = "convolution layouts";  // in the report of memory by purpose

using Bytes = Buffer<std::byte>;

enum class Pass : uint8_t { kForward, kBackwardData, kBackwardWeights };
enum class Bias : bool { kNone = false, kPresent = true };

/// The layouts of one operand: the caller's, and the one oneDNN computes in.
struct Operand {
  memory::desc plain, chosen;
  dnnl::reorder convert;  // inputs: plain to chosen; the output: chosen to plain
  bool same() const { return plain == chosen; }
};

enum Role : uint8_t { kSource, kWeights, kDestination };

/// A prepared primitive. Immutable once made, so threads share it: working memory is handed in by each call.
struct Plan {
  dnnl::primitive primitive;
  std::array<Operand, 3> operands;  // by Role
  memory::desc bias, scratchpad;
};

struct Key {
  Conv2dGeometry geometry;
  Pass pass;
  Bias bias;
  bool operator==(const Key&) const = default;
};

struct KeyHash {
  size_t operator()(const Key& key) const {
    const Conv2dGeometry& g = key.geometry;
    size_t hash = static_cast<size_t>(key.pass) * 2 + static_cast<size_t>(key.bias);
    for (int64_t part : {g.batch, g.in_channels, g.height, g.width, g.out_channels, g.kernel_height, g.kernel_width,
                         g.stride, g.top, g.bottom, g.left, g.right}) {
      hash = hash * 0x9E3779B97F4A7C15u + static_cast<size_t>(part);
    }
    return hash;
  }
};

/// The role that a pass writes.
Role output_of(Pass pass) {
  switch (pass) {
    case Pass::kForward:
      return kDestination;
    case Pass::kBackwardData:
      return kSource;
    case Pass::kBackwardWeights:
      return kWeights;
  }
  return kDestination;
}

struct Descriptions {
  explicit Descriptions(const Conv2dGeometry& g, Bias with_bias)
      : strides{g.stride, g.stride},
        begin{g.top, g.left},
        end{g.bottom, g.right},
        plain{
            memory::desc({g.batch, g.in_channels, g.height, g.width}, memory::data_type::f32, Tag::nchw),
            memory::desc({g.out_channels, g.in_channels, g.kernel_height, g.kernel_width}, memory::data_type::f32,
                         Tag::oihw),
            memory::desc({g.batch, g.out_channels, g.out_height(), g.out_width()}, memory::data_type::f32, Tag::nchw)} {
    for (int role = 0; role < 3; ++role) {
      any[role] = memory::desc(plain[role].dims(), plain[role].data_type(), Tag::any);
    }
    if (with_bias == Bias::kPresent) { bias = memory::desc({g.out_channels}, memory::data_type::f32, Tag::x); }
  }
  memory::dims strides, begin, end;
  std::array<memory::desc, 3> plain, any;
  memory::desc bias;
};

dnnl::convolution_forward::primitive_desc forward_description(const Descriptions& d, const dnnl::primitive_attr& attr) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::convolution_auto;
  return {{kind, algorithm, d.any[kSource], d.any[kWeights], d.bias, d.any[kDestination], d.strides, d.begin, d.end},
          attr,
          cpu()};
}

template <class Description>
void finish(Plan& plan, const Description& description, const Descriptions& d, Pass pass,
            const std::array<memory::desc, 3>& chosen) {
  plan.bias = d.bias;
  plan.scratchpad = description.scratchpad_desc();
  for (int role = 0; role < 3; ++role) {
    Operand& operand = plan.operands[role];
    operand.plain = d.plain[role];
    operand.chosen = chosen[role];
    if (operand.same()) { continue; }
    const bool output = role == output_of(pass);
    const memory::desc& from = output ? operand.chosen : operand.plain;
    const memory::desc& to = output ? operand.plain : operand.chosen;
    operand.convert = dnnl::reorder({cpu(), from, cpu(), to});
  }
}

std::shared_ptr<const Plan> make_plan(const Key& key) {
  const Descriptions d(key.geometry, key.bias);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto algorithm = dnnl::algorithm::convolution_auto;
  auto plan = std::make_shared<Plan>();
  const auto forward = forward_description(d, attr);
  switch (key.pass) {
    case Pass::kForward: {
      plan->primitive = dnnl::convolution_forward(forward);
      finish(*plan, forward, d, key.pass, {forward.src_desc(), forward.weights_desc(), forward.dst_desc()});
      break;
    }
    case Pass::kBackwardData: {
      const dnnl::convolution_backward_data::primitive_desc description(
          {algorithm, d.any[kSource], d.any[kWeights], d.any[kDestination], d.strides, d.begin, d.end}, attr, cpu(),
          forward);
      plan->primitive = dnnl::convolution_backward_data(description);
      finish(*plan, description, d, key.pass,
             {description.diff_src_desc(), description.weights_desc(), description.diff_dst_desc()});
      break;
    }
    case Pass::kBackwardWeights: {
      const dnnl::convolution_backward_weights::primitive_desc description(
          {algorithm, d.any[kSource], d.any[kWeights], d.bias, d.any[kDestination], d.strides, d.begin, d.end}, attr,
          cpu(), forward);
      plan->primitive = dnnl::convolution_backward_weights(description);
      finish(*plan, description, d, key.pass,
             {description.src_desc(), description.diff_weights_desc(), description.diff_dst_desc()});
      break;
    }
  }
  return plan;
}

std::shared_ptr<const Plan> plan_for(const Conv2dGeometry& geometry, Pass pass, Bias bias) {
  constexpr size_t kMaxPlans = 1024;  // a program with more geometries than this starts over
  static std::mutex mutex;
  static std::unordered_map<Key, std::shared_ptr<const Plan>, KeyHash> plans;
  const Key key{geometry, pass, bias};
  const std::lock_guard<std::mutex> lock(mutex);
  if (const auto found = plans.find(key); found != plans.end()) { return found->second; }
  try {
    auto plan = make_plan(key);
    if (plans.size() >= kMaxPlans) { plans.clear(); }
    plans.emplace(key, plan);
    return plan;
  } catch (const dnnl::error& error) {
    const Conv2dGeometry& g = geometry;
    throw Error(cat("conv2d: oneDNN refuses x (", g.batch, ", ", g.in_channels, ", ", g.height, ", ", g.width,
                    "), weight (", g.out_channels, ", ", g.in_channels, ", ", g.kernel_height, ", ", g.kernel_width,
                    "), stride ", g.stride, ": ", error.what()));
  }
}

/// An input of one call. Keeps its converted copy, which the two backward passes share where they want one layout.
class Input {
 public:
  explicit Input(const float* plain) : plain_(plain) {}

  memory in_layout_of(const Operand& operand) {
    if (operand.same()) { return wrap(operand.plain, plain_); }
    if (!converted_ || layout_ != operand.chosen) {
      converted_ = std::make_unique<Bytes>(operand.chosen.get_size());
      layout_ = operand.chosen;
      memory from = wrap(operand.plain, plain_), to = wrap(layout_, converted_->data);
      operand.convert.execute(stream(), from, to);
    }
    return wrap(layout_, converted_->data);
  }

 private:
  const float* plain_;
  std::unique_ptr<Bytes> converted_;
  memory::desc layout_;
};

using Arguments = std::unordered_map<int, memory>;

/// Runs `plan` with its output delivered to `output` in the plain layout.
void execute(const Plan& plan, Role role, int output_argument, float* output, Arguments arguments) {
  const Operand& operand = plan.operands[role];
  const Bytes scratchpad(plan.scratchpad.get_size());
  const Bytes blocked(operand.same() ? 0 : operand.chosen.get_size());
  memory result = wrap(operand.chosen, operand.same() ? static_cast<void*>(output) : blocked.data);
  arguments.emplace(output_argument, result);
  arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(plan.scratchpad, scratchpad.data));
  plan.primitive.execute(stream(), arguments);
  if (!operand.same()) {
    memory plain = wrap(operand.plain, output);
    operand.convert.execute(stream(), result, plain);
  }
  stream().wait();
}

}  // namespace

void onednn_convolution(const Conv2dGeometry& geometry, const float* x, const float* weight, const float* bias,
                        float* y) {
  const AllocationName name(kScratchName);
  const auto plan = plan_for(geometry, Pass::kForward, Bias(bias != nullptr));
  Input source(x), weights(weight);
  Arguments arguments{{DNNL_ARG_SRC, source.in_layout_of(plan->operands[kSource])},
                      {DNNL_ARG_WEIGHTS, weights.in_layout_of(plan->operands[kWeights])}};
  if (bias != nullptr) { arguments.emplace(DNNL_ARG_BIAS, wrap(plan->bias, bias)); }
  execute(*plan, kDestination, DNNL_ARG_DST, y, std::move(arguments));
}

void onednn_convolution_backward(const Conv2dGeometry& geometry, const float* x, const float* weight, const float* dy,
                                 float* dx, float* dweight, float* dbias) {
  const AllocationName name(kScratchName);
  Input gradient(dy);
  if (dx != nullptr) {
    const auto plan = plan_for(geometry, Pass::kBackwardData, Bias::kNone);
    Input weights(weight);
    execute(*plan, kSource, DNNL_ARG_DIFF_SRC, dx,
            {{DNNL_ARG_DIFF_DST, gradient.in_layout_of(plan->operands[kDestination])},
             {DNNL_ARG_WEIGHTS, weights.in_layout_of(plan->operands[kWeights])}});
  }
  if (dweight != nullptr) {
    const auto plan = plan_for(geometry, Pass::kBackwardWeights, Bias(dbias != nullptr));
    Input source(x);
    Arguments arguments{{DNNL_ARG_DIFF_DST, gradient.in_layout_of(plan->operands[kDestination])},
                        {DNNL_ARG_SRC, source.in_layout_of(plan->operands[kSource])}};
    if (dbias != nullptr) { arguments.emplace(DNNL_ARG_DIFF_BIAS, wrap(plan->bias, dbias)); }
    execute(*plan, kWeights, DNNL_ARG_DIFF_WEIGHTS, dweight, std::move(arguments));
  }
}

}  // namespace terrace
