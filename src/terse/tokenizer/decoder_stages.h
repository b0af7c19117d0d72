// The kinds of decoder stages; what each does is said where it is made.
#pragma once

#include "terse/tokenizer/decoder.h"
#include "terse/tokenizer/pattern.h"
#include "terse/tokenizer/pre_tokenizer.h"

namespace terse {

using StagePtr = std::unique_ptr<DecoderStage>;

/// Joins all tokens into one, whose characters stand for bytes; a token with another character
/// stands for its own bytes. Bytes that are not UTF-8 become U+FFFD.
StagePtr make_byte_level_decoder();

/// A run of tokens such as <0xE2> becomes the text of these bytes, or as many U+FFFD when they are
/// not UTF-8.
StagePtr make_byte_fallback_decoder();

/// The replacement character becomes a space; in the first token it goes, unless nothing was
/// prepended.
StagePtr make_metaspace_decoder(MetaspaceOptions options);

/// Replaces the matches in each token.
StagePtr make_replace_decoder(Pattern pattern, std::string content);

/// Joins all tokens into one.
StagePtr make_fuse_decoder();

/// Removes up to `start` times the character at the beginning of each token, up to `stop` times at
/// its end.
StagePtr make_strip_decoder(char32_t character, std::int64_t start, std::int64_t stop);

/// Puts a space between tokens.
StagePtr make_space_joiner();

}  // namespace terse
