// The programs that draw and reconstruct images, at toy size, as a user runs them: sample, edit, reconstruct.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "data/datasets/procedural.h"
#include "data/files/atomic_file.h"
#include "data/formats/open_tensor_file.h"
#include "data/images/image_file.h"
#include "experiments/cli/run_record.h"
#include "tests/experiments/sampling/programs.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

// --- sample ---------------------------------------------------------------------------------------------------------

TEST_F(Generation, ReproducibleSamplesDependOnNeitherBatchNorThreads) {
  const std::string arguments = models() + "--classes 0,3,none --count 3 --reproducible --show-scales --out ";
  run("sample", arguments + file("r") + " --batch 8 --threads 2");
  EXPECT_EQ(files_in("r"), 9 + 9 + 2) << "an image and a strip each, the grid, run.json";
  for (const char* how : {"--batch 1 --threads 1", "--batch 3 --threads 2", "--batch 8 --threads 1"}) {
    SCOPED_TRACE(how);
    run("sample", arguments + file("r2") + " --overwrite " + how);
    expect_same_files("r", "r2");
  }
}

TEST_F(Generation, ImagesDependOnTheirOwnSeedAlone) {
  run("sample", models() + "--classes 0,3 --count 2 --seed 10 --reproducible --out " + file("both"));
  run("sample", models() + "--classes 3 --count 1 --seed 11 --reproducible --out " + file("one"));
  const auto name_of = [&](const std::string& folder, const std::string& end) {
    for (const auto& entry : fs::directory_iterator(file(folder + "/images"))) {
      if (entry.path().string().ends_with(end)) { return entry.path().string(); }
    }
    return std::string();
  };
  EXPECT_EQ(read_file(name_of("both", "-0001.png")), read_file(name_of("one", "-0000.png")))
      << "image 1 of the first run has class 3 and seed 11";
}

TEST_F(Generation, InterruptedAndResumedIsUninterrupted) {
  const std::string arguments = models() + "--classes all --count 12 --batch 5 --threads 1 ";
  run("sample", arguments + "--npz " + file("whole.npz") + " --out " + file("whole"));
  // Stopped once some images are there, however long the machine took to get there.
  const CommandResult stopped =
      run_command("bash -c 'set -m; " + program_path("sample").string() + " " + arguments + "--out " + file("parts") +
                  " & for i in $(seq 3000); do [ -s " + file("parts/images.partial") +
                  " ] && break; sleep 0.01; done; kill -INT %1; wait %1'");
  EXPECT_EQ(stopped.status, 130) << stopped.output;
  EXPECT_NE(stopped.output.find(" images; add --resume to the same command to go on"), std::string::npos)
      << stopped.output;
  ASSERT_TRUE(fs::exists(file("parts/images.partial")));
  EXPECT_FALSE(fs::exists(file("parts/grid.png")));

  const std::string record = read_file(file("parts/run.json"));
  EXPECT_TRUE(Json::parse(record)["ended"].is_null());
  expect_refusal("sample", arguments + "--resume --cfg 3 --out " + file("parts"),
                 "--resume: " + file("parts") +
                     " holds images of cfg = 1.5, not 3.0; give --overwrite in its place to replace "
                     "them, or another folder with --out");
  const CommandResult fresh = start("sample", arguments + "--out " + file("parts"));
  EXPECT_EQ(fresh.status, 2);
  EXPECT_NE(fresh.output.find("parts holds an unfinished run of sample that began "), std::string::npos)
      << fresh.output;
  EXPECT_NE(fresh.output.find("; add --resume to go on with it, --overwrite to replace it, or give another folder with "
                              "--out\n"),
            std::string::npos)
      << fresh.output;
  EXPECT_EQ(read_file(file("parts/run.json")), record) << "a refusal changes nothing";

  run("sample", arguments + "--resume --npz " + file("parts.npz") + " --out " + file("parts"));
  expect_same_files("whole", "parts");
  EXPECT_EQ(read_file(file("whole.npz")), read_file(file("parts.npz")));
  EXPECT_EQ(files_in("whole"), files_in("parts"));
  const Json results = read_json_file(file("parts/run.json"))["results"];
  EXPECT_LT(results["images_drawn_now"].get<int64_t>(), results["images"].get<int64_t>());
}

