// The pictures that trainers leave at every evaluation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/datasets/image_dataset.h"
#include "var/tokenizer/vqvae.h"
#include "var/transformer/transformer.h"

namespace terrace {

/// `count` images of a dataset, always the same: rows of eight, each above the row of their reconstructions.
void write_reconstructions(const std::string& path, const Vqvae& model, const ImageDataset& images, int64_t count);

/// `count` images drawn with the model's present weights, rows of eight: classes spread evenly over those of the model,
/// guidance 1.5, top-p 0.95, the seed of an image its number, so that two pictures differ by the weights alone. The
/// caption of an image is its class's name, or its number where `class_names` is empty.
void write_samples(const std::string& path, VarTransformer& model, Vqvae& tokenizer,
                   const std::vector<std::string>& class_names, int64_t count);

}  // namespace terrace
