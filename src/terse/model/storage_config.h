#pragma once
#include <map>
#include <string>
#include "terse/model/model.h"
namespace terse {
void add_storage_config(Json& config, const Model& model, const std::map<std::string, Json>& storage);
}
