variable "name" {
  description = "Name of the deployment: every resource's name begins with it, and so does every Bedrock job's. Unique in the account and Region."
  type        = string
  default     = "bbq"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,22}[a-z0-9]$", var.name))
    error_message = "The name must have 3 to 24 lower-case letters, digits and hyphens, begin with a letter and not end with a hyphen."
  }
}

variable "models" {
  description = "The models, by alias, one alias for each model. `model_id`: a foundation model, inference profile or custom model, by id or ARN. `limit`: how many of our jobs may live at Bedrock at once; `quota_code`: a Service Quotas code to take the limit from; with both, the smaller one. `invocation_type`: InvokeModel (default) or Converse. `timeout_hours`: 24 (default) to 168. `min_records` (default 100), `max_records` (default 100,000) and `max_bytes` (default 1 GiB) of an upload: Bedrock's quotas. `max_attempts`: how often a job is tried (default 3). `order`: fifo (default) or largest-first. `max_jobs_per_day` and `max_records_per_day`: how much may begin in a day (UTC), however much is uploaded; the rest waits for the next day, and an alarm is raised (no bound when left out). `check_bodies`: whether an upload is rejected if its bodies are of a kind that no record succeeds with (default true)."
  nullable    = false
  type = map(object({
    model_id            = string
    limit               = optional(number)
    quota_code          = optional(string)
    invocation_type     = optional(string)
    timeout_hours       = optional(number)
    min_records         = optional(number)
    max_records         = optional(number)
    max_bytes           = optional(number)
    max_attempts        = optional(number)
    order               = optional(string)
    max_jobs_per_day    = optional(number)
    max_records_per_day = optional(number)
    check_bodies        = optional(bool)
  }))

  validation {
    condition     = length(var.models) > 0
    error_message = "At least one model is needed."
  }

  validation {
    condition     = alltrue([for alias, model in var.models : can(regex("^[a-z][a-z0-9-]{0,19}$", alias))])
    error_message = "An alias must have at most 20 lower-case letters, digits and hyphens, and begin with a letter."
  }

  validation {
    condition     = !contains(keys(var.models), "all")
    error_message = "The alias \"all\" is taken: it stands for every model."
  }

  validation {
    condition     = alltrue([for model in var.models : can(regex("^[A-Za-z0-9][A-Za-z0-9:./_-]+$", model.model_id)) && length(model.model_id) <= 2048])
    error_message = "A model_id must be a Bedrock model id, inference profile id, or the ARN of one."
  }

  validation {
    condition     = length(distinct([for model in var.models : reverse(split("/", model.model_id))[0]])) == length(var.models)
    error_message = "Two aliases have the same model_id: its quota is one, so its line must be one. Use one alias, and priorities."
  }

  validation {
    condition     = alltrue([for model in var.models : model.limit != null || model.quota_code != null])
    error_message = "Each model needs a limit, or a quota_code to take it from."
  }

  validation {
    condition     = alltrue([for model in var.models : model.quota_code == null || can(regex("^L-[0-9A-F]{8}$", model.quota_code))])
    error_message = "A quota_code looks like L-63020993."
  }

  validation {
    condition     = alltrue([for model in var.models : model.invocation_type == null || contains(["InvokeModel", "Converse"], coalesce(model.invocation_type, "InvokeModel"))])
    error_message = "An invocation_type must be InvokeModel or Converse."
  }

  validation {
    condition = alltrue(flatten([for model in var.models : [
      for setting in [
        { value = model.limit, least = 0, most = 10000 },
        { value = model.timeout_hours, least = 24, most = 168 },
        { value = model.min_records, least = 1, most = 10000000 },
        { value = model.max_records, least = 1, most = 10000000 },
        { value = model.max_bytes, least = 1, most = 5368709120 },
        { value = model.max_attempts, least = 1, most = 10 },
        { value = model.max_jobs_per_day, least = 1, most = 1000000 },
        { value = model.max_records_per_day, least = 1, most = 1000000000 },
      ] : try(setting.value >= setting.least && setting.value <= setting.most && floor(setting.value) == setting.value, setting.value == null)
    ]]))
    error_message = "limit must be a whole number from 0 to 10000, timeout_hours from 24 to 168, min_records and max_records from 1 to 10 million, max_bytes from 1 to 5 GiB, max_attempts from 1 to 10, max_jobs_per_day from 1 to 1 million, max_records_per_day from 1 to 1 billion."
  }

  validation {
    condition     = alltrue([for model in var.models : contains(["fifo", "largest-first"], coalesce(model.order, "fifo"))])
    error_message = "An order must be fifo or largest-first."
  }

  validation {
    condition     = alltrue([for model in var.models : coalesce(model.min_records, 100) <= coalesce(model.max_records, 100000)])
    error_message = "min_records must not be above max_records."
  }

  validation {
    condition     = alltrue([for model in var.models : model.max_records_per_day == null || coalesce(model.max_records_per_day, 1) >= coalesce(model.max_records, 100000)])
    error_message = "max_records_per_day must not be below max_records (default 100,000): a job of that size could never begin."
  }
}

