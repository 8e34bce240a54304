// The golden fixtures of kinds ops, optim and positional, computed by the code of run_fixture.
#include <algorithm>

#include "experiments/support/fixtures/fixture.h"
#include "tests/support.h"

namespace terrace {
namespace {

std::string golden_path(const std::string& name) { return GoldenFile(name).path(); }

/// Runs a fixture and gives every difference to `check`.
template <class Check>
void run_and_compare(const std::string& name, Check&& check) {
  const TemporaryFolder folder;
  const std::string out = folder / "out.h5";
  run_fixture(golden_path(name), out);
  const std::vector<ResultDifference> results = compare_with_fixture(golden_path(name), out);
  EXPECT_FALSE(results.empty());
  for (const ResultDifference& result : results) {
    EXPECT_EQ(result.problem, "") << name << ": " << result.dataset;
    if (result.problem.empty()) check(result);
  }
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void check_op(const ResultDifference& result, bool integer) {
  const double tolerance = integer ? 0 : contains(result.dataset, "/grads/") ? 2e-5 : 5e-6;
  EXPECT_LE(result.difference.relative(), tolerance)
      << result.dataset << ": worst at " << result.difference.index << ": " << result.difference.a << ", expected "
      << result.difference.b;
}

void check_ops(const std::string& name) {
  const Hdf5File fixture = Hdf5File::open(golden_path(name));
  run_and_compare(
      name, [&](const ResultDifference& result) { check_op(result, !is_floating(fixture.dtype(result.dataset))); });
}

TEST(GoldenOps, EveryCase) { check_ops("ops.h5"); }
TEST(GoldenOps, OtherShapesValuesAndParameters) { check_ops("ops_variants.h5"); }

void check_optim(const ResultDifference& result) {
  // Schedules are f64 in the fixtures; parameters and moments are compared absolutely.
  const double tolerance = contains(result.dataset, "schedule") ? 1e-12 : 1e-6;
  const bool norm = contains(result.dataset, "_norm");
  EXPECT_LE(norm ? result.difference.relative() : result.difference.worst, tolerance) << result.dataset;
}

TEST(GoldenOptim, EveryGroup) { run_and_compare("optim.h5", check_optim); }
TEST(GoldenOptim, OtherShapesValuesAndParameters) { run_and_compare("optim_variants.h5", check_optim); }

void check_positional(const ResultDifference& result) {
  EXPECT_LE(result.difference.worst, contains(result.dataset, "/resize/") ? 1e-5 : 2e-6) << result.dataset;
}

TEST(GoldenPositional, EveryTable) { run_and_compare("positional.h5", check_positional); }
TEST(GoldenPositional, OtherPyramids) { run_and_compare("positional_variants.h5", check_positional); }

/// Copies a fixture without anything that is a result.
void copy_inputs(const std::string& from, const std::string& to) {
  const Hdf5File source = Hdf5File::open(from);
  Hdf5File target = Hdf5File::create(to);
  target.write_attr_string("/", "config", source.read_attr_string("/", "config"));
  for (const std::string& dataset : source.walk()) {
    if (contains(dataset, "inputs/") && !contains(dataset, "grads_inputs/"))
      target.write(dataset, source.read(dataset));
  }
  const std::string prefix = source.has("cases") ? "cases/" : "";
  for (const std::string& group : source.list_groups(source.has("cases") ? "cases" : "/")) {
    if (source.has_attr(prefix + group, "params")) {
      target.write_attr_string(prefix + group, "params", source.read_attr_string(prefix + group, "params"));
    }
  }
  target.commit();
}

TEST(RunFixture, ComputesWithoutTheFixturesOwnResults) {
  for (const char* name : {"ops.h5", "optim.h5", "positional.h5"}) {
    const TemporaryFolder folder;
    copy_inputs(golden_path(name), folder / "inputs.h5");
    run_fixture(golden_path(name), folder / "a.h5");
    run_fixture(folder / "inputs.h5", folder / "b.h5");
    EXPECT_TRUE(compare_with_fixture(folder / "inputs.h5", folder / "b.h5").empty());
    const Hdf5File a = Hdf5File::open(folder / "a.h5"), b = Hdf5File::open(folder / "b.h5");
    ASSERT_EQ(a.walk(), b.walk());
    for (const std::string& dataset : a.walk()) EXPECT_SAME(b.read(dataset), a.read(dataset)) << dataset;
  }
}

void write_config(const std::string& path, const std::string& config) {
  Hdf5File file = Hdf5File::create(path);
  file.write_attr_string("/", "config", config);
  file.commit();
}

TEST(RunFixture, NamesWhatItDoesNotKnowAndLeavesNoFile) {
  const TemporaryFolder folder;
  const std::string out = folder / "out.h5";
  const auto run = [&](const std::string& config) {
    write_config(folder / "in.h5", config);
    run_fixture(folder / "in.h5", out);
  };
  expect_error<ConfigError>([&] { run(R"({"kind": "astrology"})"); }, "\"astrology\"");
  expect_error<ConfigError>([&] { run(R"({"kind": 3})"); }, "kind");
  expect_error<ConfigError>([&] { run("not json"); }, "not JSON");
  expect_error<ConfigError>([&] { run("{}"); }, "no \"kind\"");
  expect_error<IoError>([&] { run_fixture(folder / "missing.h5", out); }, "missing.h5");
  EXPECT_FALSE(std::filesystem::exists(out));

  Hdf5File file = Hdf5File::create(folder / "case.h5");
  file.write_attr_string("/", "config", R"({"kind": "ops"})");
  file.write("cases/frobnicate_3x3/inputs/x", Tensor::zeros({2}));
  file.commit();
  expect_error<ConfigError>([&] { run_fixture(folder / "case.h5", out); }, "frobnicate_3x3");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(RunFixture, ProgramPrintsATableAndRefusesInOneLine) {
  const TemporaryFolder folder;
  const std::string program = program_path("run_fixture").string();
  const CommandResult good = run_command(program + " " + golden_path("positional.h5") + " --out " + (folder / "p.h5"));
  EXPECT_EQ(good.status, 0) << good.output;
  EXPECT_TRUE(contains(good.output, "outputs/s0/fixed2d")) << good.output;
  EXPECT_TRUE(contains(good.output, "largest relative difference")) << good.output;

  write_config(folder / "bad.h5", R"({"kind": "astrology"})");
  const CommandResult bad = run_command(program + " " + (folder / "bad.h5") + " --out " + (folder / "out.h5"));
  EXPECT_EQ(bad.status, 2) << bad.output;
  EXPECT_TRUE(contains(bad.output, "astrology")) << bad.output;
  EXPECT_EQ(std::count(bad.output.begin(), bad.output.end(), '\n'), 1) << bad.output;
  EXPECT_FALSE(std::filesystem::exists(folder / "out.h5"));
}

}  // namespace
}  // namespace terrace
