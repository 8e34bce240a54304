#include "var/training/option_json.h"

#include "tests/support.h"
#include "var/training/var_train_options.h"
#include "var/training/vqvae_train_options.h"

namespace terrace {
namespace {

struct Toy {
  int64_t steps = 2;
  double rate = 0.5;
  double decay_of_it = 0;
  int64_t times = 1;
  DType dtype = DType::kF32;
};
constexpr OptionField<Toy> kToyFields[] = {{"steps", &Toy::steps, kPositive},
                                           {"rate", &Toy::rate, kShareBelowOne},
                                           {"decay_of_it", &Toy::decay_of_it, kAnyValue, Stored::kUnlessDefault},
                                           {"times", &Toy::times, kAnyValue, Stored::kUnlessDefault, "count"},
                                           {"dtype", &Toy::dtype, kAnyValue, Stored::kUnlessDefault}};

TEST(OptionJson, LeavesOutYoungOptionsAtTheirDefaults) {
  Toy toy;
  EXPECT_EQ(options_to_json<Json>(kToyFields, toy, Stored::kUnlessDefault).dump(), R"({"steps":2,"rate":0.5})");
  toy.dtype = DType::kBF16;
  EXPECT_EQ(options_to_json<Json>(kToyFields, toy, Stored::kUnlessDefault).dump(),
            R"({"steps":2,"rate":0.5,"dtype":"bf16"})");
}

TEST(OptionJson, RulesNameTheOption) {
  Toy toy;
  toy.rate = 1;
  expect_error<ConfigError>([&] { check_rules(kToyFields, toy, "toy: ", " "); }, "toy: rate must be in [0, 1), got 1");
  toy.steps = 0;
  expect_error<ConfigError>([&] { check_rules(kToyFields, toy, "", ": "); }, "steps: must be positive, got 0");
}

TEST(OptionJson, ComparesWithWhatIsStored) {
  Toy toy;
  const auto refused = [&](const std::string& stored, const std::string& text) {
    expect_error<ConfigError>([&] { check_same_options("a.h5", kToyFields, parse_json(stored), toy); }, text);
  };
  check_same_options("a.h5", kToyFields, parse_json(R"({"rate": 0.5, "steps": 2})"), toy);
  check_same_options("a.h5", kToyFields, parse_json(R"({"rate": 0.5, "steps": 7})"), toy);  // a run may be extended
  check_same_options("a.h5", kToyFields, parse_json(R"({"rate": 0.5, "gone": 7})"), toy);   // of an earlier version
  refused(R"({"rate": 0.25, "steps": 2})", "a.h5: was trained with rate = 0.25, not 0.5; resume with the same options");
  refused(R"({"rate": 0.5, "decay_of_it": 1, "times": 3})",
          "a.h5: was trained with decay-of-it = 1, not 0.0; count = 3, not 1; resume with the same options");
  refused(R"({"steps": 2})", "was trained with rate = nothing, not 0.5");
  refused(R"({"rate": 0.5, "steps": 2, "dtype": "bf16"})", "was trained with dtype = \"bf16\", not \"f32\"");
  refused(R"({"rate": 0.25, "steps": 2, "dtype": "bf16"})",
          "a.h5: was trained with rate = 0.25, not 0.5; dtype = \"bf16\", not \"f32\"; resume with the same options");
  toy.dtype = DType::kBF16;
  refused(R"({"rate": 0.5, "steps": 2})", "was trained with dtype = \"f32\", not \"bf16\"");
  check_steps_fit("a.h5", 5, 5);
  expect_error<ConfigError>([] { check_steps_fit("a.h5", 5, 4); }, "a.h5: has 5 steps already, more than steps = 4");
}

TEST(VarTrainOptions, TextIsThatOfCheckpoints) {
  EXPECT_EQ(to_text(VarTrainOptions()),
            R"({"steps":1000,"batch":32,"accumulate":1,"lr":0.001,"weight_decay":0.05,"weight_decay_end":-1.0,)"
            R"("schedule":"lin0","warmup_share":0.02,"warmup_start":0.005,"final_lr":0.1,"beta1":0.9,"beta2":0.95,)"
            R"("clip":2.0,"label_smoothing":0.0,"seed":0,"log_every":10,"evaluate_images":256})");
}

}  // namespace
}  // namespace terrace
