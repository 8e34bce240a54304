// What --minutes chooses: measured on trial models, kept in study.json before the stage that follows it, so that every
// encoding and seed, and a study that is gone on with, does the same.
#include <algorithm>
#include <string_view>

#include "data/datasets/subset.h"
#include "data/images/pixels.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/study/stages.h"
#include "experiments/study/study.h"
#include "tensor/random_streams.h"

namespace terrace {
namespace {

constexpr int64_t kTimedSteps = 15;               // at most, to tell what a step costs
constexpr int64_t kTrialSteps = kTimedSteps + 3;  // with those that warm up
constexpr int64_t kTrialImages = 32;

struct PlannedField {
  const char* name;  // in study.json
  int64_t StudyConfig::*member;
};
constexpr PlannedField kPlannedFields[] = {{"tokenizer_steps", &StudyConfig::tokenizer_steps},
                                           {"steps", &StudyConfig::steps},
                                           {"train_images", &StudyConfig::train_images},
                                           {"held_out_images", &StudyConfig::held_out_images},
                                           {"samples", &StudyConfig::samples},
                                           {"sampled_classes", &StudyConfig::sampled_classes},
                                           {"evaluate_every", &StudyConfig::evaluate_every},
                                           {"curve_images", &StudyConfig::curve_images},
                                           {"final_images", &StudyConfig::final_images}};

/// `count` where it is given and below `all`, else `all`.
int64_t limited(int64_t count, int64_t all) { return count > 0 ? std::min(count, all) : all; }

}  // namespace

std::string option_of(std::string planned_name) {
  std::replace(planned_name.begin(), planned_name.end(), '_', '-');
  return planned_name;
}

double Study::seconds_left() const {
  return config_.minutes * 60 * (1 - kReserve) - seconds_since(start_) - earlier_seconds_;
}

int64_t Study::planned(const char* what, int64_t given) const {
  return plan_.contains(what) ? plan_[what].get<int64_t>() : given;
}

void Study::plan(const Json& decided) {
  plan_.update(decided);
  save_state();
  apply_plan();
}

void Study::apply_plan() {
  const auto take = [&](const char* name, int64_t& value) {
    if (!plan_.contains(name)) { return; }
    const int64_t chosen = planned(name, value);
    const std::string option = option_of(name);
    if (is_given(option.c_str()) && chosen != value) {
      throw ConfigError(cat(config_.common.out, " holds a study with ", option, " = ", chosen,
                            ", which --minutes chose, not ", value, "; leave --", option,
                            " out, or give another --out"));
    }
    value = chosen;
  };
  for (const PlannedField& field : kPlannedFields) { take(field.name, config_.*field.member); }
  take("frechet_images", config_.evaluator.images);
}

/// Says that so few steps compare nothing; where --minutes chose them, how many minutes would give more.
void Study::say_short(const char* what, int64_t steps, const std::string& advice) const {
  if (steps >= kFewSteps) { return; }
  say(cat("TOO SHORT: ", steps, " steps of ", what, " are fewer than ", kFewSteps, ", too few to compare anything",
          advice));
}

void Study::plan_tokenizer() {
  if (!plan_.contains("tokenizer_steps")) {
    int64_t steps = config_.tokenizer_steps;
    if (config_.minutes > 0 && !is_given("tokenizer-steps")) {
      Generator g(config_.common.seed, streams::kStudyWeights);
      Vqvae model(config_.tokenizer_config(), g);
      model.to(device_);
      VqvaeTrainer trial(model, *train_, &*held_out_, config_.tokenizer_training(kTrialSteps));
      // The first step starts the codes by k-means, as the training will once more.
      const double first = seconds_of([&] { trial.step(); });
      const double seconds = typical_seconds(config_.minutes * 60 * kTrialShare, kTimedSteps, [&] {
        check_interrupt();
        trial.step();
      });
      const double budget = std::min(config_.minutes * 60 * kTokenizerShare, seconds_left()) - first;
      steps = std::max(kMinSteps, static_cast<int64_t>(budget / std::max(seconds, 1e-9)));
      say(cat("a step of the tokenizer takes ", format_number(seconds * 1e3), " ms: ", steps, " steps"));
    }
    plan({{"tokenizer_steps", steps}});
  }
  say_short("the tokenizer", config_.tokenizer_steps, "");
}

double Study::seconds_per_distance() {
  if (config_.evaluator.images < 2 || held_out_->size() < 2) { return 0; }
  const Tensor images = held_out_->images(part_of(held_out_->size(), std::min(kTrialImages, held_out_->size())));
  const auto trial = open_evaluator(*tokenizer_, images, config_.evaluator);
  return seconds_of([&] { trial->distance(images); }) / static_cast<double>(images.dim(0));
}

/// Chooses how many images become tokens, and on how many the Frechet distance is measured.
void Study::plan_token_counts() {
  if (!(config_.minutes > 0) || plan_.contains("train_images") || plan_.contains("steps")) { return; }
  const Tensor some = held_out_->images(part_of(held_out_->size(), std::min(kTrialImages, held_out_->size())));
  const auto count = static_cast<double>(some.dim(0));
  const Tensor images = images_to_float(some);
  const double limit = config_.minutes * 60 * kTrialShare / 2;
  TokenCosts costs;
  Tensor indices;
  costs.encode = typical_seconds(limit, 3, [&] { indices = tokenizer_->images_to_indices(images); }) / count;
  costs.reconstruct = typical_seconds(limit, 3, [&] { tokenizer_->indices_to_images(indices); }) / count;
  costs.distance = seconds_per_distance();
  const int64_t held_out = limited(config_.held_out_images, held_out_->size());
  const TokenCounts most{.train = limited(config_.train_images, train_->size()),
                         .held_out = held_out,
                         .frechet = std::min(config_.evaluator.images, held_out)};
  const TokenCounts counts = plan_tokens(config_.minutes * 60 * kTokensShare, costs, most, is_given("train-images"),
                                         is_given("held-out-images"), is_given("frechet-images"));
  plan({{"train_images", is_given("train-images") ? config_.train_images : counts.train},
        {"held_out_images", is_given("held-out-images") ? config_.held_out_images : counts.held_out},
        {"frechet_images", is_given("frechet-images") ? config_.evaluator.images : counts.frechet}});
}

RunCosts Study::measure_run() {
  const int64_t classes = train_->num_classes();
  Generator g(0, streams::kStudyWeights);
  VarTransformer model(config_.transformer_config(config_.encodings.front(), tokenizer_->config(), classes), g);
  model.to(device_);
  VarTrainOptions options = config_.transformer_training(kTrialSteps, 0);
  options.evaluate_images = std::min(kTrialImages, held_out_tokens_.size());
  VarTrainer trial(model, training_data(), options);
  const double limit = config_.minutes * 60 * kTrialShare;
  RunCosts costs;
  // Short runs record most of their steps, with accuracies and gradients of the tables.
  costs.step = typical_seconds(limit, kTimedSteps, [&] {
    check_interrupt();
    trial.step(VarTrainer::Detail::kAll);
  });
  costs.evaluation = typical_seconds(limit / 2, 3, [&] { trial.evaluate(VarTrainer::HeldOutPart::kSome); }) /
                     static_cast<double>(options.evaluate_images);
  const std::vector<uint64_t> seeds(static_cast<size_t>(kTrialImages));
  const Tensor labels = Tensor::zeros({kTrialImages}, DType::kI64);
  costs.sample = typical_seconds(limit / 2, 3,
                                 [&] {
                                   const Sampled drawn =
                                       sample(model, tokenizer_->quantizer(), labels, seeds, config_.sampling());
                                   const Tensor images = images_to_bytes(tokenizer_->f_hat_to_images(drawn.f_hat));
                                   if (is_procedural(*train_)) { own_class_share(images, labels); }
                                 }) /
                 static_cast<double>(kTrialImages);
  costs.distance = distance_seconds_ > 0 ? distance_seconds_ : seconds_per_distance();
  return costs;
}

void Study::say_plan(const RunPlan& plan, const RunCosts& costs, double runs, double seconds) const {
  say(cat("a step takes ", format_number(costs.step * 1e3), " ms, a held-out image ",
          format_number(costs.evaluation * 1e3), " ms, a sample ", format_number(costs.sample * 1e3), " ms"));
  say(cat("each of ", runs, runs == 1 ? " transformer: " : " transformers: ", plan.steps, " steps; every ",
          plan.evaluate_every, " steps the loss of ", plan.curve_images, " held-out images, at the end of ",
          plan.final_images, "; ", plan.samples, plan.samples == 1 ? " sample of each of " : " samples of each of ",
          plan.sampled_classes, " classes; ", format_number(std::round(100 * plan.step_seconds / plan.seconds)),
          " % of its time are steps (planned in ", format_duration(seconds), ")"));
}

/// Chooses what every transformer does so that what is left of --minutes is used up.
void Study::plan_transformers() {
  std::string advice;
  if (!plan_.contains("steps") && !(config_.minutes > 0)) { plan({{"steps", config_.steps}}); }
  if (!plan_.contains("steps")) {
    const StudyClock::time_point start = StudyClock::now();
    const RunCosts costs = measure_run();
    const auto runs = static_cast<double>(config_.encodings.size() * config_.seeds.size());
    const RunLimits limits{.held_out = held_out_tokens_.size(),
                           .classes = train_->num_classes(),
                           .samples = config_.samples,
                           .frechet = config_.evaluator.images,
                           .steps = is_given("steps") ? std::optional(config_.steps) : std::nullopt,
                           .samples_given = is_given("samples")};
    const RunPlan chosen = plan_run(seconds_left() / runs, costs, limits);
    plan({{"steps", chosen.steps},
          {"evaluate_every", chosen.evaluate_every},
          {"curve_images", chosen.curve_images},
          {"final_images", chosen.final_images},
          {"sampled_classes", chosen.sampled_classes},
          {"samples", chosen.samples}});
    say_plan(chosen, costs, runs, seconds_since(start));
    if (!is_given("steps")) {
      advice = cat("; about --minutes ", minutes_for_few_steps(runs, costs.step, config_.tokenizer.empty()),
                   " would give so many, or fewer --encodings and --seeds");
    }
  }
  say_short("each transformer", config_.steps, advice);
}

}  // namespace terrace
