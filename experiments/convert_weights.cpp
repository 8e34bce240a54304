// Converts weights between the formats of PyTorch, safetensors, NumPy and Terrace, and shows what is in a file.
#include <algorithm>
#include <cstdio>
#include <iomanip>
#include <iostream>

#include "data/formats/open_tensor_file.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "tensor/base/error.h"
#include "var/weights/weight_export.h"

namespace terrace {
namespace {

void print_list(const std::string& path, const std::string& prefix) {
  const TensorFile whole = open_tensor_file(path);
  const TensorFile file = prefix.empty() ? whole : whole.subtree(prefix);
  size_t width = 0;
  int64_t values = 0, bytes = 0;
  for (const TensorEntry& entry : file.entries()) { width = std::max(width, entry.name.size()); }
  for (const TensorEntry& entry : file.entries()) {
    std::cout << std::left << std::setw(static_cast<int>(width) + 2) << entry.name << std::setw(6) << entry.dtype
              << entry.shape << "\n";
    values += entry.shape.numel();
    bytes += entry.bytes();
  }
  char size[32];
  std::snprintf(size, sizeof size, "%.1f", static_cast<double>(bytes) / 1e6);
  std::cout << path << " (" << file.format() << "): " << file.entries().size() << " tensors, " << values << " values, "
            << size << " MB\n";
}

void run(int argc, char** argv) {
  std::string in, out, dtype = "as-is";
  ExportOptions settings;
  bool list = false, overwrite = false;
  Options options(
      "convert_weights",
      "Converts weights between .pth, .safetensors, .npz and Terrace's checkpoints; shows what a file holds.");
  options.add("in", in, "weights: .pth or .pt (zip or legacy), .safetensors, .npz, .npy, .h5").positional().required();
  options.add("out", out, "file to write: .safetensors, .pth, .pt, .npz, or .h5 (a checkpoint for sample)")
      .positional();
  options.add("list", list, "print names, types and shapes; converts nothing without OUT");
  options.add("dtype", dtype, "type of floating tensors").choices({"as-is", "f32", "f16", "bf16"});
  options.add("prefix", settings.source.prefix, "take what lies below this name, e.g. trainer/var_wo_ddp")
      .default_text("found by its names");
  options.add("heads", settings.source.num_heads, "attention heads, where the weights do not tell (no attn_l2_norm)")
      .range(0, 1024)
      .default_text("width / 64");
  options.add("patch-nums", settings.source.patch_nums, "a tokenizer's scales, of which weights tell only the number")
      .default_text("the official ones");
  declare_overwrite_file(options, overwrite, "OUT");
  options.epilog(
      "  convert_weights var_d16.pth --list\n"
      "  convert_weights ar-ckpt-last.pth var.safetensors --prefix trainer/var_wo_ddp --dtype bf16");
  options.parse(argc, argv);
  if (out.empty() && !list) { throw ConfigError("convert_weights: give a file to write, or --list"); }
  check_new_file(out, overwrite, "");
  if (dtype != "as-is") { settings.dtype = dtype_from_name(dtype); }
  if (list) { print_list(in, settings.source.prefix); }
  if (out.empty()) { return; }
  const ExportReport report = export_weights(in, out, settings);
  std::cout << out << ": " << report.what << ", " << report.tensors << " tensors, " << report.values << " values\n";
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
