"""What is refused of `spec.cost`: a patch of the smallest good object, and words of the refusal."""

TOKENS = 'external: {promptPerMillionTokens: "0.15"}'
API = "engine: {name: external, external: {baseURL: https://api.example.com/v1}}, model: {source: external://m}"

DECIMAL = 'must be a decimal number in quotes, such as "2.50"'
CURRENCY = "spec.cost.currency must be an active ISO 4217 code in capitals, such as EUR or USD."
_BAD_PRICES = {
    "a price of 0": ("0", "must be above 0. Remove the field if this costs nothing."),
    "a price of 0.00": ("0.00", "must be above 0. Remove the field if this costs nothing."),
    "a negative price": ("-1", DECIMAL),
    "a price with an exponent": ("1e3", DECIMAL),
    "a price with seven decimals": ("0.0000001", DECIMAL),
    "a price of 40 digits": ("1" * 40, "may not be more than 19 bytes"),
}

REFUSED = {
    **{
        case: (f'spec: {{cost: {{currency: EUR, perReplicaHour: "{price}"}}}}', message)
        for case, (price, message) in _BAD_PRICES.items()
    },
    "a price that is a float": (
        "spec: {cost: {currency: EUR, perReplicaHour: 2.5}}",
        "spec.cost.perReplicaHour in body must be of type string",
    ),
    "a currency that is none": ('spec: {cost: {currency: XXX, perReplicaHour: "2"}}', CURRENCY),
    "a currency in small letters": ('spec: {cost: {currency: eur, perReplicaHour: "2"}}', CURRENCY),
    "no currency": (
        'spec: {cost: {perReplicaHour: "2"}}',
        "spec.cost.currency: Required value",
    ),
    "no price": (
        "spec: {cost: {currency: EUR}}",
        "spec.cost needs a price. Set perReplicaHour or perAcceleratorHour,",
    ),
    "a budget without a price": (
        'spec: {cost: {currency: EUR, monthlyBudget: "100"}}',
        "spec.cost needs a price. Set perReplicaHour or perAcceleratorHour,",
    ),
    "both prices": (
        'spec: {cost: {currency: EUR, perReplicaHour: "2", perAcceleratorHour: "2"}}',
        "spec.cost cannot have both perReplicaHour and perAcceleratorHour.",
    ),
    "a price of an API for an engine here": (
        f'spec: {{cost: {{currency: EUR, perReplicaHour: "2", {TOKENS}}}}}',
        "spec.cost.external is for spec.engine.name external, in the spec or in an arm.",
    ),
    "an API without its price": (
        f'spec: {{{API}, cost: {{currency: EUR, perReplicaHour: "2"}}}}',
        "spec.cost needs external for spec.engine.name external, because the API counts tokens.",
    ),
    "an API whose price is empty": (
        f"spec: {{{API}, cost: {{currency: EUR, external: {{}}}}}}",
        "spec.cost.external needs promptPerMillionTokens or outputPerMillionTokens.",
    ),
    "an API beside an engine here that has no price": (
        (
            f"spec: {{cost: {{currency: EUR, {TOKENS}}}, "
            f"arms: [{{name: a, weight: 50}}, {{name: b, weight: 50, overrides: {{{API}}}}}]}}"
        ),
        "spec.cost needs perReplicaHour or perAcceleratorHour for an engine that runs in your pods.",
    ),
    "a price of accelerators without any": (
        'spec: {cost: {currency: EUR, perAcceleratorHour: "2"}}',
        "spec.cost.perAcceleratorHour needs accelerators in spec.resources,",
    ),
}
