#include "terse/recipe/report.h"

namespace terse {

Json to_json(const LinearReport& report) {
  Json json = {{"module", report.module},
               {"kind", report.kind},
               {"relative_weight_error", report.relative_weight_error}};
  if (report.relative_output_error) json["relative_output_error"] = *report.relative_output_error;
  if (report.sparsity) json["sparsity"] = *report.sparsity;
  if (!report.storage.is_null()) json["storage"] = report.storage;
  return json;
}

LinearReport parse_linear_report(const Json& json) {
  LinearReport report{get_string(json, "module"), get_string(json, "kind"),
                      get_number(json, "relative_weight_error")};
  if (has_key(json, "relative_output_error")) {
    report.relative_output_error = get_number(json, "relative_output_error");
  }
  if (has_key(json, "sparsity")) report.sparsity = get_number(json, "sparsity");
  if (has_key(json, "storage")) report.storage = get_object(json, "storage");
  return report;
}

}  // namespace terse