TEST_F(Generation, AFinishedRunHasNothingLeftToDo) {
  const std::string arguments =
      models() + "--classes 0,3 --count 2 --npz " + file("ended.npz") + " --out " + file("ended") + " ";
  run("sample", arguments + "--resume");  // nothing is there: it begins
  const std::string record = read_file(file("ended/run.json"));
  const std::string nothing = "nothing is left to do: " + file("ended") + " holds all 4 images\n";
  EXPECT_EQ(run("sample", arguments + "--resume"), nothing);
  EXPECT_EQ(read_file(file("ended/run.json")), record);
  EXPECT_FALSE(fs::exists(file("ended/images.partial")));
  expect_refusal("sample", arguments + "--resume --seed 7",
                 "--resume: " + file("ended") +
                     " holds images of seed = 0, not 7; give --overwrite in its place to replace "
                     "them, or another folder with --out");
  EXPECT_EQ(read_file(file("ended/run.json")), record);

  const std::string npz = read_file(file("ended.npz"));
  fs::remove(file("ended.npz"));  // a file that is asked for is missing
  EXPECT_NE(run("sample", arguments + "--resume"), nothing);
  EXPECT_EQ(read_file(file("ended.npz")), npz);
}

TEST_F(Generation, TheEvaluationPresetIsTheProtocol) {
  const std::string output =
      run("sample", models() + "--evaluation --count 2 --classes 1,2 --no-files --out " + file("evaluation"));
  const Json record = read_json_file(file("evaluation/run.json"));
  const Json& c = record["configuration"];
  EXPECT_EQ(c["cfg"], 1.5);
  EXPECT_EQ(c["top-k"], 900);
  EXPECT_EQ(c["top-p"], 0.96);
  EXPECT_EQ(c["count"], 2) << "what is given stands";
  EXPECT_EQ(files_in("evaluation"), 2);
  EXPECT_NE(output.find("4 images in "), std::string::npos) << output;
  EXPECT_GT(record["results"]["token_seconds"].get<double>(), 0);
  EXPECT_GT(record["results"]["decode_seconds"].get<double>(), 0);
  // A run can be repeated from its record.
  run("sample", "--config " + file("evaluation/run.json") + " --out " + file("evaluation2"));
  EXPECT_EQ(read_file(file("evaluation/grid.png")), read_file(file("evaluation2/grid.png")));
}

TEST_F(Generation, TheNpzHoldsEveryImageInOrder) {
  const std::string output = run("sample", models() + "--classes 1,2 --count 3 --batch 4 --show-scales --npz " +
                                               file("all.npz") + " --out " + file("npz"));
  for (const std::string& written : {file("npz/grid.png"), file("npz/images"), file("npz/scales"), file("all.npz")}) {
    EXPECT_NE(output.find(written + "\n"), std::string::npos) << output;
  }
  const Tensor all = open_tensor_file(file("all.npz")).read("arr_0");
  ASSERT_EQ(all.shape(), (Shape{6, 32, 32, 3}));
  ASSERT_EQ(all.dtype(), DType::kU8);
  int64_t found = 0;
  for (const auto& entry : fs::directory_iterator(file("npz/images"))) {
    const std::string name = entry.path().stem().string();
    EXPECT_SAME(read_image(entry.path().string()),
                all.select(0, std::stoll(name.substr(name.size() - 4))).contiguous());
    ++found;
  }
  EXPECT_EQ(found, 6);
}

TEST_F(Generation, OfficialWeightFilesAreTaken) {
  const auto golden = [](const char* name) { return (source_root() / "tests/golden" / name).string(); };
  const std::string rest =
      " --tokenizer " + golden("vqvae_tiny.pth") + " --count 1 --classes 0,1 --reproducible --out ";
  run("sample", "--checkpoint " + golden("var_tiny.pth") + rest + file("pth"));
  run("sample", "--checkpoint " + golden("var_tiny.safetensors") + rest + file("safetensors"));
  expect_same_files("pth", "safetensors");
}

TEST_F(Generation, RandomWeightsNeedNoFiles) {
  run("sample", "--model var-32px --random-weights 3 --classes 1 --count 1 --out " + file("random"));
  EXPECT_TRUE(fs::exists(file("random/images/1-0000.png")));
}

