#include "support/reference_rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace terse::test {
namespace {

using nlohmann::json;

std::vector<double> plain_frequencies(double theta, int dim) {
  std::vector<double> frequencies;
  for (int i = 0; i < dim; i += 2) {
    frequencies.push_back(1 / std::pow(theta, static_cast<double>(i) / dim));
  }
  return frequencies;
}

// Where the model was trained before the scaling: the config's own key, then the parameters', then
// max_position_embeddings.
double original_length(const json& config, const json& parameters) {
  const double trained = option(parameters, "original_max_position_embeddings",
                                option(config, "max_position_embeddings", 0.0));
  return option(config, "original_max_position_embeddings", trained);
}

// Kaiokendev: positions divided by the factor.
Rope linear_rope(const json& parameters, double theta, int dim) {
  Rope rope{plain_frequencies(theta, dim)};
  for (double& f : rope.inverse_frequencies) f /= parameters.at("factor").get<double>();
  return rope;
}

// "Dynamic NTK": the base grows with the sequence once it is longer than max_position_embeddings.
Rope dynamic_rope(const json& config, const json& parameters, double theta, int dim, int length) {
  const double factor = parameters.at("factor").get<double>();
  const double longest = config.at("max_position_embeddings").get<double>();
  const double seen = std::max<double>(length, longest);
  const double growth = factor * seen / longest - (factor - 1);
  return {plain_frequencies(theta * std::pow(growth, dim / (dim - 2.0)), dim)};
}

// Llama 3.1: long wavelengths are interpolated, short ones kept, those between blended.
Rope llama3_rope(const json& config, const json& parameters, double theta, int dim) {
  const double factor = parameters.at("factor").get<double>();
  const double low = parameters.at("low_freq_factor").get<double>();
  const double high = parameters.at("high_freq_factor").get<double>();
  const double original = original_length(config, parameters);
  Rope rope{plain_frequencies(theta, dim)};
  for (double& f : rope.inverse_frequencies) {
    const double wavelength = 2 * std::numbers::pi / f;
    if (wavelength > original / low) {
      f /= factor;
    } else if (wavelength >= original / high) {
      const double smooth = (original / wavelength - low) / (high - low);
      f = (1 - smooth) * f / factor + smooth * f;
    }
  }
  return rope;
}

// YaRN (Peng et al. 2023): section 3.2's ramp between kept and interpolated frequencies, and
// section 3.4's temperature, as a factor on cosine and sine.
Rope yarn_rope(const json& config, const json& parameters, double theta, int dim) {
  const double original = original_length(config, parameters);
  const double longest = option(config, "max_position_embeddings", original);
  const double factor = option(parameters, "factor", longest / original);

  const auto temperature = [&](double weight) {
    return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1;
  };
  const double mscale = option(parameters, "mscale", 0.0);
  const double mscale_all_dim = option(parameters, "mscale_all_dim", 0.0);
  double attention_factor = temperature(1);
  if (mscale != 0 && mscale_all_dim != 0) {
    attention_factor = temperature(mscale) / temperature(mscale_all_dim);
  }
  attention_factor = option(parameters, "attention_factor", attention_factor);

  // The feature pair that turns `rotations` times within the original length.
  const auto pair_of = [&](double rotations) {
    return dim * std::log(original / (rotations * 2 * std::numbers::pi)) / (2 * std::log(theta));
  };
  double low = pair_of(option(parameters, "beta_fast", 32.0));
  double high = pair_of(option(parameters, "beta_slow", 1.0));
  if (option(parameters, "truncate", true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;

  Rope rope{plain_frequencies(theta, dim), attention_factor};
  for (std::size_t i = 0; i < rope.inverse_frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    const double f = rope.inverse_frequencies[i];
    rope.inverse_frequencies[i] = f / factor * ramp + f * (1 - ramp);
  }
  return rope;
}

}  // namespace

json rope_parameters(const json& config) {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto found = config.find(key);
    if (found != config.end() && found->is_object() && !found->empty()) return *found;
  }
  return json::object();
}

Rope make_rope(const json& config, double theta, int rotary_dim, int length) {
  const json parameters = rope_parameters(config);
  const std::string older = option(parameters, "type", std::string("default"));
  const std::string type = option(parameters, "rope_type", older);
  const double base = option(parameters, "rope_theta", theta);
  if (type == "default") return {plain_frequencies(base, rotary_dim)};
  if (type == "linear") return linear_rope(parameters, base, rotary_dim);
  if (type == "dynamic") return dynamic_rope(config, parameters, base, rotary_dim, length);
  if (type == "llama3") return llama3_rope(config, parameters, base, rotary_dim);
  if (type == "yarn") return yarn_rope(config, parameters, base, rotary_dim);
  throw std::runtime_error("the reference does not know the rope type \"" + type + "\"");
}

Rows rotate(const Rows& x, int head_dim, const Rope& rope) {
  const auto half = static_cast<int>(rope.inverse_frequencies.size());
  Rows y = x;
  for (std::size_t t = 0; t < x.size(); ++t) {
    for (int start = 0; start < static_cast<int>(x[t].size()); start += head_dim) {
      for (int i = 0; i < half; ++i) {
        const double angle = static_cast<double>(t) * rope.inverse_frequencies[i];
        const double cosine = std::cos(angle) * rope.attention_factor;
        const double sine = std::sin(angle) * rope.attention_factor;
        const double first = x[t][start + i];
        const double second = x[t][start + half + i];
        y[t][start + i] = first * cosine - second * sine;
        y[t][start + half + i] = second * cosine + first * sine;
      }
    }
  }
  return y;
}

}  // namespace terse::test
