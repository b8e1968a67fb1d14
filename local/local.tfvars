# What `make deploy-local` and `make demo` deploy: two models with small limits, nothing protected from `destroy`.
name            = "bbq-local"
default_model   = "haiku"
data_protection = false

models = {
  haiku = { model_id = "us.anthropic.claude-haiku-4-5-20251001-v1:0", limit = 3 }
  nova  = { model_id = "amazon.nova-lite-v1:0", limit = 2, invocation_type = "Converse" }
}
