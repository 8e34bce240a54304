// Made-up results of a study: what the report is tested with.
#pragma once

#include <cmath>

#include "data/datasets/procedural.h"
#include "experiments/study/results.h"
#include "tensor/random.h"

namespace terrace {

inline StudyResults synthetic_study(const std::vector<std::string>& encodings, int64_t seeds, int64_t classes = 4) {
  constexpr int64_t kChannels = 24;
  Generator g(1);
  StudyResults results;
  results.configuration = {{"steps", 100}};
  results.machine = {{"cpu", "A & B"}, {"threads", 2}};
  results.libraries = Json::object();
  results.version = "v";
  results.source = "made up";
  results.patch_nums = {1, 2, 4};
  results.train_images = 64;
  results.held_out_images = 16;
  results.curve_images = 8;
  results.final_images = 16;
  results.embed_dim = kChannels;
  results.wall_seconds = 61;
  for (int64_t c = 0; c < classes; ++c) { results.class_names.push_back("class <" + std::to_string(c) + ">"); }
  StudyTokenizer& t = results.tokenizer;
  t.steps = 1000;
  t.step_seconds = 2;
  t.parameters = 123456;
  t.origin = {.seconds = 3, .version = "v", .dataset_hash = "d", .tokenizer_hash = "t", .machine = results.machine};
  t.psnr = 24.5;
  t.distance = 0.75;
  t.distance_name = "FID(64)";
  t.distance_about = "made up";
  t.distance_images = 16;
  t.log_step = {1, 5, 10};
  t.log_loss = {1, 0.5, 0.25};
  t.log_psnr = {10, 20, 24};
  t.usage = {0.1, 0.2, 0.9};
  t.perplexity = {3, 12.5, 40};
  t.codes_used = 0.95;
  t.real_share = 1;
  t.reconstructed_share = 0.98;
  t.originals = randint(256, {5, 8, 8, 3}, g).to(DType::kU8);
  t.reconstructions = randint(256, {5, 8, 8, 3}, g).to(DType::kU8);
  for (size_t e = 0; e < encodings.size(); ++e) {
    for (int64_t seed = 0; seed < seeds; ++seed) {
      StudyRun run;
      run.encoding = encodings[e];
      run.seed = static_cast<uint64_t>(seed);
      run.drawn = 64;
      run.origin = {
          .seconds = 5, .version = "v", .dataset_hash = "d", .tokenizer_hash = "t", .machine = results.machine};
      run.steps = 100;
      run.batch = 8;
      run.parameters = 1000;
      for (int64_t step = 10; step <= 100; step += 10) {
        VarStepRecord r;
        r.step = step;
        r.loss =
            3 + 2 * std::exp(-static_cast<double>(step) / 30) - 0.1 * static_cast<double>(e) + 0.01 * g.next_uniform();
        r.scale_loss = {r.loss, r.loss, r.loss};
        r.scale_accuracy = {0.1, 0.2, 0.3};
        r.scale_gradient = {1e-2, 1e-3 / static_cast<double>(step), 1e-1};
        r.position_gradient = std::vector<double>(21, 0.01 * static_cast<double>(step));
        if (step % 20 == 0) {
          r.held_out_loss = r.loss + 0.1;
          r.held_out_scale_loss = {r.loss, r.loss, r.loss};
        }
        run.log.push_back(r);
      }
      run.train_loss = run.log.back().loss;
      run.held_out = {.loss = run.log.back().held_out_loss,
                      .accuracy = 0.25,
                      .scale_loss = {3, 2.5, 2},
                      .scale_accuracy = {.1, .2, .3}};
      run.seconds_per_step = 0.1;
      run.step_seconds = 3;
      run.sampled_per_second = 50;
      run.peak_bytes = 1 << 20;
      run.start = {{"positions: learned", 0.1, true}};
      run.end = {{"positions: learned", 0.2, true}};
      run.distance = 2 + static_cast<double>(e);
      run.distance_images = 60;
      run.own_share = 0.5 + 0.1 * static_cast<double>(e) + 0.01 * g.next_uniform();
      run.class_share = std::vector<double>(static_cast<size_t>(classes), 0.5);
      run.samples = randint(256, {2 * classes, 8, 8, 3}, g).to(DType::kU8);
      std::vector<int64_t> labels;
      for (int64_t i = 0; i < 2 * classes; ++i) { labels.push_back(i / 2); }
      run.sample_labels = Tensor::from(labels, {2 * classes});
      if (encodings[e] != "none") {
        run.initial_table = randn({21, kChannels}, g);
        run.table = randn({21, kChannels}, g);
      }
      results.runs.push_back(run);
    }
  }
  return results;
}

}  // namespace terrace
