// Everything about the compressed-tensors layout: the config, and the tensors of a weight.
#pragma once

#include "terse/formats/int_quantized.h"
#include "terse/formats/pack_quantized.h"
#include "terse/formats/quantization_config.h"
