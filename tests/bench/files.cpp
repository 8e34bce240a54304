// Files that are written and read back: checkpoints, datasets, token caches, files of weights. Each is read once and
// compared with what was written before anything is timed. Reading is timed from the system's page cache, where files
// lie that were written a moment ago: what the programs themselves do, not the disk, is measured. Writing includes
// fsync.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/datasets/loader.h"
#include "data/formats/open_tensor_file.h"
#include "data/formats/tensor_writer.h"
#include "experiments/cli/options.h"
#include "experiments/cli/program.h"
#include "experiments/cli/timing.h"
#include "tensor/base/error.h"
#include "tensor/device/device.h"
#include "tensor/random.h"
#include "var/tokenizer/token_cache.h"
#include "var/weights/checkpoint.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kSide = 32, kTokens = 155, kBatch = 64, kBlock = 256;

struct Case {
  std::string name;
  double amount;  // GB or images
  const char* unit;
  std::function<void()> run;
};

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw_data(), b.raw_data(), static_cast<size_t>(a.numel() * size_of(a.dtype()))) == 0;
}

void require_same(const Tensor& read, const Tensor& written, const std::string& what) {
  if (!same(read, written)) { throw Error(cat("bench_files: ", what, " is not what was written")); }
}

/// Weights of blocks of a transformer of width 1024, f32, of about so many bytes.
State weights_of(int64_t bytes) {
  State state;
  Generator g(1);
  for (int64_t left = bytes, block = 0; left > 0; ++block) {
    for (const auto& [name, shape] : {std::pair{"attn.mat_qkv.weight", Shape{3072, 1024}},
                                      {"attn.proj.weight", Shape{1024, 1024}},
                                      {"attn.proj.bias", Shape{1024}},
                                      {"ffn.fc1.weight", Shape{4096, 1024}}}) {
      state.emplace(cat("blocks.", block, ".", name), randn(shape, g));
      left -= shape.numel() * static_cast<int64_t>(sizeof(float));
    }
  }
  return state;
}

