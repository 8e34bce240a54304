// A generated set of 32x32 pictures whose classes are defined by shape, colour AND position, so that a model without
// positional information cannot draw its class, and a rule that tells which class a picture shows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace terrace {

inline constexpr int64_t kProceduralSize = 32;
inline constexpr int64_t kProceduralClasses = 16;

/// "red disc top left", ... one for each class.
const std::vector<std::string>& procedural_class_names();

struct ProceduralImage {
  Tensor image;  // u8 (32, 32, 3)
  int64_t label = 0;
};

/// Picture `index` of the set of `seed`: a pure function of both. Labels go round: index mod kProceduralClasses.
ProceduralImage generate_procedural(uint64_t seed, int64_t index);
Tensor generate_procedural(uint64_t seed, int64_t index, int64_t label);  // of a given class

struct ProceduralVerdict {
  int64_t label = -1;     // the class that the picture shows, or -1
  double confidence = 0;  // intersection over union of the figure found and the best shape of its place and size
};

/// The set's own rule. image: u8 (32, 32, 3), or f32 (3, 32, 32) in [-1, 1].
ProceduralVerdict inspect_procedural(const Tensor& image);
inline int64_t classify_procedural(const Tensor& image) { return inspect_procedural(image).label; }

}  // namespace terrace