variable "default_model" {
  description = "Alias of the model that runs an upload which names none. May be left out when there is only one model."
  type        = string
  default     = null

  validation {
    condition     = var.default_model == null ? length(var.models) == 1 : contains(keys(var.models), coalesce(var.default_model, "-"))
    error_message = "The default_model must be one of the aliases in models; it may be left out only when there is one model."
  }
}

variable "bedrock_role_arn" {
  description = "ARN of an existing role for Bedrock to read the input and write the output with. One is created when this is left out."
  type        = string
  default     = null

  validation {
    condition     = var.bedrock_role_arn == null || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.bedrock_role_arn))
    error_message = "The bedrock_role_arn must be the ARN of an IAM role."
  }
}

variable "bucket_name" {
  description = "Name of the bucket that is created. `<name>-<account>-<region>` when left out."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null || can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "The bucket_name must have 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "kms_key_arn" {
  description = "ARN of a KMS key that encrypts the bucket, the tables, the queues, the topic of events, the logs and Bedrock's output; its policy must hold the output key_policy. Keys that AWS owns or manages are used when left out."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "The kms_key_arn must be the ARN of a KMS key (not of an alias)."
  }
}

variable "check_in_minutes" {
  description = "Minutes after which a running attempt is looked at although no event came: the longest that a lost Bedrock event can go unnoticed."
  type        = number
  default     = 30

  validation {
    condition     = var.check_in_minutes >= 1 && var.check_in_minutes <= 1440 && floor(var.check_in_minutes) == var.check_in_minutes
    error_message = "The check_in_minutes must be a whole number from 1 to 1440."
  }
}

variable "log_retention_days" {
  description = "Days that the functions' logs are kept."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "The log_retention_days must be a retention that CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "tags" {
  description = "Tags of every resource that can have some, such as a cost centre."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(keys(var.tags), "bbq-deployment")
    error_message = "The tags must not hold bbq-deployment: it is the deployment's name."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of an SNS topic that alarms are sent to. Without it they only show in CloudWatch."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:.+$", var.alarm_topic_arn))
    error_message = "The alarm_topic_arn must be the ARN of an SNS topic."
  }
}

variable "max_wait_hours" {
  description = "Hours that the oldest job in a model's line may have waited before an alarm is raised."
  type        = number
  default     = 24
  nullable    = false

  validation {
    condition     = var.max_wait_hours > 0 && var.max_wait_hours <= 4320
    error_message = "The max_wait_hours must be above 0 and at most 4320: after 180 days a staged copy is gone."
  }
}

variable "concurrency" {
  description = "How much runs at once: `intake` (uploads inspected, default 2), `hints` (what wakes the scheduler, default 3), `stream` (batches of events of one shard, default 1; a young table has four shards). The defaults leave one of the ten concurrent executions that a new account has. With a thousand: 50, 10 and 10."
  default     = {}
  nullable    = false
  type = object({
    intake = optional(number, 2)
    hints  = optional(number, 3)
    stream = optional(number, 1)
  })

  validation {
    condition = alltrue([
      for setting in [
        { value = var.concurrency.intake, least = 2, most = 1000 },
        { value = var.concurrency.hints, least = 2, most = 1000 },
        { value = var.concurrency.stream, least = 1, most = 10 },
      ] : try(setting.value >= setting.least && setting.value <= setting.most && floor(setting.value) == setting.value, false)
    ])
    error_message = "concurrency.intake and concurrency.hints must be whole numbers from 2 to 1000, concurrency.stream from 1 to 10."
  }
}

variable "data_protection" {
  description = "Whether the tables, and a bucket that holds objects, refuse to be destroyed. Turn it off, and apply, before a destroy."
  type        = bool
  default     = true
  nullable    = false
}

variable "event_source" {
  description = "Source of Bedrock's state-change events. Only an emulator has another one, because only AWS may send `aws.` events."
  type        = string
  default     = "aws.bedrock"

  validation {
    condition     = var.event_source == "aws.bedrock" || can(regex("^local\\.[a-z0-9.-]{1,50}$", var.event_source))
    error_message = "The event_source must be aws.bedrock, or begin with local. for an emulator."
  }
}

variable "environment" {
  description = "Further environment variables of both functions, for emulators (such as AWS_ENDPOINT_URL_BEDROCK)."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for name in keys(var.environment) : !startswith(name, "BBQ_")])
    error_message = "The environment must not set BBQ_ variables: they are made from the other inputs."
  }
}

variable "zip_directory" {
  description = "Directory of intake.zip and scheduler.zip, as `python -m local.build` makes them. The repository's .build when left out."
  type        = string
  default     = null
}
