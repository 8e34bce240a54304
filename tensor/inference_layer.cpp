#include "tensor/inference_layer.h"

#include <unordered_map>

#include "tensor/convolution/onednn_engine.h"

namespace terrace {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using onednn::cpu;
using onednn::stream;
using onednn::wrap;

constexpr int64_t kPlainChannels = 3;  // of the network's input

memory::desc images(int64_t channels, int64_t height, int64_t width) {
  const Tag blocked = inference_block() == 16 ? Tag::nChw16c : Tag::nChw8c;
  return memory::desc({1, channels, height, width}, memory::data_type::f32,
                      channels == kPlainChannels ? Tag::nchw : blocked);
}

void run(const dnnl::primitive& primitive, const std::unordered_map<int, memory>& arguments) {
  primitive.execute(stream(), arguments);
  stream().wait();
}

}  // namespace

int64_t inference_block() { return cpu_backend() == Backend::kAvx512 ? 16 : 8; }

struct InferenceConv::Prepared {
  dnnl::convolution_forward::primitive_desc description;
  dnnl::primitive primitive;
  Tensor weight, bias;  // `weight` in the layout that `description` names

  Prepared(const Conv2dGeometry& g, const Tensor& plain_weight, const Tensor& plain_bias) {
    const auto f32 = memory::data_type::f32;
    const memory::dims extents{g.out_channels, g.in_channels, g.kernel_height, g.kernel_width};
    dnnl::post_ops relu;
    relu.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    dnnl::primitive_attr attributes;
    attributes.set_post_ops(relu);
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::convolution_forward::desc wanted(
        dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
        images(g.in_channels, g.height, g.width), memory::desc(extents, f32, Tag::any),
        memory::desc({g.out_channels}, f32, Tag::x), images(g.out_channels, g.out_height(), g.out_width()),
        {g.stride, g.stride}, {g.top, g.left}, {g.bottom, g.right});
    description = {wanted, attributes, cpu()};
    primitive = dnnl::convolution_forward(description);

    const memory::desc packed = description.weights_desc(), plain(extents, f32, Tag::oihw);
    weight = Tensor::empty({static_cast<int64_t>(packed.get_size() / sizeof(float))});
    bias = plain_bias.contiguous();
    const Tensor from = plain_weight.contiguous();
    memory source = wrap(plain, from.data<float>()), target = wrap(packed, weight.data<float>());
    dnnl::reorder(source, target).execute(stream(), source, target);
    stream().wait();
  }
};

InferenceConv::InferenceConv(const Conv2dGeometry& geometry, const Tensor& weight, const Tensor& bias) {
  const Conv2dGeometry& g = geometry;
  check_dtype(weight, DType::kF32, "inference_conv", "weight");
  check_dtype(bias, DType::kF32, "inference_conv", "bias");
  check_shape(weight, {g.out_channels, g.in_channels, g.kernel_height, g.kernel_width}, "inference_conv", "weight");
  check_shape(bias, {g.out_channels}, "inference_conv", "bias");
  const auto fits = [](int64_t channels) { return channels > 0 && channels % inference_block() == 0; };
  if (g.batch != 1 || !fits(g.out_channels) || !(fits(g.in_channels) || g.in_channels == kPlainChannels)) {
    throw ShapeError(cat("inference_conv: takes a batch of 1 and channels that are multiples of ", inference_block(),
                         " (", kPlainChannels, " of input), got a batch of ", g.batch, ", ", g.in_channels, " and ",
                         g.out_channels, " channels"));
  }
  try {
    prepared_ = std::make_shared<const Prepared>(g, weight, bias);
  } catch (const dnnl::error& error) {
    throw Error(cat("inference_conv: oneDNN refuses weight ", weight.shape(), " on images (", g.in_channels, ", ",
                    g.height, ", ", g.width, "), stride ", g.stride, ": ", error.what()));
  }
}

int64_t InferenceConv::scratch_bytes() const {
  return static_cast<int64_t>(prepared_->description.scratchpad_desc().get_size());
}

std::string InferenceConv::kernel_name() const { return prepared_->description.impl_info_str(); }

void InferenceConv::operator()(const float* x, float* y, void* scratch) const {
  const auto& d = prepared_->description;
  run(prepared_->primitive, {{DNNL_ARG_SRC, wrap(d.src_desc(), x)},
                             {DNNL_ARG_WEIGHTS, wrap(d.weights_desc(), prepared_->weight.data<float>())},
                             {DNNL_ARG_BIAS, wrap(d.bias_desc(), prepared_->bias.data<float>())},
                             {DNNL_ARG_DST, wrap(d.dst_desc(), y)},
                             {DNNL_ARG_SCRATCHPAD, wrap(d.scratchpad_desc(), scratch)}});
}

struct InferencePool::Prepared {
  dnnl::pooling_forward::primitive_desc description;
  dnnl::primitive primitive;

  Prepared(const Pool2dGeometry& g, InferencePooling pooling) {
    const auto algorithm =
        pooling == InferencePooling::kMax ? dnnl::algorithm::pooling_max : dnnl::algorithm::pooling_avg_exclude_padding;
    const dnnl::pooling_forward::desc wanted(dnnl::prop_kind::forward_inference, algorithm,
                                             images(g.planes, g.height, g.width),
                                             images(g.planes, g.out_height(), g.out_width()), {g.stride, g.stride},
                                             {g.kernel, g.kernel}, {g.pad, g.pad}, {g.pad, g.pad});
    description = {wanted, cpu()};
    primitive = dnnl::pooling_forward(description);
  }
};

InferencePool::InferencePool(const Pool2dGeometry& geometry, InferencePooling pooling) {
  if (geometry.planes <= 0 || geometry.planes % inference_block() != 0) {
    throw ShapeError(
        cat("inference_pool: takes channels that are multiples of ", inference_block(), ", got ", geometry.planes));
  }
  prepared_ = std::make_shared<const Prepared>(geometry, pooling);
}

void InferencePool::operator()(const float* x, float* y) const {
  const auto& d = prepared_->description;
  run(prepared_->primitive, {{DNNL_ARG_SRC, wrap(d.src_desc(), x)}, {DNNL_ARG_DST, wrap(d.dst_desc(), y)}});
}

}  // namespace terrace
