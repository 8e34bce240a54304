#include "var/weights/weight_export.h"

#include <filesystem>
#include <set>

#include "data/files/json.h"
#include "data/formats/tensor_writer.h"
#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "tensor/base/error.h"
#include "var/weights/checkpoint.h"
#include "var/weights/official_code.h"

namespace terrace {
namespace {

/// What is written: tensors of files, and some that were made.
struct Source {
  TensorFile weights;
  std::optional<TensorFile> averaged = {};  // goes before `weights`
  std::optional<WeightKind> kind = {};
  std::string config = {};                                   // JSON, of a kind
  std::vector<std::pair<std::string, Tensor>> buffers = {};  // that the weights lack
  std::vector<std::string> class_names = {};
  std::string tokenizer_hash = {};  // of a transformer
  std::vector<std::string> missing_in_official_code = {};

  Tensor read(const std::string& name) const {
    for (const auto& [buffer, value] : buffers) {
      if (buffer == name) { return value; }
    }
    return averaged && averaged->has(name) ? averaged->read(name) : weights.read(name);
  }
};

Source find_source(const TensorFile& file, const WeightOptions& options) {
  const auto var = find_weights_if_any(file, WeightKind::kVar, options.prefix);
  const auto vqvae = find_weights_if_any(file, WeightKind::kVqvae, options.prefix);
  if (var && vqvae) {
    throw ConfigError(cat(file.path(), ": holds a transformer and a tokenizer; choose one with --prefix"));
  }
  if (!var && !vqvae) { return {.weights = options.prefix.empty() ? file : file.subtree(options.prefix)}; }
  Source source{.weights = var ? *var : *vqvae, .kind = var ? WeightKind::kVar : WeightKind::kVqvae};
  std::vector<std::pair<std::string, Tensor>> buffers;
  if (var) {
    const VarConfig config = var_config_from_weights(*var, options);
    source.config = to_text(config);
    buffers = official_buffers(config);
    source.missing_in_official_code = missing_in_official_code(config);
    source.class_names = stored_class_names(file);
    const auto hash = file.metadata().find("tokenizer_hash");
    if (hash != file.metadata().end()) { source.tokenizer_hash = hash->second; }
  } else {
    const VqvaeConfig config = vqvae_config_from_weights(*vqvae, options);
    source.config = to_text(config);
    buffers = official_buffers(config);
    source.missing_in_official_code = missing_in_official_code(config);
    if (file.metadata().contains("terrace_kind")) { source.averaged = file.without_prefix("average/"); }
  }
  for (auto& [name, value] : buffers) {
    if (!source.weights.has(name)) { source.buffers.emplace_back(name, value); }
  }
  return source;
}

std::vector<TensorEntry> entries_of(const Source& source, const std::optional<DType>& dtype) {
  std::vector<TensorEntry> entries = source.weights.entries();
  for (const auto& [name, value] : source.buffers) { entries.push_back({name, value.dtype(), value.shape()}); }
  for (TensorEntry& entry : entries) {
    if (dtype && is_floating(entry.dtype)) { entry.dtype = *dtype; }
  }
  return entries;
}

void write_checkpoint(const Source& source, const std::vector<TensorEntry>& entries, const std::string& out) {
  if (!source.kind) {
    throw ConfigError(
        cat("cannot write ", out, ": ", source.weights.path(),
            " is neither a transformer nor a tokenizer, so that it makes no checkpoint; write .safetensors"));
  }
  Hdf5File file = Hdf5File::create(out);
  write_kind(file, name_of(*source.kind));
  file.write_attr_string("/", "config", source.config);
  file.write_attr_int("/", "step", 0);
  if (!source.tokenizer_hash.empty()) { file.write_attr_string("/", "tokenizer_hash", source.tokenizer_hash); }
  if (!source.class_names.empty()) { file.write_strings("class_names", source.class_names); }
  file.make_group("model");
  if (source.kind == WeightKind::kVar) { file.make_group("initial"); }
  for (const TensorEntry& entry : entries) {
    if (entry.name == "attn_bias_for_masking") {
      continue;  // follows from the configuration
    }
    file.write("model/" + entry.name, source.read(entry.name).to(entry.dtype));
  }
  file.commit();
}

/// What is kept as text beside the tensors.
std::map<std::string, std::string> metadata_of(const Source& source) {
  if (!source.kind) { return {}; }
  std::map<std::string, std::string> metadata = {{"terrace_kind", name_of(*source.kind)}, {"config", source.config}};
  if (!source.class_names.empty()) { metadata["class_names"] = json_text(Json(source.class_names)); }
  if (!source.tokenizer_hash.empty()) { metadata["tokenizer_hash"] = source.tokenizer_hash; }
  return metadata;
}

}  // namespace

ExportReport export_weights(const std::string& in, const std::string& out, const ExportOptions& options) {
  const Source source = find_source(open_tensor_file(checkpoint_file(in)), options.source);
  const std::vector<TensorEntry> entries = entries_of(source, options.dtype);
  const std::string ending = std::filesystem::path(out).extension();
  const std::set<std::string> endings = {".h5", ".npz", ".pt", ".pth", ".safetensors"};
  if (endings.count(ending) == 0) {
    throw ConfigError(cat("cannot write ", out, ": its ending must be .safetensors, .npz, .pth, .pt or .h5"));
  }
  ExportReport report;
  if (ending == ".h5") {
    write_checkpoint(source, entries, out);
  } else {
    std::map<std::string, std::string> metadata = metadata_of(source);
    if (ending == ".safetensors") { metadata["format"] = "pt"; }
    const auto writer = create_tensor_file(out, entries, metadata);
    for (const TensorEntry& entry : entries) { writer->write(source.read(entry.name).to(entry.dtype)); }
    writer->commit();
    report.missing_in_official_code = source.missing_in_official_code;
  }
  report.what = !source.kind ? "" : source.kind == WeightKind::kVar ? "VAR transformer" : "tokenizer";
  report.tensors = static_cast<int64_t>(entries.size());
  for (const TensorEntry& entry : entries) { report.values += entry.shape.numel(); }
  return report;
}

}  // namespace terrace
