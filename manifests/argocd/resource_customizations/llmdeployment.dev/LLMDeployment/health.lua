-- The health of an LLMDeployment for Argo CD: Healthy while requests are answered, also in the middle of a canary.
-- health_test.yaml has an example of each outcome. docs/how-to/gitops.md says how to install this.
local health = { status = "Progressing", message = "The operator has not seen this generation yet." }
if obj.status == nil or obj.status.conditions == nil then
  return health
end
if obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local found = {}
for _, condition in ipairs(obj.status.conditions) do
  found[condition.type] = condition
end

local function is(kind, status)
  return found[kind] ~= nil and found[kind].status == status
end

-- One condition has the sentence and the others point to it: Ready while it is False, else the one that is asked about.
local function message_of(kind)
  if is("Ready", "False") then
    return found["Ready"].message
  end
  return found[kind] ~= nil and found[kind].message or ""
end

-- What keeps a new spec from starting may be over in a minute: a registry stumbles, a Secret comes a moment later. Then it is Stalled.
local patient = is("Ready", "False") and is("Stalled", "False")
if is("Stalled", "True") or (is("Degraded", "True") and not patient) then
  health.status = "Degraded"
  health.message = message_of("Degraded")
  return health
end

local progress = found["Progressing"]
if progress ~= nil and progress.reason == "Paused" then
  health.status = "Suspended"
  health.message = progress.message
  return health
end
if progress ~= nil and progress.reason == "CanaryPaused" then
  health.status = "Suspended"
  health.message = message_of("Progressing")
  return health
end

local ready = found["Ready"]
local at_rest = ready ~= nil and ready.reason == "ScaledToZero"
if is("Available", "True") or at_rest then
  health.status = "Healthy"
  health.message = message_of("Ready")
  return health
end

health.message = message_of("Ready")
return health
