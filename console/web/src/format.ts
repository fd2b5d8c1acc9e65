/** Numbers and times as people read them. A missing value is a dash. */

export const MISSING = "–";

type Maybe = number | null | undefined;

function isMissing(value: Maybe): value is null | undefined {
  return value === null || value === undefined || !Number.isFinite(value);
}

/** A number with at most `digits` digits after the point: 12.10 is "12.1". */
export function formatNumber(value: Maybe, digits = 1): string {
  if (isMissing(value)) return MISSING;
  return value.toLocaleString("en", { maximumFractionDigits: digits });
}

/** A latency of some seconds: 0.412 is "412 ms", 1.24 is "1.24 s". */
export function formatLatency(seconds: Maybe): string {
  if (isMissing(seconds)) return MISSING;
  return seconds < 0.9995 ? `${Math.round(seconds * 1000)} ms` : `${formatNumber(seconds, 2)} s`;
}

/** A share of 0 to 1 as percent: 0.123 is "12.3 %". */
export function formatShare(share: Maybe): string {
  return isMissing(share) ? MISSING : `${formatNumber(share * 100)} %`;
}

/** A difference of shares in percentage points, with its sign: 0.012 is "+1.2". */
export function formatPoints(difference: Maybe): string {
  if (isMissing(difference)) return MISSING;
  const rounded = Math.round(difference * 1000) / 10;
  if (rounded === 0) return "0.0";
  return `${rounded > 0 ? "+" : "−"}${Math.abs(rounded).toFixed(1)}`;
}

/** An amount with its currency. A currency that no browser knows is put after the number. */
export function formatMoney(amount: number | string | null | undefined, currency: string | undefined, small = 4): string {
  const value = typeof amount === "string" ? Number(amount) : amount;
  if (isMissing(value)) return MISSING;
  // Less than ten cents are shown to a hundredth of a cent, or `small` digits: a thousand requests may cost that little.
  const digits = Math.abs(value) < 0.1 && value !== 0 ? { maximumFractionDigits: small } : {};
  try {
    return value.toLocaleString("en", { style: "currency", currency: currency ?? "", ...digits });
  } catch {
    return `${formatNumber(value, 2)} ${currency ?? ""}`.trim();
  }
}

const SPANS: readonly [number, string][] = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

/** A span of seconds in its largest unit, rounded down: 90 is "1 min". */
export function formatSpan(seconds: Maybe): string {
  if (isMissing(seconds)) return MISSING;
  for (const [size, unit] of SPANS) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return "0 s";
}

/** How long ago `at` was. A time that cannot be read is a dash. */
export function formatAgo(at: string | undefined, now: number): string {
  const then = at === undefined ? Number.NaN : Date.parse(at);
  if (Number.isNaN(then)) return MISSING;
  return `${formatSpan(Math.max(0, (now - then) / 1000))} ago`;
}

/** A value of something per second or hour: 12.1 is "12.1/s". */
export function formatRate(value: string, unit: string): string {
  return value === MISSING ? MISSING : `${value}/${unit}`;
}

/** A count with its noun: 1 "replica", 2 "replicas". */
export function formatCount(count: number, noun: string): string {
  return `${formatNumber(count, 0)} ${noun}${count === 1 ? "" : "s"}`;
}
