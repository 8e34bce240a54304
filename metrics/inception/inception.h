// Inception-v3 of 2015-12-05, the network of FID and its relatives, for inference.
//
//   const Inception network(find_inception_weights(), InceptionReading::kPytorchFid, {.level = 2048});
//   const Tensor features = network(inception_input(images, InceptionResize::kPytorch)).features;      // (N, 2048)
//
// Weights are read under the names of pytorch-fid's state_dict (Mixed_5b.branch1x1.conv.weight, ....bn.running_mean,
// ..., fc.weight); batch norm (eps 1e-3) is folded into the convolutions in f64 when they are loaded. What is read
// where:
//
//   features, level 64, 192   mean over the positions of the first, the second max pool
//   features, level 768       mean over the 17 x 17 positions of Mixed_6e
//   features, level 2048      mean over the 8 x 8 positions of Mixed_7c: TensorFlow's pool_3
//   spatial                   the first 7 channels of Mixed_6d.branch1x1 after ReLU (TensorFlow's mixed_6/conv), in the
//                             order (row, column, channel): sFID's 17 * 17 * 7 = 2023
//   logits                    level 2048 times fc.weight^T over 1008 classes
//
// On the CPU each image is computed by one thread, so its numbers depend neither on the batch it is in nor on the
// number of threads. Convolutions sum in f32, means in f64. Working memory: 12 MB for each thread, beside input and
// results.
//
// On another device batches are computed at once, in f32 or in bf16: then weights and what layers store are rounded to
// bf16, sums and what is returned are f32.
//
// Sources: Heusel et al. 2017 (FID), Nash et al. 2021 (sFID); pytorch-fid (structure and names); the evaluator of
// Dhariwal and Nichol 2021, ADM (what sFID and the Inception Score read).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/formats/open_tensor_file.h"
#include "tensor/tensor.h"

namespace terrace {

/// Which published evaluator's logits are computed; they differ in the bias of the last layer. ADM's, TensorFlow's and
/// torch-fidelity's Inception Score leaves fc.bias out, so a score is computed under kAdm; kPytorchFid adds it, as the
/// module of that name does.
enum class InceptionReading : uint8_t { kPytorchFid, kAdm };
const char* name_of(InceptionReading reading);  // "pytorch-fid", "adm"

/// What a call returns; only the layers that this needs are loaded and run.
struct InceptionRequest {
  int64_t level = 2048;  // of the features: 64, 192, 768, 2048; 0 for none
  bool spatial = false;
  bool logits = false;
};

/// Undefined where not asked for. All f32.
struct InceptionActivations {
  Tensor features;  // (N, level)
  Tensor spatial;   // (N, 2023)
  Tensor logits;    // (N, 1008)
};

/// Where the network computes, and in which type: f32 on the CPU, f32 or bf16 elsewhere.
struct InceptionPlacement {
  Device device = kCpu;
  DType dtype = DType::kF32;
};

class InceptionNetwork;        // metrics/inception/network.h
class InceptionDeviceNetwork;  // metrics/inception/device.h

class Inception {
 public:
  /// A file in any format of data/formats/open_tensor_file.h. It may hold the first layers only, if they reach what is
  /// asked for. Throws IoError for files; ConfigError for a request of nothing, another level, or layers that are not
  /// in the file: the first that is missing is named, and what the file does serve; ShapeError for weights of another
  /// network; DTypeError for another type than the placement's device has.
  Inception(const std::string& weights_file, InceptionReading reading, InceptionRequest request,
            InceptionPlacement placement = {});
  /// The same from an open file; weights_hash() is then empty.
  Inception(const TensorFile& weights, InceptionReading reading, InceptionRequest request,
            InceptionPlacement placement = {});

  /// images (N, 3, 299, 299) f32 as inception_input() of metrics/inception/resize.h makes them: -1 is black, 1 (or
  /// 127/128, by the resize's own convention) is white. N may be 0. They may lie anywhere; what is returned lies where
  /// the network computes. On the CPU safe to call from several threads.
  /// Throws ShapeError, DTypeError.
  InceptionActivations operator()(const Tensor& images) const;

  const InceptionRequest& request() const { return request_; }
  InceptionReading reading() const { return reading_; }
  const InceptionPlacement& placement() const { return placement_; }
  /// SHA-256 of the weights file, 64 hexadecimal digits.
  const std::string& weights_hash() const { return weights_hash_; }
  /// Whether the file holds the whole network, fc included.
  bool complete() const { return complete_; }

 private:
  std::vector<Tensor> run_on_cpu(const Tensor& images) const;

  std::shared_ptr<const InceptionNetwork> network_;               // on the CPU
  std::shared_ptr<const InceptionDeviceNetwork> device_network_;  // elsewhere
  Tensor classes_, bias_;                                         // of fc, for the logits; no bias under kAdm
  InceptionReading reading_;
  InceptionRequest request_;
  InceptionPlacement placement_;
  std::string weights_hash_;
  bool complete_ = false;
};

/// What a weights file serves.
struct InceptionCoverage {
  std::vector<int64_t> levels;  // of 64, 192, 768, 2048
  bool spatial = false, logits = false;
  std::string first_missing;  // the first layer, in order, that is not there; empty where the network is whole
};
InceptionCoverage inception_coverage(const TensorFile& weights);

}  // namespace terrace
