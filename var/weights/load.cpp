#include "var/weights/load.h"

#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "nn/weight_scopes.h"
#include "var/weights/checkpoint.h"

namespace terrace {

TensorFile open_weights(const std::string& path, WeightKind kind, const std::string& prefix) {
  const TensorFile file = open_tensor_file(checkpoint_file(path));
  if (file.format() != "HDF5") { return find_weights(file, kind, prefix); }
  check_kind(Hdf5File::open(file.path()), name_of(kind));
  return file.subtree("model");
}

LoadedTransformer load_transformer(const std::string& path, const WeightOptions& options) {
  const WithoutInitialValues read_instead;
  LoadedTransformer loaded;
  Generator scratch(0);
  const TensorFile weights = open_weights(path, WeightKind::kVar, options.prefix);
  loaded.model = std::make_unique<VarTransformer>(var_config_from_weights(weights, options), scratch);
  load_var_weights(*loaded.model, weights);
  loaded.model->eval();
  loaded.class_names = stored_class_names(weights);
  const auto hash = weights.metadata().find("tokenizer_hash");
  if (hash != weights.metadata().end()) { loaded.tokenizer_hash = hash->second; }
  return loaded;
}

std::unique_ptr<Vqvae> load_vqvae(const std::string& path, const WeightOptions& options) {
  const WithoutInitialValues read_instead;
  Generator scratch(0);
  const TensorFile weights = open_weights(path, WeightKind::kVqvae, options.prefix);
  auto model = std::make_unique<Vqvae>(vqvae_config_from_weights(weights, options), scratch);
  load_vqvae_weights(*model, weights);
  if (weights.format() == "HDF5") {
    const Hdf5File file = Hdf5File::open(weights.path());
    if (file.has("average")) {
      const State average = read_state(file, "average");
      State target = model->state();
      std::erase_if(target, [&](const auto& entry) { return !average.contains(entry.first); });  // buffers have none
      copy_state(weights.path().c_str(), target, average);
    }
  }
  model->eval();
  return model;
}

}  // namespace terrace
