// What this room uses of libtorch: tensors, their operations and gradients. <torch/torch.h> brings
// everything else too, and takes half as long again to compile.
#pragma once

#include <torch/autograd.h>
#include <torch/types.h>
#include <torch/utils.h>
