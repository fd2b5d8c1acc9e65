import { expect, test } from "vitest";
import { formatTick } from "./plot";

test("midnight is named by its day, other times by the clock", () => {
  const midnight = new Date(2026, 10, 24).getTime() / 1000;
  expect(formatTick(midnight)).toBe("Nov 24");
  expect(formatTick(midnight + 3 * 3600)).toBe("03:00");
});
