// Inception-v3: the golden activations, the stem against plain ops, files that hold only some layers, bad input.
#include "metrics/inception/inception.h"

#include <cstdlib>
#include <fstream>

#include "autograd/functions.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/pool2d.h"
#include "data/files/sha256.h"
#include "data/formats/tensor_writer.h"
#include "experiments/fixtures/fixture.h"
#include "metrics/inception/plan.h"
#include "metrics/inception/weights.h"
#include "tensor/device/device.h"
#include "tests/golden.h"
#include "tests/support.h"

namespace terrace {
namespace {

TEST(InceptionGolden, ProceduralWeightsEveryLevelAndResize) { expect_golden("procedural_inception.h5"); }

TEST(InceptionGolden, RealWeights) {
  SKIP_WITHOUT_DATA(weights, "inception/inception_fid_to_mixed_6e.safetensors");
  expect_golden("inception_real.h5", weights);
}

TEST(InceptionGolden, RealWeightsAreAskedFor) {
  const TemporaryFolder folder;
  expect_error<ConfigError>([&] { run_fixture(GoldenFile("inception_real.h5").path(), folder / "out.h5"); },
                            "fixtures of kind inception_features need the network's weights: --weights FILE");
}

/// The first `layers` convolutions of the network, by random numbers, as a file.
std::string write_first_layers(const TemporaryFolder& folder, size_t layers, int64_t outputs_of_first = 32,
                               double low = -0.3) {
  std::vector<TensorEntry> entries;
  for (const InceptionStep& step : inception_plan().steps) {
    if (step.name.empty()) { continue; }
    if (entries.size() == 5 * layers) { break; }
    const int64_t o = entries.empty() ? outputs_of_first : step.to.channels;
    entries.push_back(
        {step.name + ".conv.weight", DType::kF32, {o, step.from.channels, step.window.height, step.window.width}});
    for (const char* part : {"weight", "bias", "running_mean", "running_var"}) {
      entries.push_back({cat(step.name, ".bn.", part), DType::kF32, {o}});
    }
  }
  const std::string path = folder / cat("first_", layers, ".safetensors");
  const auto writer = create_tensor_file(path, entries);
  uint64_t seed = 0;
  for (const TensorEntry& entry : entries) {
    const bool variance = entry.name.ends_with("running_var");
    writer->write(random_tensor(entry.shape, ++seed, variance ? 0.01 : low, variance ? 0.5 : 0.3));
  }
  writer->commit();
  return path;
}

Tensor some_images(int64_t count) { return random_tensor({count, 3, kInceptionSize, kInceptionSize}, 77); }

Variable convolved(const TensorFile& file, const std::string& name, const Variable& x, const Conv2dOptions& options) {
  const auto read = [&](const char* part) { return file.read(cat(name, part)); };
  const Variable y = conv2d(x, Variable(read(".conv.weight")), {}, options);
  return relu(batch_norm_eval(y, read(".bn.running_mean"), read(".bn.running_var"), Variable(read(".bn.weight")),
                              Variable(read(".bn.bias")), kInceptionBatchNormEps));
}

TEST(Inception, StemIsConvolutionsBatchNormsAndPools) {
  const TemporaryFolder folder;
  const std::string path = write_first_layers(folder, 5);
  const TensorFile file = open_tensor_file(path);
  const Tensor images = some_images(2);
  Variable x = convolved(file, "Conv2d_1a_3x3", Variable(images), {.stride = 2, .pad = {}});
  x = convolved(file, "Conv2d_2a_3x3", x, {});
  x = convolved(file, "Conv2d_2b_3x3", x, {.stride = 1, .pad = {1, 1, 1, 1}});
  const Variable first = max_pool2d(x, {.kernel = 3, .stride = 2});
  x = convolved(file, "Conv2d_4a_3x3", convolved(file, "Conv2d_3b_1x1", first, {}), {});
  const Variable second = max_pool2d(x, {.kernel = 3, .stride = 2});
  for (const auto& [level, expected] : {std::pair{64, first}, std::pair{192, second}}) {
    const Inception network(path, InceptionReading::kPytorchFid, {.level = level});
    const Tensor features = network(images).features;
    EXPECT_CLOSE(features, adaptive_avg_pool2d(expected, {1, 1}).value().view({2, level}), 1e-5);
  }
}

TEST(Inception, AnImageDependsNeitherOnItsBatchNorOnThreads) {
  const TemporaryFolder folder;
  const Inception network(write_first_layers(folder, 5), InceptionReading::kAdm, {.level = 192});
  const Tensor images = some_images(3);
  const Tensor together = network(images).features;
  const int count = threads();
  set_threads(1);
  for (int64_t i = 0; i < 3; ++i) {
    EXPECT_SAME(network(images.slice(0, i, i + 1)).features, together.slice(0, i, i + 1));
  }
  set_threads(count);
  EXPECT_EQ(network(images.slice(0, 0, 0)).features.shape(), Shape({0, 192}));
}

TEST(Inception, GivesOnlyWhatIsAskedFor) {
  const TemporaryFolder folder;
  const std::string path = write_first_layers(folder, 3);
  const Inception network(path, InceptionReading::kAdm, {.level = 64});
  const InceptionActivations read = network(some_images(1));
  EXPECT_EQ(read.features.shape(), Shape({1, 64}));
  EXPECT_FALSE(read.spatial.defined());
  EXPECT_FALSE(read.logits.defined());
  EXPECT_FALSE(network.complete());
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(network.weights_hash(), sha256_hex(bytes.data(), bytes.size()));
}

TEST(Inception, AFileOfTheFirstLayersServesWhatTheyReach) {
  const TemporaryFolder folder;
  const InceptionCoverage stem = inception_coverage(open_tensor_file(write_first_layers(folder, 4)));
  EXPECT_EQ(stem.levels, std::vector<int64_t>{64});
  EXPECT_EQ(stem.first_missing, "Conv2d_4a_3x3");
  const auto refuse = [&](size_t layers, const InceptionRequest& request, const std::string& text) {
    const std::string path = write_first_layers(folder, layers);
    expect_error<ConfigError>([&] { Inception(path, InceptionReading::kAdm, request); }, path + ": " + text);
  };
  refuse(4, {.level = 192},
         "level 192 cannot be computed: the first layer that is missing is Conv2d_4a_3x3; the file serves level 64. "
         "`make inception` downloads the whole network");
  refuse(1, {.level = 64},
         "level 64 cannot be computed: the first layer that is missing is Conv2d_2a_3x3; the file serves nothing.");
  refuse(5, {.level = 64, .spatial = true},
         "the spatial features of sFID cannot be computed: the first layer that is missing is Mixed_5b.branch1x1; the "
         "file serves level 64, level 192.");
  refuse(5, {.level = 0, .spatial = false, .logits = true}, "the logits cannot be computed: the first layer");
}

TEST(Inception, OtherRequestsWeightsAndImagesAreRefused) {
  const TemporaryFolder folder;
  const std::string path = write_first_layers(folder, 3);
  const auto open = [](const std::string& file, const InceptionRequest& request) {
    return Inception(file, InceptionReading::kAdm, request);
  };
  expect_error<ConfigError>([&] { open(path, {.level = 100}); },
                            "inception: the levels of features are 64, 192, 768 and 2048, got 100");
  expect_error<ConfigError>([&] { open(path, {.level = 0}); }, "inception: nothing is asked for");
  expect_error<IoError>([&] { open(folder / "missing.pth", {.level = 64}); }, "missing.pth");
  const std::string other = write_first_layers(folder, 3, 48);
  expect_error<ShapeError>([&] { open(other, {.level = 64}); },
                           "Conv2d_1a_3x3.conv.weight is (48, 3, 3, 3), Inception-v3's is (32, 3, 3, 3)");

  const std::string infinite = write_first_layers(folder, 3, 32, -1e300);
  expect_error<IoError>([&] { open(infinite, {.level = 64}); }, ": the weights of Conv2d_1a_3x3 are not finite");

  const Inception network(write_first_layers(folder, 3), InceptionReading::kAdm, {.level = 64});
  expect_error<ShapeError>(
      [&] {
        network(Tensor::zeros({1, 3, 32, 32}));
      },
      "inception: images must be (1, 3, 299, 299)");
  expect_error<DTypeError>(
      [&] {
        network(Tensor::zeros({1, 3, 299, 299}, DType::kU8));
      },
      "inception: images must be f32");
}

// --- On a device -----------------------------------------------------------------------------------------------------

TEST(InceptionDevice, StemIsTheCpusAndABatchIsItsImages) {
  const TemporaryFolder folder;
  const std::string path = write_first_layers(folder, 5);
  const Tensor images = some_images(2);
  const Inception expected(path, InceptionReading::kAdm, {.level = 192});
  const Inception network(path, InceptionReading::kAdm, {.level = 192}, {.device = device_from_name("cuda-host")});
  const Tensor features = network(images).features;
  EXPECT_EQ(features.device(), device_from_name("cuda-host"));
  EXPECT_EQ(features.dtype(), DType::kF32);
  EXPECT_CLOSE(features.to(kCpu), expected(images).features, 1e-5);
  EXPECT_SAME(network(images.slice(0, 1, 2)).features.to(kCpu), features.to(kCpu).slice(0, 1, 2).contiguous());
  EXPECT_EQ(network(images.slice(0, 0, 0)).features.shape(), Shape({0, 192}));
}

/// The fixture's image of 32 pixels through the whole network, in a file of its own: the executor is slow.
TEST(InceptionDevice, TheWholeNetworkIsTheFixtures) {
  const GoldenFile golden("procedural_inception.h5");
  const TemporaryFolder folder;
  Hdf5File part = Hdf5File::create(folder / "part.h5");
  Json config = Json::parse(golden.attribute("", "config"));
  config["sizes"] = {32};
  part.write_attr_string("/", "config", config.dump());
  part.write_attr_string("/", "params", golden.attribute("", "params"));
  const auto keep = [&](const std::string& dataset) {
    part.write(dataset, golden.read(dataset).to(kCpu).slice(0, 0, 1).contiguous());
  };
  keep("inputs/images_32");
  for (const char* name : {"pool_2048", "spatial_2023", "logits_nobias", "probs_nobias", "level_192", "resized_pytorch",
                           "resized_tf1", "resized_clean"}) {
    keep(cat("outputs/size_32/", name));
  }
  part.commit();
  run_fixture(folder / "part.h5", folder / "out.h5", "", device_from_name("cuda-host"));
  const std::vector<ResultDifference> results = compare_with_fixture(folder / "part.h5", folder / "out.h5");
  EXPECT_EQ(results.size(), 8U);
  for (const ResultDifference& r : results) {
    EXPECT_TRUE(r.within()) << r.dataset << ": " << r.problem << " difference " << r.error << " of "
                            << r.tolerance.limit << " allowed";
  }
}

/// Largest error of bf16 relative to the largest feature, after `layers` convolutions: each rounds its weights and what
/// it stores, by 2^-9 at most and as good as independently; four standard deviations of the sum.
double bf16_error(int64_t layers) { return 4 * std::sqrt(2.0 * static_cast<double>(layers) / 3) * 0x1p-9; }

TEST(InceptionDevice, InBf16WithinItsRounding) {
  const TemporaryFolder folder;
  const std::string path = write_first_layers(folder, 5);
  const Tensor images = some_images(1);
  const InceptionPlacement placement{.device = device_from_name("cuda-host"), .dtype = DType::kBF16};
  const Tensor exact = Inception(path, InceptionReading::kAdm, {.level = 192})(images).features;
  const Tensor narrow = Inception(path, InceptionReading::kAdm, {.level = 192}, placement)(images).features;
  EXPECT_EQ(narrow.dtype(), DType::kF32);
  EXPECT_CLOSE(narrow.to(kCpu), exact, bf16_error(5));
  EXPECT_GT(relative_error(narrow.to(kCpu), exact), 1e-5) << "it is not computed in bf16";
}

TEST(InceptionDevice, OtherTypesAreRefused) {
  const TemporaryFolder folder;
  const std::string path = write_first_layers(folder, 3);
  const auto open = [&](const InceptionPlacement& placement) {
    return [&path, placement] { Inception(path, InceptionReading::kAdm, {.level = 64}, placement); };
  };
  expect_error<DTypeError>(open({.dtype = DType::kBF16}),
                           "inception: on the CPU it computes in f32, not in bf16; in bf16 on a GPU, --device cuda");
  expect_error<DTypeError>(open({.device = device_from_name("cuda-host"), .dtype = DType::kF64}),
                           "inception: computes in f32 or bf16 on cuda-host, not in f64");
}

TEST(InceptionWeights, AreFoundByNameOrInTheCache) {
  const TemporaryFolder folder;
  setenv("TERRACE_INCEPTION", (folder / "none.pth").c_str(), 1);
  expect_error<IoError>([] { find_inception_weights(); }, "TERRACE_INCEPTION names no file: " + folder / "none.pth");
  std::ofstream(folder / "some.pth") << "x";
  setenv("TERRACE_INCEPTION", (folder / "some.pth").c_str(), 1);
  EXPECT_EQ(find_inception_weights(), folder / "some.pth");
  unsetenv("TERRACE_INCEPTION");
  const char* before = std::getenv("XDG_CACHE_HOME");
  const std::string kept = before == nullptr ? "" : before;
  setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
  EXPECT_EQ(find_inception_weights(), "");
  std::filesystem::create_directories(folder / "terrace/inception");
  std::ofstream(folder / cat("terrace/inception/", kInceptionFile)) << "x";
  EXPECT_EQ(find_inception_weights(), folder / cat("terrace/inception/", kInceptionFile));
  before == nullptr ? unsetenv("XDG_CACHE_HOME") : setenv("XDG_CACHE_HOME", kept.c_str(), 1);
}

}  // namespace
}  // namespace terrace
