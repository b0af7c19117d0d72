// Divergence from a teacher of whom the most probable tokens alone are known.
#pragma once

#include "terse/train/losses/divergence.h"

namespace terse::train {

/// What is known of a teacher's predictions: tokens, their log-probabilities at temperature 1, and
/// that of all other tokens together.
struct TopK {
  torch::Tensor ids;                ///< [rows, k] of int64, none twice in a row.
  torch::Tensor log_probabilities;  ///< [rows, k + 1], or [rows, k] when k is the vocabulary.
};

/// The divergence of every row and its gradient [rows, vocabulary], over k + 1 outcomes: the
/// teacher's tokens and "any other". To divide the teacher's k probabilities by their sum instead
/// would teach tails that are too thin (Anshumann et al., Sparse Logit Sampling, arXiv 2503.16870;
/// the last outcome is their ghost token). Merging outcomes never makes a
/// divergence larger, so this is a lower bound of the whole one, and nothing where the two agree.
/// A temperature is that of the k + 1 outcomes, whose logits are those of the tokens and the log of
/// the sum of the exponentials of the others: at temperature 1 they are the model's own.
RowDivergence top_k_divergence(const Divergence& divergence, const TopK& teacher,
                               const torch::Tensor& logits);

}  // namespace terse::train
