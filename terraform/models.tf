# What is derived from the configured models: their limits, their JSON for the functions, and the resources that IAM must name.

# Bedrock's quota of jobs that a model may have at once. The display names are irregular, hence codes.
data "aws_servicequotas_service_quota" "jobs" {
  for_each = { for alias, model in var.models : alias => model.quota_code if model.quota_code != null }

  service_code = "bedrock"
  quota_code   = each.value
}

locals {
  limits = {
    for alias, model in var.models : alias => min([
      for limit in [model.limit, try(floor(data.aws_servicequotas_service_quota.jobs[alias].value), null)] : limit if limit != null
    ]...)
  }

  # What is left out has its default in shared/models.py.
  models_json = jsonencode({
    for alias, model in var.models : alias => merge(
      { for setting, value in model : setting => value if value != null && setting != "quota_code" },
      { limit = local.limits[alias] },
    )
  })

  default_model = coalesce(var.default_model, keys(var.models)[0])

  # Lambda allows 4 KB for all environment variables of a function; the others need up to 1,400 bytes.
  models_json_max_bytes = 2600

  model_ids = toset([for model in var.models : model.model_id])

  # `us.anthropic.…`: an inference profile is named by its geography and the model's id.
  profile_pattern = "^(?:global|apac|us-gov|[a-z]{2})\\.(.+)$"

  # Everything that a configured model id stands for. A profile runs its model in several Regions (a global one's have no
  # Region at all, which the star matches too); an application profile does not say which model it is for.
  arns_of_models = {
    for id in local.model_ids : id => (
      can(regex(":foundation-model/|:custom-model/", id)) ? [id] :
      can(regex(":application-inference-profile/", id)) ? [id, "${local.any_region}*"] :
      can(regex(":inference-profile/", id)) ? [id, "${local.any_region}${regex(local.profile_pattern, split("/", id)[1])[0]}"] :
      can(regex(local.profile_pattern, id)) ? ["${local.own}:inference-profile/${id}", "${local.any_region}${regex(local.profile_pattern, id)[0]}"] :
      ["arn:${local.partition}:bedrock:${local.region}::foundation-model/${id}"]
    )
  }
  model_arns   = distinct(flatten(values(local.arns_of_models)))
  profile_arns = distinct(flatten([for arns in values(local.arns_of_models) : arns if length(arns) > 1]))

  own        = "arn:${local.partition}:bedrock:${local.region}:${local.account_id}"
  any_region = "arn:${local.partition}:bedrock:*::foundation-model/"
}
