// A generated set of 32x32 pictures whose classes are defined by shape, colour AND position, so that a model without
// positional information cannot draw its class, and a rule that tells which class a picture shows.
//
// A class is one of four figures (red disc, red square, blue square, blue triangle) in one of four quadrants: colour,
// shape and place each tell apart classes that agree in the other two; a blue disc, a red triangle or a figure in the
// middle is of no class. Size, place within the quadrant, rotation, hue, shading, background and noise vary.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/hdf5/file.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace terrace {

inline constexpr int64_t kProceduralSize = 32;
inline constexpr int64_t kProceduralClasses = 16;

/// "red disc top left", ... one for each class.
const std::vector<std::string>& procedural_class_names();

enum class FigureShape : uint8_t { kDisc, kSquare, kTriangle };
enum class FigureColor : uint8_t { kRed, kBlue };

struct Figure {
  FigureShape shape = FigureShape::kDisc;
  FigureColor color = FigureColor::kRed;
  double x = 16, y = 16;  // of the centroid, in pixels from the upper left corner of the picture
  double radius = 5;      // of a disc; the others are of similar size
  double angle = 0;       // radians; 0: an upright square, a triangle that stands
};

/// A figure, antialiased, on a random background with noise; hue and shades are drawn as well. u8 (32, 32, 3).
Tensor draw_figure(const Figure& figure, Generator& draws);

/// Picture `index` of class `label` of the set of `seed`: a pure function of the three.
Tensor generate_procedural(uint64_t seed, int64_t index, int64_t label);
/// The label of picture `index` of a set: the classes go round.
inline int64_t procedural_label(int64_t index) { return index % kProceduralClasses; }

struct ProceduralOptions {
  uint64_t seed = 0;
  int64_t train = 16000, test = 1600;  // pictures; no test picture is drawn as one of the training pictures is
  Compression compression = Compression::kNone;
};

/// Writes the set as a dataset with the splits "train" and "test". `progress` may throw to stop.
void create_procedural(const std::string& path, const ProceduralOptions& options,
                       const std::function<void(int64_t done, int64_t total)>& progress);

struct ProceduralVerdict {
  int64_t label = -1;     // the class that the picture shows, or -1
  double confidence = 0;  // intersection over union of what was found and the best figure of its place and size
};

/// The set's own rule, made for pictures that are somewhat blurred or noisy, too: the figure is what has colour; its
/// hue gives the colour, its centroid the quadrant, and the shape is the one whose drawing of the same area at the same
/// place covers it best. image: u8 (32, 32, 3), or f32 (3, 32, 32) in [-1, 1].
ProceduralVerdict inspect_procedural(const Tensor& image);
inline int64_t classify_procedural(const Tensor& image) { return inspect_procedural(image).label; }

}  // namespace terrace