class Files {
 public:
  Files(fs::path folder, int64_t megabytes, int64_t images) : folder_(std::move(folder)), count_(images) {
    state_ = weights_of(megabytes << 20);
    for (const auto& [name, value] : state_) { gigabytes_ += static_cast<double>(value.numel()) * sizeof(float) / 1e9; }
    Generator g(2);
    images_ = randint(256, {count_, kSide, kSide, 3}, g).to(DType::kU8);
    labels_ = randint(100, {count_}, g);
    for (int i = 0; i < 100; ++i) { names_.push_back(cat("class ", i)); }
    tokens_.indices = randint(4096, {count_, kTokens}, g);
    tokens_.labels = labels_;
    tokens_.class_names = names_;
    tokens_.patch_nums = {1, 2, 3, 4, 5, 6, 8};
    tokens_.vocab_size = 4096;
    tokens_.dataset_hash = "sha256:images";
    tokens_.tokenizer_hash = "sha256:tokenizer";
  }
  ~Files() { fs::remove_all(folder_); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  void validate() {
    for (const char* name : {"w.h5", "w.safetensors", "w.pth"}) {
      write_weights(name);
      const TensorFile file = open_tensor_file(path(name));
      const std::string prefix = file.has(state_.begin()->first) ? "" : "model/";
      for (const auto& [entry, value] : state_) { require_same(file.read(prefix + entry), value, name); }
    }
    create_dataset(path("images.h5"), "train", images_, labels_, names_, "bench_files");
    const ImageDataset dataset = open_dataset();
    require_same(dataset.images(0, count_), images_, "the dataset");
    require_same(dataset.labels(), labels_, "the dataset's labels");
    write_tokens(path("tokens.h5"), tokens_);
    require_same(read_tokens(path("tokens.h5")).indices, tokens_.indices, "the token cache");
  }

  std::vector<Case> cases() {
    const auto images = static_cast<double>(count_);
    const auto weights = [&](const char* what, const char* name) {
      return std::vector<Case>{{cat(what, ", writing"), gigabytes_, "GB/s", [=, this] { write_weights(name); }},
                               {cat(what, ", loading"), gigabytes_, "GB/s", [=, this] { read_weights(name); }}};
    };
    std::vector<Case> all;
    for (std::vector<Case>& pair : std::vector<std::vector<Case>>{
             weights("checkpoint.h5", "w.h5"), weights("safetensors", "w.safetensors"), weights("pth", "w.pth")}) {
      all.insert(all.end(), pair.begin(), pair.end());
    }
    all.push_back({"dataset, writing", images, "images/s",
                   [this] { create_dataset(path("images.h5"), "train", images_, labels_, names_, "bench_files"); }});
    all.push_back({cat("dataset, blocks of ", kBlock), images, "images/s", [this] { read_blocks(); }});
    all.push_back({cat("dataset, random batches of ", kBatch), images, "images/s", [this] { read_random(); }});
    all.push_back({"dataset, loader", images, "images/s", [this] { read_through_loader(); }});
    all.push_back({"token cache, writing", images, "images/s", [this] { write_tokens(path("tokens.h5"), tokens_); }});
    all.push_back({"token cache, reading", images, "images/s", [this] { read_tokens(path("tokens.h5")); }});
    return all;
  }

 private:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  ImageDataset open_dataset() const { return ImageDataset::open(path("images.h5")); }

  void write_weights(const std::string& name) const {
    if (name.ends_with(".h5")) {
      Hdf5File file = Hdf5File::create(path(name));
      write_state(file, "model", state_);
      return file.commit();
    }
    std::vector<TensorEntry> entries;
    for (const auto& [entry, value] : state_) { entries.push_back({entry, value.dtype(), value.shape()}); }
    const auto writer = create_tensor_file(path(name), entries);
    for (const auto& [entry, value] : state_) { writer->write(value); }
    writer->commit();
  }
  void read_weights(const std::string& name) {
    if (name.ends_with(".h5")) {
      read_state(Hdf5File::open(path(name)), "model");
      return;
    }
    const TensorFile file = open_tensor_file(path(name));
    for (const auto& [entry, value] : state_) { file.read(entry); }
  }
  void read_blocks() const {
    const ImageDataset dataset = open_dataset();
    for (int64_t begin = 0; begin < count_; begin += kBlock) {
      dataset.images(begin, std::min(count_, begin + kBlock));
    }
  }
  void read_random() const {
    const ImageDataset dataset = open_dataset();
    const std::vector<int64_t> order = epoch_order(count_, 1, 0);
    for (int64_t begin = 0; begin + kBatch <= count_; begin += kBatch) {
      dataset.images(std::vector<int64_t>(order.begin() + begin, order.begin() + begin + kBatch));
    }
  }
  void read_through_loader() const {
    Loader loader(open_dataset(), {.batch = kBatch, .seed = 1});
    for (int64_t i = 0; i < loader.steps_per_epoch(); ++i) { loader.next(); }
  }

  fs::path folder_;
  int64_t count_;
  double gigabytes_ = 0;
  State state_;
  Tensor images_, labels_;
  std::vector<std::string> names_;
  TokenSet tokens_;
};

void run(int argc, char** argv) {
  int64_t runs = 7, megabytes = 200, images = 16000;
  std::string below = fs::temp_directory_path().string();
  Options options("bench_files", "Times writing and reading checkpoints, datasets, token caches and files of weights.");
  options.add("runs", runs, "runs of each, of which the median counts").at_least(1);
  options.add("megabytes", megabytes, "size of the weights").at_least(1);
  options.add("images", images, "images of the dataset and of the token cache").at_least(kBatch);
  options.add("folder", below, "where a folder for the files is made").default_text("the system's for temporary files");
  options.parse(argc, argv);
  std::string folder = (fs::path(below) / "terrace_files_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) { throw IoError(cat("cannot make a folder ", folder)); }
  Files files(folder, megabytes, images);
  files.validate();
  std::printf("weights of %lld MB, %lld images of 32x32, %s, %d threads, median of %lld runs in turn\n",
              static_cast<long long>(megabytes), static_cast<long long>(images), cpu_model().c_str(), threads(),
              static_cast<long long>(runs));
  const std::vector<Case> cases = files.cases();
  std::vector<std::vector<double>> seconds(cases.size());
  for (int64_t round = 0; round < runs; ++round) {
    for (size_t i = 0; i < cases.size(); ++i) {
      check_interrupt();
      seconds[i].push_back(seconds_of(cases[i].run));
    }
  }
  for (size_t i = 0; i < cases.size(); ++i) {
    const double time = median(seconds[i]);
    std::printf("%-34s %9.1f ms %10.2f %s\n", cases[i].name.c_str(), 1e3 * time, cases[i].amount / time, cases[i].unit);
  }
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
