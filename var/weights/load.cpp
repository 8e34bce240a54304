#include "var/weights/load.h"

#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "nn/weight_scopes.h"
#include "var/weights/checkpoint.h"

namespace terrace {

LoadedTransformer load_transformer(const std::string& path, const WeightOptions& options) {
  const WithoutInitialValues read_instead;
  LoadedTransformer loaded;
  Generator scratch(0);
  const TensorFile tensors = open_tensor_file(path);
  if (tensors.format() != "HDF5") {
    const TensorFile weights = find_weights(tensors, WeightKind::kVar, options.prefix);
    loaded.model = std::make_unique<VarTransformer>(var_config_from_weights(weights, options), scratch);
    load_var_weights(*loaded.model, weights);
    loaded.model->eval();
    return loaded;
  }
  const Hdf5File file = Hdf5File::open(path);
  check_kind(file, "var");
  loaded.model = std::make_unique<VarTransformer>(var_config_from_text(file.read_attr_string("/", "config")), scratch);
  load_var_weights(*loaded.model, tensors.subtree("model"));
  loaded.model->eval();
  if (file.has("class_names")) { loaded.class_names = file.read_strings("class_names"); }
  if (file.has_attr("/", "tokenizer_hash")) { loaded.tokenizer_hash = file.read_attr_string("/", "tokenizer_hash"); }
  loaded.initial = read_state(file, "initial");
  loaded.step = file.read_attr_int("/", "step");
  return loaded;
}

std::unique_ptr<Vqvae> load_vqvae(const std::string& path, const WeightOptions& options) {
  const WithoutInitialValues read_instead;
  Generator scratch(0);
  const TensorFile tensors = open_tensor_file(path);
  if (tensors.format() != "HDF5") {
    const TensorFile weights = find_weights(tensors, WeightKind::kVqvae, options.prefix);
    auto model = std::make_unique<Vqvae>(vqvae_config_from_weights(weights, options), scratch);
    load_vqvae_weights(*model, weights);
    model->eval();
    return model;
  }
  const Hdf5File file = Hdf5File::open(path);
  check_kind(file, "vqvae");
  auto model = std::make_unique<Vqvae>(vqvae_config_from_text(file.read_attr_string("/", "config")), scratch);
  load_vqvae_weights(*model, tensors.subtree("model"));
  if (file.has("average")) {
    const State average = read_state(file, "average");
    State target = model->state();
    std::erase_if(target, [&](const auto& entry) { return !average.contains(entry.first); });  // buffers have none
    copy_state(path.c_str(), target, average);
  }
  model->eval();
  return model;
}

}  // namespace terrace
