#include "experiments/evaluation/side_source.h"

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>

#include "experiments/cli/stored_run.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

namespace fs = std::filesystem;

std::string relative_to(const std::string& folder, const std::string& path) {
  return fs::path(path).lexically_relative(folder).string();
}

/// All pictures below the folder, relative to it.
std::vector<std::string> pictures_in(const std::string& folder) {
  const auto all = open_image_source(folder);
  std::vector<std::string> names;
  for (int64_t i = 0; i < all->size(); ++i) { names.push_back(relative_to(folder, all->name(i))); }
  return names;
}

/// Earlier versions wrote CLASS-0003.png (edit-0003.png; 0003-NAME.png of reconstruct) into the folder itself, beside
/// grid.png and the strips, ...-scales.png.
struct FlatNames {
  std::vector<std::string> images;  // by number
  std::vector<std::string> strips;
};

FlatNames flat_names(const std::string& folder, const std::string& program, int64_t count) {
  static const std::regex behind(R"(.+-(\d{4,9})\.png)"), before(R"((\d{4,9})-.*\.png)");
  const std::vector<std::string> pictures = pictures_in(folder);
  // Of more images than there are pictures one of the first is missing, whatever number a damaged run.json tells.
  const size_t places = std::min(static_cast<size_t>(count), pictures.size() + 1);
  FlatNames names{.images = std::vector<std::string>(places), .strips = {}};
  for (const std::string& name : pictures) {
    if (name.ends_with("-scales.png")) {
      names.strips.push_back(name);
      continue;
    }
    std::smatch match;
    if (!std::regex_match(name, match, program == "reconstruct" ? before : behind)) { continue; }
    if (name.find('/') != std::string::npos) { continue; }
    const auto number = static_cast<size_t>(std::stoll(match[1]));
    if (number >= names.images.size()) { continue; }
    std::string& place = names.images[number];
    if (!place.empty()) {
      throw ConfigError(cat(folder, " holds two images of number ", number, ", ", place, " and ", name,
                            ", of two runs; give a folder that holds the images of one"));
    }
    place = name;
  }
  for (size_t i = 0; i < names.images.size(); ++i) {
    if (!names.images[i].empty()) { continue; }
    throw IoError(cat("cannot read ", folder, ": image ", i, " of the ", count, " of its run is missing"));
  }
  return names;
}

struct Listed {
  std::vector<std::string> images, others;  // relative; others are of the run too, but no images of it
};

/// What the record lists: images lie below images/.
Listed listed_files(const std::vector<std::string>& files) {
  Listed listed;
  for (const std::string& name : files) {
    (name.starts_with("images/") ? listed.images : listed.others).push_back(name);
  }
  return listed;
}

Listed flat_files(const std::string& folder, const StoredRun& run) {
  Listed listed;
  const bool drew = run.program == "sample" || run.program == "edit" || run.program == "reconstruct";
  if (!drew || !run.configuration.value("files", true)) { return listed; }
  FlatNames names = flat_names(folder, run.program, run.results.value("images", int64_t{0}));
  listed.images = std::move(names.images);
  listed.others = std::move(names.strips);
  listed.others.push_back("grid.png");
  return listed;
}

[[noreturn]] void refuse_without_images(const std::string& folder, const StoredRun& run) {
  const std::string npz = run.results.value("npz", "");
  throw ConfigError(cat(folder, " holds a run of ", run.program, ", which left no files of images",
                        npz.empty() ? "" : "; give its npz: " + npz));
}

/// The classes that a run of sample tells of its images.
void take_classes(const std::string& folder, const StoredRun& stored, RunImages& run) {
  const auto labels = stored.results.find("labels");
  if (labels == stored.results.end()) { return; }
  if (labels->size() != run.files.size()) {
    throw ConfigError(cat(folder, "/run.json tells the classes of ", labels->size(), " images and lists ",
                          run.files.size(), "; move it away to take all pictures in ", folder));
  }
  const Json names = stored.results.value("class_names", Json::object());
  std::map<int64_t, int64_t> place_of;
  for (const Json& label : *labels) {
    const auto number = label.get<int64_t>();
    if (number < 0) {
      run.labels.push_back(-1);
      continue;
    }
    const auto [place, is_new] = place_of.emplace(number, static_cast<int64_t>(run.class_names.size()));
    if (is_new) { run.class_names.push_back(names.value(cat(number), cat(number))); }
    run.labels.push_back(place->second);
  }
}

}  // namespace

std::optional<RunImages> images_of_run(const std::string& folder) {
  if (!fs::is_directory(folder)) { return std::nullopt; }
  const auto stored = stored_run(folder, cat("move it away to take all pictures in ", folder));
  if (!stored || stored->program == "evaluate") { return std::nullopt; }
  RunImages run{.program = stored->program, .files = {}, .others = {}, .labels = {}, .class_names = {}};
  if (stored->ended.empty()) {
    throw ConfigError(cat(folder, " holds an unfinished run of ", run.program, "; finish it, or give ", folder,
                          "/images for what is there"));
  }
  const Listed listed = stored->files ? listed_files(*stored->files) : flat_files(folder, *stored);
  if (listed.images.empty()) { refuse_without_images(folder, *stored); }
  for (const std::string& name : listed.images) {
    run.files.push_back(folder + "/" + name);
    if (!fs::exists(run.files.back())) {
      throw IoError(cat("cannot read ", run.files.back(), ": ", folder, "/run.json lists it, and it is not there"));
    }
  }
  take_classes(folder, *stored, run);
  std::set<std::string> known(listed.images.begin(), listed.images.end());
  known.insert(listed.others.begin(), listed.others.end());
  for (std::string& name : pictures_in(folder)) {
    if (!known.contains(name)) { run.others.push_back(std::move(name)); }
  }
  return run;
}

std::string left_out_text(const std::string& what, const std::string& folder, const RunImages& run) {
  if (run.others.empty()) { return ""; }
  constexpr size_t kShown = 3;
  return cat(what, ": ", run.files.size(), " images that ", folder, "/run.json lists; not ",
             run.others.size() == 1 ? "this picture" : "these pictures", ": ", join_names(run.others, ", ", kShown));
}

Tensor SizedSource::image(int64_t i) const {
  Tensor image = source_->image(i);
  extents_[static_cast<size_t>(i)] = {image.dim(0), image.dim(1)};
  return image;
}

ImageSizes SizedSource::sizes() const {
  ImageSizes sizes;
  for (const auto& extents : extents_) {
    if (extents.first > 0) { ++sizes[extents]; }
  }
  return sizes;
}

std::string describe_sizes(const ImageSizes& sizes) {
  constexpr size_t kShown = 5;
  std::vector<std::pair<int64_t, std::string>> rows;
  for (const auto& [extents, count] : sizes) {
    rows.emplace_back(count, cat(count, " of ", extents.second, "x", extents.first));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> texts;
  for (const auto& row : rows) { texts.push_back(row.second); }
  return join_names(texts, ", ", kShown);
}

SideSource open_side_source(const std::string& path, const std::string& split, int64_t limit) {
  SideSource side;
  side.run = split.empty() ? images_of_run(path) : std::nullopt;
  const auto whole = side.run ? open_image_files(side.run->files, side.run->labels, side.run->class_names)
                              : open_image_source(path, split);
  side.images_of_set = whole->size();
  side.source = std::make_shared<SizedSource>(part_of_source(whole, limit));
  return side;
}

}  // namespace terrace
