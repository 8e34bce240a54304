// The unharmed files that tries copy: a file of every kind that programs write and read back, made by the programs.
#pragma once

#include <filesystem>
#include <string>

namespace terrace {

/// Options of toy models, with which a program runs in a tenth of a second.
inline constexpr const char* kToyTokenizer =
    " --threads 1 --ch 8 --ch-mult 1,1,1,2 --patch-nums 1,2,4 --z-channels 4 --vocab 16";
inline constexpr const char* kToyTransformer = " --threads 1 --depth 1 --embed-dim 16 --heads 2";

/// Commands that both the fixture and the tries run, in a folder that holds what they name.
std::string train_vqvae_command(int steps, const std::string& out);
std::string train_var_command(int steps, const std::string& out);
std::string sample_command(const std::string& out);
std::string evaluate_command();
std::string study_command(const std::string& out);

/// data.h5, vqvae/, var/, samples/ (of a run that is complete), drawing/ (of one that was killed), cache/ (complete),
/// pass/ (of an evaluation that was killed), study/, vqvae.EXTENSION, var.EXTENSION, statistics.npz, first_layers.npz,
/// foreign.EXTENSION without checksums. Throws Error where a program fails.
void make_fixture(const std::filesystem::path& folder);

}  // namespace terrace
