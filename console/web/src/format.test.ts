import { describe, expect, test } from "vitest";
import { formatAgo, formatLatency, formatMoney, formatNumber, formatPoints, formatShare, formatSpan } from "./format";

describe("numbers", () => {
  test.each([
    [null, "–"],
    [Number.NaN, "–"],
    [0, "0"],
    [12.14, "12.1"],
    [1648, "1,648"],
  ])("a number %s reads %s", (value, text) => expect(formatNumber(value)).toBe(text));

  test.each([
    [null, "–"],
    [0.0004, "0 ms"],
    [0.412, "412 ms"],
    [0.9994, "999 ms"],
    [0.9996, "1 s"],
    [1.239, "1.24 s"],
  ])("a latency of %s reads %s", (value, text) => expect(formatLatency(value)).toBe(text));

  test.each([
    [0.012, "+1.2"],
    [-0.04, "−4.0"],
    [0.0001, "0.0"],
    [-0.0001, "0.0"],
    [null, "–"],
  ])("a difference of %s reads %s points", (value, text) => expect(formatPoints(value)).toBe(text));

  test("a share is percent", () => expect(formatShare(0.1234)).toBe("12.3 %"));
});

describe("money", () => {
  test.each([
    [8.4, "EUR", "€8.40"],
    ["216.60", "USD", "$216.60"],
    ["0.0042", "EUR", "€0.0042"],
    [0.1, "EUR", "€0.10"],
    [0, "EUR", "€0.00"],
    [8.4, "<b>", "8.4 <b>"],
    [8.4, undefined, "8.4"],
    ["much", "EUR", "–"],
    [null, "EUR", "–"],
  ])("%s %s reads %s", (amount, currency, text) => expect(formatMoney(amount, currency)).toBe(text));
});

describe("times", () => {
  test.each([
    [0, "0 s"],
    [59.9, "59 s"],
    [60, "1 min"],
    [3599, "59 min"],
    [7200, "2 h"],
    [90000, "1 d"],
    [null, "–"],
  ])("a span of %s seconds reads %s", (seconds, text) => expect(formatSpan(seconds)).toBe(text));

  test("a time ahead of the clock is now", () => {
    expect(formatAgo("2026-03-02T09:00:10Z", Date.parse("2026-03-02T09:00:00Z"))).toBe("0 s ago");
  });

  test("a time that cannot be read is a dash", () => expect(formatAgo("soon", 0)).toBe("–"));
});
