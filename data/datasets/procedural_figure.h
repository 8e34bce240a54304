// The geometry that the generated set and its rule share.
#pragma once

#include <array>
#include <span>

#include "data/datasets/procedural.h"

namespace terrace {

inline constexpr size_t kProceduralPixels = size_t{kProceduralSize * kProceduralSize};
using Coverage = std::array<float, kProceduralPixels>;  // 0..1 of each pixel, row by row

/// How much of each pixel the figure covers, by the distance of the pixel's centre from the outline; the edge is
/// `edge_width` pixels wide (1: sharp).
Coverage cover(const Figure& figure, double edge_width);

/// Area of a figure of radius 1.
double unit_area(FigureShape shape);
/// How far a figure of radius 1 reaches from its centroid.
double unit_reach(FigureShape shape);

struct FigureKind {
  FigureShape shape;
  FigureColor color;
};
/// The four figures that have classes; label = 4 * kind + quadrant, quadrants row by row.
std::span<const FigureKind, 4> procedural_kinds();
double hue_of(FigureColor color);  // degrees

}  // namespace terrace