TEST_F(Generation, WeightsAreKeptInBf16WhereAsked) {
  run("sample", "--model var-32px --random-weights 3 --dtype bf16 --classes 1 --count 1 --out " + file("narrow"));
  EXPECT_TRUE(fs::exists(file("narrow/images/1-0000.png")));
  run("sample", models() + "--dtype bf16 --classes 0 --count 2 --top-k 1 --cfg 0 --out " + file("bf16"));
  run("sample", models() + "--classes 0 --count 2 --top-k 1 --cfg 0 --out " + file("f32"));
  EXPECT_NE(read_file(file("bf16/run.json")).find("\"dtype\": \"bf16\""), std::string::npos);
  expect_refusal("sample", models() + "--dtype f16 --out " + file("x"), "--dtype must be one of f32,bf16, got 'f16'");
}

TEST_F(Generation, SampleRefusesNonsense) {
  const std::string out = " --out " + file("x");
  expect_refusal("sample", models() + "--classes 16" + out,
                 "--classes: '16' is neither a class name nor a number below 16");
  expect_refusal(
      "sample", models() + "--classes 'red disc top rigt'" + out,
      "--classes: 'red disc top rigt' is neither a class name (near: red disc top right) nor a number below 16");
  expect_refusal("sample", out, "--checkpoint is missing: weights of the transformer (or --random-weights SEED)");
  expect_refusal("sample", models() + "--random-weights 1" + out,
                 "--random-weights takes the place of --checkpoint and --tokenizer: give one");
  expect_refusal("sample", models() + "--model var-d30" + out, "--model has no effect without --random-weights");
  expect_refusal("sample", "--random-weights 1 --heads 4" + out, "--heads has no effect with --random-weights");
  expect_refusal("sample", models() + "--top-p 1.5" + out, "--top-p must be at most 1, got 1.5");
  const CommandResult unwritable = start("sample", models() + "--npz " + file("nowhere/x.npz") + " --out " + file("y"));
  EXPECT_EQ(unwritable.status, 2);
  EXPECT_EQ(unwritable.output, "sample: error: cannot write " + file("nowhere/x.npz") + ": No such file or directory\n")
      << "before anything is drawn";
  write_file(file("names.txt"), "a\nb\n");
  expect_refusal("sample", models() + "--class-names " + file("names.txt") + out,
                 "--class-names: " + file("names.txt") + " has 2 names, the model has 16 classes");
  EXPECT_FALSE(fs::exists(file("x")));
}

// --- edit -----------------------------------------------------------------------------------------------------------

TEST_F(Generation, EditKeepsWhatTheMaskKeeps) {
  Tensor mask = Tensor::zeros({32, 32, 3}, DType::kU8);
  mask.slice(0, 16, 32).fill_(255);  // the lower half is inpainted
  write_png(file("mask.png"), mask);
  const std::string arguments = "--image " + file("picture.png") + models() + "--class 2 --count 3 --reproducible ";
  run("edit", arguments + "--mask " + file("mask.png") + " --out " + file("edit"));
  EXPECT_EQ(files_in("edit"), 5) << "three results, the grid, run.json";
  EXPECT_EQ(read_json_file(file("edit/run.json"))["results"]["repainted_share"], 0.5);
  // Beside the original the grid has what the tokenizer alone makes of it. Cells are 96 px wide, 6 px apart.
  run("reconstruct", file("picture.png") + " --tokenizer " + file("vqvae/checkpoint.h5") + " --out " + file("again"));
  const Tensor grid = read_image(file("edit/grid.png")),
               reconstructed = read_image(file("again/images/0000-picture.png"));
  EXPECT_EQ(grid.dim(1), 6 * 96 + 5 * 6) << "original, reconstruction, mask, three results";
  Tensor cell = Tensor::empty({32, 32, 3}, DType::kU8);
  for (int64_t y = 0; y < 32; ++y) {
    for (int64_t x = 0; x < 32; ++x) {
      cell.select(0, y).select(0, x).copy_(grid.select(0, 3 * y).select(0, 96 + 6 + 3 * x));
    }
  }
  EXPECT_SAME(cell, reconstructed);

  // The same region said in other ways, other batches and threads.
  for (const std::string& how : {cat("--box 0,16,32,32 --batch 1 --threads 1"), cat("--box 0,0,32,16 --outpaint")}) {
    SCOPED_TRACE(how);
    run("edit", arguments + how + " --overwrite --out " + file("edit2"));
    expect_same_files("edit", "edit2");
  }
  Tensor inverted = Tensor::full({32, 32, 3}, 255, DType::kU8);
  inverted.slice(0, 16, 32).zero_();
  write_png(file("inverted.png"), inverted);
  const std::string inverse = arguments + "--invert-mask --mask " + file("inverted.png") + " --out " + file("edit2");
  run("edit", inverse + " --overwrite");
  expect_same_files("edit", "edit2");

  const CommandResult again = start("edit", inverse);
  EXPECT_EQ(again.status, 2);
  EXPECT_NE(again.output.find("; add --overwrite to replace it, or give another folder with --out\n"),
            std::string::npos)
      << again.output;
  const std::string result = file("edit2/images/edit-0000.png");
  expect_refusal("edit", models() + "--image " + result + " --box 0,0,16,16 --overwrite --out " + file("edit2"),
                 result + " is a file that --image reads (" + result +
                     "); an input is never written over, with --overwrite neither: give another folder with --out");
}

