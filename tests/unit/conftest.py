from hypothesis import settings

# A property on a busy machine is slow and not wrong: hypothesis' own deadline of 200 ms would be a timed assertion.
before = settings.get_profile(settings.get_current_profile_name())
settings.register_profile("without-deadline", before, deadline=None)
settings.load_profile("without-deadline")
