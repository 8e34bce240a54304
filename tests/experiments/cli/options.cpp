// Options: one declaration gives the command line, the configuration file, the help page and the record.
#include "experiments/cli/options.h"

#include <fstream>

#include "experiments/cli/program.h"
#include "experiments/cli/run_record.h"
#include "tests/support.h"

namespace terrace {
namespace {

struct Everything {
  bool resume = false, level = true;
  int workers = 2;
  int64_t steps = 1000;
  uint64_t seed = 7;
  double lr = 1e-3;
  std::string schedule = "lin0", data;
  std::vector<int64_t> patch_nums = {1, 2, 4};
  std::vector<std::string> encodings = {"learned"};
  std::vector<double> betas;
};

void declare(Options& options, Everything& e) {
  options.add("data", e.data, "the dataset").positional();
  options.group("Training");
  options.add("steps", e.steps, "optimizer steps").range(1, 1e9);
  options.add("lr", e.lr, "peak learning rate").positive();
  options.add("schedule", e.schedule, "how it falls").choices({"lin0", "cos"});
  options.add("resume", e.resume, "go on from the checkpoint");
  options.add("level-embedding", e.level, "add it");
  options.add("seed", e.seed, "seed");
  options.add("workers", e.workers, "threads");
  options.add("patch-nums", e.patch_nums, "sides of the scales").at_least(1);
  options.add("encodings", e.encodings, "which").choices({"learned", "mixed", "none"});
  options.add("betas", e.betas, "of the optimizer");
}

/// Parses as the program "prog" would; `e` receives the values.
void parse(Everything& e, std::vector<const char*> arguments, Json* json = nullptr) {
  Options options("prog", "Does it.");
  declare(options, e);
  arguments.insert(arguments.begin(), "prog");
  options.parse(static_cast<int>(arguments.size()), arguments.data());
  if (json != nullptr) { *json = options.to_json(); }
}

void expect_refused(std::vector<const char*> arguments, const std::string& text) {
  Everything e;
  expect_error<ConfigError>([&] { parse(e, arguments); }, text);
}

TEST(Options, DefaultsStandWhereNothingIsGiven) {
  Everything e;
  Json json;
  parse(e, {}, &json);
  EXPECT_EQ(e.steps, 1000);
  EXPECT_TRUE(e.level);
  EXPECT_EQ(json["patch-nums"], Json({1, 2, 4}));
  EXPECT_EQ(json["betas"], Json::array());
  EXPECT_EQ(json.begin().key(), "data");  // in the order of declaration
}

TEST(Options, CommandLineOfEveryType) {
  Everything e;
  parse(e, {"set.h5", "--steps", "1e4", "--lr=3e-4", "--resume", "--no-level-embedding", "--patch-nums", "1,2,3",
            "--encodings", "none,mixed", "--betas", "0.9,0.95", "--seed", "18446744073709551615"});
  EXPECT_EQ(e.data, "set.h5");
  EXPECT_EQ(e.steps, 10000);
  EXPECT_DOUBLE_EQ(e.lr, 3e-4);
  EXPECT_TRUE(e.resume);
  EXPECT_FALSE(e.level);
  EXPECT_EQ(e.patch_nums, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(e.encodings, (std::vector<std::string>{"none", "mixed"}));
  EXPECT_EQ(e.betas, (std::vector<double>{0.9, 0.95}));
  EXPECT_EQ(e.seed, UINT64_MAX);
}

TEST(Options, LastOfARepeatedOptionCounts) {
  Everything e;
  parse(e, {"--steps", "5", "--steps", "6"});
  EXPECT_EQ(e.steps, 6);
}

TEST(Options, RefusesOnTheCommandLine) {
  expect_refused({"--stepz", "5"}, "unknown option --stepz; did you mean --steps?");
  expect_refused({"--steps", "0"}, "--steps must be at least 1, got 0");
  expect_refused({"--steps", "five"}, "--steps must be a whole number, got 'five'");
  expect_refused({"--steps", "1.5"}, "--steps must be a whole number, got '1.5'");
  const std::string whole = "must be a whole number from -9223372036854775808 to 9223372036854775807, got ";
  expect_refused({"--steps", "99999999999999999999"}, "--steps " + whole + "'99999999999999999999'");
  expect_refused({"--steps", "1e400"}, "--steps must be a whole number, got '1e400'");
  expect_refused({"--steps", "1e17"}, "--steps " + whole + "'1e17'");
  expect_refused({"--lr", "1e400"}, "--lr must be a number of magnitude 1e-307 to 1e307, or 0, got '1e400'");
  expect_refused({"--lr", "inf"}, "--lr must be a finite number, got inf");
  expect_refused({"a.h5", "--", "--", "x"}, "unexpected argument");
  expect_refused({"--level-embedding=maybe"}, "--level-embedding takes no value (prog --help lists the options)");
  expect_refused({"--schedule", ""}, "--schedule must not be empty");
  expect_refused({"--data", "a\xff.h5"}, "--data must be text in UTF-8, got 'a\\xff.h5'");
  expect_refused({"--steps", std::string(500, 'x').c_str()}, "'" + std::string(120, 'x') + "... (500 bytes)'");
  expect_refused({"--lr", "0"}, "--lr must be above 0, got 0");
  expect_refused({"--lr", "nan"}, "--lr must be a number");
  expect_refused({"--seed", "-1"}, "--seed must be a whole number from 0, got '-1'");
  expect_refused({"--schedule", "cosine"}, "--schedule must be one of lin0,cos, got 'cosine'");
  expect_refused({"--encodings", "learned,lerned"}, "got 'lerned'");
  expect_refused({"--patch-nums", "1,,2"}, "--patch-nums must be a whole number, got ''");
  expect_refused({"--steps"}, "--steps needs a value (prog --help lists the options)");
  expect_refused({"a.h5", "b.h5"}, "unexpected argument 'b.h5'");
}

TEST(Options, AListForTheSingularNamesThePlural) {
  const auto refuse = [](std::vector<const char*> arguments, const std::string& text) {
    uint64_t seed = 0, size = 0;
    std::vector<uint64_t> seeds;
    Options options("prog", "Does it.");
    options.add("seed", seed, "one");
    options.add("seeds", seeds, "several");
    options.add("size", size, "one");
    arguments.insert(arguments.begin(), "prog");
    std::string said;
    try {
      options.parse(static_cast<int>(arguments.size()), arguments.data());
    } catch (const ConfigError& error) { said = error.what(); }
    EXPECT_EQ(said, text);
  };
  refuse({"--seed", "0,1,2"},
         "--seed must be a whole number from 0, got '0,1,2'; did you mean --seeds, which takes several?");
  refuse({"--seed", "x"}, "--seed must be a whole number from 0, got 'x'");
  refuse({"--size", "0,1"}, "--size must be a whole number from 0, got '0,1'");
  refuse({"--seeds", "0,x"}, "--seeds must be a whole number from 0, got 'x'");
}

TEST(Options, RequiredIsNamed) {
  std::string data;
  Options options("prog", "Does it.");
  options.add("data", data, "the dataset file").required().positional();
  const char* arguments[] = {"prog"};
  expect_error<ConfigError>([&] { options.parse(1, arguments); }, "DATA is missing: the dataset file");
}

class OptionsFile : public testing::Test {
 protected:
  std::string file(const std::string& text) {
    const std::string path = folder_ / "config.json";
    std::ofstream(path) << text;
    return path;
  }
  void expect_refused_file(const std::string& text, const std::string& expected) {
    const std::string path = file(text);
    Everything e;
    expect_error<ConfigError>([&] { parse(e, {"--config", path.c_str()}); }, expected);
  }
  TemporaryFolder folder_;
};

TEST_F(OptionsFile, GivesEveryOptionAndTheCommandLineOverridesIt) {
  const std::string path = file(R"({"data": "a.h5", "steps": 20, "lr": 1, "resume": true, "patch_nums": [1, 3],
                                    "encodings": ["mixed"], "seed": 12})");
  Everything e;
  parse(e, {"--steps", "30", "--config", path.c_str()});
  EXPECT_EQ(e.data, "a.h5");
  EXPECT_EQ(e.steps, 30);
  EXPECT_DOUBLE_EQ(e.lr, 1);
  EXPECT_TRUE(e.resume);
  EXPECT_EQ(e.patch_nums, (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(e.seed, 12U);
}

TEST_F(OptionsFile, RefusesWhatItDoesNotKnow) {
  expect_refused_file(R"({"patch_numz": [1]})", "unknown key patch-numz; did you mean patch-nums?");
  expect_refused_file(R"({"steps": "20"})", "key 'steps' must be a whole number, got \"20\"");
  expect_refused_file(R"({"steps": 20.5})", "key 'steps' must be a whole number, got 20.5");
  expect_refused_file(R"({"steps": 0})", "key 'steps' must be at least 1, got 0");
  expect_refused_file(R"({"seed": -3})", "key 'seed' must be a whole number from 0, got -3");
  expect_refused_file(R"({"resume": 1})", "key 'resume' must be true or false, got 1");
  expect_refused_file(R"({"patch-nums": "1,2"})", "key 'patch-nums' must be an array, got \"1,2\"");
  expect_refused_file(R"([1])", "expected an object of options, got array");
  expect_refused_file("{\"steps\": 1,\n\"lr\" 2}", "not valid JSON near line 2");
  expect_refused_file("{\"steps\": 1,\n\"lr\": 1e400}",
                      "line 2: 1e400 is beyond the numbers of JSON here, whose magnitude is at most 1.8e308");
  expect_refused_file(R"({"steps": 18446744073709551615})", "key 'steps' must be a whole number from -92233");
  expect_refused_file(R"({"steps": 1, "steps": 2})", "key 'steps' is there twice");
  expect_refused_file(R"({"data": "a\u0000b"})", "key 'data' must be text without NUL bytes, got 'a\\x00b'");
  expect_refused_file("{\"steps\": " + std::string(100000, '['), "nested deeper than 64 levels");
  Everything e;
  expect_error<IoError>([&] { parse(e, {"--config", "/nowhere/c.json"}); }, "/nowhere/c.json");
}

TEST_F(OptionsFile, WhatWasInEffectCanBeGivenBack) {
  Everything first, second;
  Json json, again;
  parse(first, {"x.h5", "--steps", "3", "--betas", "0.1,0.25", "--no-level-embedding"}, &json);
  const std::string path = file(Json{{"program", "prog"}, {"configuration", json}}.dump());
  parse(second, {"--config", path.c_str()}, &again);
  EXPECT_EQ(json, again);
}

TEST_F(OptionsFile, ARecordThatWasEditedIsTakenWithANote) {
  Everything first;
  Json json, again;
  parse(first, {"x.h5", "--steps", "3"}, &json);
  std::string text = checked_json_text({{"program", "prog"}, {"configuration", json}});
  for (const bool edited : {false, true}) {
    if (edited) { text.replace(text.find("\"steps\": 3"), 10, "\"steps\": 4"); }
    const std::string path = file(text);
    Everything second;
    testing::internal::CaptureStderr();
    parse(second, {"--config", path.c_str()}, &again);
    EXPECT_EQ(again["steps"], edited ? 4 : 3);
    EXPECT_EQ(testing::internal::GetCapturedStderr().find(
                  "note: " + path +
                  " was edited or is damaged: its checksum differs; its options are taken as they "
                  "are\n") != std::string::npos,
              edited);
  }
}

// A preset gives values of other options; those given beside it stand, wherever they are written.
TEST_F(OptionsFile, PresetsComeBeforeWhatIsGivenBesideThem) {
  struct Model {
    std::string name = "small";
    int64_t depth = 1, width = 10;
  };
  const auto parsed = [](std::vector<const char*> arguments) {
    Model m;
    Options options("prog", "Does it.");
    options.add("depth", m.depth, "blocks");
    options.add("width", m.width, "channels");
    options.add("model", m.name, "by name").choices({"small", "large"}).preset([&m](const std::string& name) {
      m.depth = name == "large" ? 16 : 1;
      m.width = name == "large" ? 1024 : 10;
    });
    arguments.insert(arguments.begin(), "prog");
    options.parse(static_cast<int>(arguments.size()), arguments.data());
    return std::pair{m.depth, m.width};
  };
  const std::string path = file(R"({"depth": 3, "model": "large"})");
  using Values = std::pair<int64_t, int64_t>;
  EXPECT_EQ(parsed({"--model", "large"}), Values(16, 1024));
  EXPECT_EQ(parsed({"--depth", "4", "--model", "large"}), Values(4, 1024));
  EXPECT_EQ(parsed({"--config", path.c_str()}), Values(3, 1024));
  EXPECT_EQ(parsed({"--config", path.c_str(), "--model", "small"}), Values(1, 10)) << "the command line is nearer";
  expect_error<ConfigError>([&] { parsed({"--model", "huge"}); }, "--model must be one of small,large, got 'huge'");
}

struct Commands {
  explicit Commands(Options& options) {
    options.add("seed", seed, "seed");
    Options& cifar = options.command("cifar100", "from its binary files");
    cifar.add("files", files, "train.bin and test.bin").positional();
    Options& images = options.command("images", "from a tree of folders");
    images.add("size", size, "side in pixels").range(8, 1024);
  }
  int64_t seed = 0, size = 32;
  std::string files;
};

TEST(OptionsCommands, OneIsChosenAndTakesItsOwnAndTheCommonOptions) {
  Options options("prepare", "Prepares.");
  Commands c(options);
  const char* arguments[] = {"prepare", "images", "--size", "64", "--seed", "3"};
  options.parse(6, arguments);
  EXPECT_EQ(options.chosen(), "images");
  EXPECT_EQ(c.size, 64);
  EXPECT_EQ(c.seed, 3);
  EXPECT_TRUE(options.given("size"));
  EXPECT_EQ(options.to_json().dump(), R"({"command":"images","seed":3,"size":64})");
}

TEST(OptionsCommands, RefusesWrongOnes) {
  const auto refuse = [](std::vector<const char*> arguments, const std::string& text) {
    Options options("prepare", "Prepares.");
    Commands c(options);
    arguments.insert(arguments.begin(), "prepare");
    expect_error<ConfigError>([&] { options.parse(static_cast<int>(arguments.size()), arguments.data()); }, text);
  };
  refuse({}, "a command is needed: cifar100,images");
  refuse({"image"}, "unknown command image; did you mean images?");
  refuse({"cifar", "folder", "--out", "x.h5"},
         "unknown command cifar; did you mean cifar100? (commands: cifar100,images)");
  refuse({"--size", "3"}, "unknown option --size");
  refuse({"cifar100", "--size", "3"}, "unknown option --size");
}

TEST(Options, AFileEndsAsItsFormatDoes) {
  std::string out;
  const auto parse_out = [&](const char* value) {
    out.clear();  // the default is no file
    Options options("prog", "Does it.");
    options.add("out", out, "dataset").endings({".h5", ".hdf5"});
    EXPECT_NE(options.help().find("--out FILE.h5"), std::string::npos) << options.help();
    const char* arguments[] = {"prog", "--out", value};
    options.parse(3, arguments);
  };
  for (const char* fits : {"a.h5", "a.hdf5", "A.H5", ""}) {
    parse_out(fits);
    EXPECT_EQ(out, fits);
  }
  expect_error<ConfigError>([&] { parse_out("x.npz"); },
                            "--out must end in .h5 or .hdf5, the format that is written, got 'x.npz'");
  expect_error<ConfigError>([&] { parse_out("h5"); }, "must end in .h5 or .hdf5");
}

TEST(Options, WhatIsOfOneCallIsNotRecorded) {
  bool overwrite = false;
  Options options("prog", "Does it.");
  options.add("overwrite", overwrite, "replace").unrecorded();
  const char* arguments[] = {"prog", "--overwrite"};
  options.parse(2, arguments);
  EXPECT_TRUE(overwrite);
  EXPECT_EQ(options.to_json(), Json::object());
}

TEST(Options, HelpListsEverythingWithDefaults) {
  Everything e;
  Options options("prog", "Does it.");
  declare(options, e);
  CommonOptions common;
  options.add_common(common, "folder for the report");
  const std::string help = options.help();
  for (const char* text : {"prog: Does it.", "usage: prog [OPTIONS] [DATA]", "Training", "--steps N", "[1000]",
                           "(lin0,cos) [lin0]", "[on; --no-level-embedding turns it off]", "[all cores]",
                           "--config FILE.json", "--patch-nums N,N,..", "[1,2,4]"}) {
    EXPECT_NE(help.find(text), std::string::npos) << text << "\n" << help;
  }
  std::istringstream lines(help);
  for (std::string line; std::getline(lines, line);) { EXPECT_LE(line.size(), 100U) << line; }
}

TEST(Options, HelpSaysWhatAValueIs) {
  std::string text, choice = "a", image, dataset;
  std::vector<int64_t> box;
  Options options("prog", "Does it.");
  options.add("text", text, "t");
  options.add("choice", choice, "c").choices({"a", "b"});
  options.add("image", image, "i").metavar("FILE");
  options.add("box", box, "b").metavar("X0,Y0,X1,Y1");
  options.add("dataset", dataset, "d").metavar("FILE").endings({".h5", ".hdf5"});
  const std::string help = options.help();
  for (const char* left :
       {"--text TEXT ", "--choice NAME ", "--image FILE ", "--box X0,Y0,X1,Y1 ", "--dataset FILE.h5 "}) {
    EXPECT_NE(help.find(left), std::string::npos) << left << "\n" << help;
  }
}

TEST(Options, APositionalListTakesAllThatComesByPlace) {
  std::vector<std::string> images;
  int64_t limit = 0;
  const auto parse_list = [&](std::vector<const char*> arguments) {
    Options options("prog", "Does it.");
    options.add("images", images, "pictures").positional().required();
    options.add("limit", limit, "of them");
    arguments.insert(arguments.begin(), "prog");
    options.parse(static_cast<int>(arguments.size()), arguments.data());
    return options.help();
  };
  const std::string help = parse_list({"a, b.png", "--limit", "3", "c.png"});
  EXPECT_EQ(images, (std::vector<std::string>{"a, b.png", "c.png"})) << "a comma is part of a name";
  EXPECT_EQ(limit, 3);
  EXPECT_NE(help.find("usage: prog [OPTIONS] IMAGES..."), std::string::npos) << help;
  expect_error<ConfigError>([&] { parse_list({"--limit", "3"}); }, "IMAGES is missing: pictures");
}

}  // namespace
}  // namespace terrace