TEST_F(Generation, EditRefusesNonsense) {
  const std::string image = "--image " + file("picture.png") + models() + "--out " + file("x");
  expect_refusal("edit", image, "give one of --mask MASK.png and --box x0,y0,x1,y1");
  expect_refusal("edit", image + " --box 1,2,3", "--box: needs x0,y0,x1,y1, got 3 numbers");
  expect_refusal("edit", image + " --box 0,0,40,8",
                 "--box: 0,0,40,8 is no box inside of the image, which is 32x32 pixels");
  expect_refusal("edit", image + " --box 3,3,4,4",
                 "--box: no cell of the 4x4 grid is at least half marked: nothing to inpaint");
  expect_refusal("edit", image + " --box 0,0,8,8 --invert-mask",
                 "--invert-mask is for --mask; a box is turned by --outpaint");
  write_png(file("small.png"), Tensor::zeros({8, 16, 3}, DType::kU8));
  expect_refusal(
      "edit", image + " --mask " + file("small.png"),
      "--mask: " + file("small.png") + " is 16x8 pixels, the image is 32x32; a mask is drawn over its image");
  expect_refusal("edit", image + " --mask " + file("small.png") + " --outpaint",
                 "--outpaint is for --box; a mask is turned by --invert-mask");
  expect_refusal("edit", image + " --box 0,0,16,16 --class 99",
                 "--class: '99' is neither a class name nor a number below 16");
  expect_refusal("edit", models() + " --box 0,0,8,8",
                 "--image is missing: PNG or JPEG, or an image of a dataset (data.h5/test/12); its middle square is "
                 "resized to the model's size (edit --help lists "
                 "the options)");
  EXPECT_FALSE(fs::exists(file("x")));
}

// --- reconstruct ----------------------------------------------------------------------------------------------------

TEST_F(Generation, ReconstructMeasuresEveryImage) {
  fs::create_directories(file("folder/deeper"));
  write_png(file("folder/b.png"), generate_procedural(1, 7, 7));
  write_png(file("folder/deeper/a, odd.png"), generate_procedural(1, 8, 8));
  run("reconstruct", file("picture.png") + " " + file("folder") + " " + file("data.h5") + " --limit 3 --tokenizer " +
                         file("vqvae/checkpoint.h5") + " --show-scales --batch 4 --out " + file("reconstructed"));
  const Json results = read_json_file(file("reconstructed/reconstruct.json"));
  ASSERT_EQ(results["images"], 6);
  EXPECT_EQ(results["rows"][0]["image"], file("picture.png"));
  EXPECT_EQ(results["rows"][2]["image"], file("folder/deeper/a, odd.png"));
  double sum = 0;
  for (const Json& row : results["rows"]) {
    sum += row["psnr"].get<double>();
    EXPECT_EQ(row["scale_psnr"].size(), 3U);
    EXPECT_EQ(row["scale_psnr"][2], row["psnr"]) << "the last scale is the whole";
  }
  EXPECT_NEAR(results["mean_psnr"].get<double>(), sum / 6, 1e-9);
  EXPECT_EQ(results["residual_share"].size(), 3U);
  EXPECT_TRUE(fs::exists(file("reconstructed/images/0002-a__odd.png")));
  EXPECT_TRUE(fs::exists(file("reconstructed/scales/0002-a__odd.png")));
  EXPECT_EQ(files_in("reconstructed"), 6 + 6 + 4) << "images, strips, grid, csv, json, run.json";

  // PSNR reconstructed from the files alone.
  const Tensor a = read_image(file("picture.png")), b = read_image(file("again/images/0000-picture.png"));
  double squares = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double d = (a.data<uint8_t>()[i] - b.data<uint8_t>()[i]) / 127.5;
    squares += d * d;
  }
  EXPECT_NEAR(results["rows"][0]["psnr"].get<double>(), 10 * std::log10(4 / (squares / static_cast<double>(a.numel()))),
              1e-4);
  const std::string csv = read_file(file("reconstructed/reconstruct.csv"));
  EXPECT_TRUE(csv.starts_with("image,psnr,mse,residual_1x1,residual_2x2,residual_4x4,psnr_1x1,")) << csv;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 7);
}

TEST_F(Generation, ReconstructTakesTheImagesOfARunAlone) {
  run("sample", models() + "--classes 0,3 --count 2 --show-scales --out " + file("drawn"));
  write_png(file("drawn/mine.png"), generate_procedural(1, 9, 9));
  const std::string rest = " --no-files --tokenizer " + file("vqvae/checkpoint.h5") + " --out ";
  const std::string output = run("reconstruct", file("drawn") + rest + file("of-run"));
  EXPECT_NE(
      output.find(file("drawn") + ": 4 images that " + file("drawn/run.json") + " lists; not this picture: mine.png\n"),
      std::string::npos)
      << output;
  const Json rows = read_json_file(file("of-run/reconstruct.json"))["rows"];
  ASSERT_EQ(rows.size(), 4U) << "neither the grid nor the strips";
  EXPECT_EQ(rows[1]["image"], file("drawn/images/red_disc_bottom_right-0001.png"));
  run("reconstruct", file("drawn") + " --limit 3" + rest + file("of-part"));
  EXPECT_EQ(read_json_file(file("of-part/reconstruct.json"))["rows"].size(), 3U);
}

TEST_F(Generation, AnImageOfADatasetIsGivenAsResultsNameIt) {
  const std::string tokenizer = " --tokenizer " + file("vqvae/checkpoint.h5") + " --out ";
  run("reconstruct", file("data.h5") + tokenizer + file("of-set"));
  run("reconstruct", file("data.h5/test/5") + tokenizer + file("of-one"));
  const Json all = read_json_file(file("of-set/reconstruct.json"))["rows"];
  const Json one = read_json_file(file("of-one/reconstruct.json"))["rows"];
  ASSERT_EQ(one.size(), 1U);
  EXPECT_EQ(one[0]["image"], file("data.h5/test/5"));
  EXPECT_EQ(one[0]["image"], all[5]["image"]);
  EXPECT_NEAR(one[0]["psnr"].get<double>(), all[5]["psnr"].get<double>(), 1e-3);
  expect_refusal("reconstruct", file("data.h5/test/16") + tokenizer + file("x"),
                 file("data.h5/test/16") + ": split \"test\" has 16 images, 0 to 15");
  run("edit",
      models() + "--image " + file("data.h5/test/5") + " --box 0,0,16,16 --count 1 --out " + file("edited-row"));
  expect_refusal("edit", models() + "--image " + file("data.h5/val/5") + " --box 0,0,16,16 --out " + file("x"),
                 file("data.h5") + ": no split \"val\"; it has: test, train");
}

TEST_F(Generation, ReconstructRefusesNonsense) {
  const std::string rest = " --tokenizer " + file("vqvae/checkpoint.h5") + " --out " + file("x");
  expect_refusal("reconstruct", rest,
                 "IMAGES is missing: PNG and JPEG files, folders of them (of a run of sample, edit or reconstruct the "
                 "images that its run.json lists), datasets (.h5), single images of these (data.h5/test/12); images of "
                 "another size than the model's are centre-cropped to a square and resized (reconstruct --help lists "
                 "the options)");
  expect_refusal("reconstruct", file("nowhere.png") + rest,
                 "cannot read " + file("nowhere.png") + ": No such file or directory");
  fs::create_directories(file("empty"));
  expect_refusal("reconstruct", file("empty") + rest, file("empty") + ": holds no .png, .jpg or .jpeg file");
}

TEST_F(Generation, HelpOfEachHasExamples) {
  for (const char* program : {"sample", "edit", "reconstruct"}) {
    EXPECT_NE(run(program, "--help").find(cat("\n  ", program, " ")), std::string::npos) << program;
  }
}

}  // namespace
}  // namespace terrace
